"""The composition root: a scenario becomes a running cluster, and its record.

The one place where control, node and fake meet. Every machine gets its core, its two loops and the ports of an
emulated world; the run ends when nothing is left to happen. What a record means is read elsewhere.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import IO

import trio
from attrs import define, evolve, frozen

from emu.control.machine import Drained, Machine, MachineRules
from emu.control.messages import Message
from emu.control.mixed import SchedulerRules
from emu.control.placement import policy
from emu.control.pools import Member, Pool
from emu.control.router import Router, RouterRules
from emu.fake.client import FakeClient
from emu.fake.clock import PS_PER_S, HeapClock
from emu.fake.costs import Costs, load_costs
from emu.fake.link import FakeLink, LinkRules
from emu.fake.model import FakeModel, KvMemory
from emu.fake.power import load_power
from emu.fake.profiles import HardwareProfile, ModelProfile, kv_blocks, load_hardware, load_model
from emu.fake.reports import FakeReports
from emu.fake.wire import FakeWire
from emu.fake.worker import FakeWorker
from emu.node.codes import POOLS
from emu.node.machine_node import MachineNode, MachinePorts
from emu.node.router_node import RouterNode
from emu.policies.contract import Contract
from emu.policies.seats import Seated, Seats
from emu.record.entries import BeliefClosed, MachineClosed, RunEnded
from emu.record.log import Fold, Log
from emu.record.start import MachineDraw, MachineFacts, RunStarted
from emu.scenario.schema import MachineGroup, Scenario, WorkloadSource, machine_names
from emu.workload.synthetic import synthetic
from emu.workload.table import Workload
from emu.workload.traces import part_of_trace, read_whole_trace

BLOCK_TOKENS = 16
LAYER_WISE_NEVER = 1 << 62


@frozen
class Hardware:
    """One machine as the emulator needs it."""

    name: str
    group: MachineGroup
    profile: HardwareProfile
    draw: MachineDraw | None
    costs: Costs
    kv_blocks: int


@frozen
class Cluster:
    """A scenario with its profiles looked up: all that a run needs but the workload."""

    scenario: Scenario
    model: ModelProfile
    machines: tuple[Hardware, ...]
    alone: Costs
    seats: Seats

    @classmethod
    def of(cls, scenario: Scenario) -> Cluster:
        """Raises Refusal where a profile, or a policy of one's own, cannot be used."""
        model = load_model(scenario.model)
        if scenario.costs.kv_bytes_per_token is not None:
            model = evolve(model, kv_bytes_per_token=scenario.costs.kv_bytes_per_token)
        kind = scenario.costs.model
        machines: list[Hardware] = []
        names = iter(machine_names(scenario))
        for group in scenario.machines:
            profile, power = load_hardware(group.hardware), load_power(group.hardware)
            draw = None if power is None else power.machine(model.name, group.tensor_parallel)
            costs = load_costs(model, profile, group.tensor_parallel, kind)
            blocks = group.kv_blocks or kv_blocks(model, profile, group.tensor_parallel, BLOCK_TOKENS)
            machines += [Hardware(next(names), group, profile, draw, costs, blocks) for _ in range(group.count)]
        yardstick = load_hardware("dgx-a100")
        router, own = scenario.router, scenario.policies_from
        seats = Seats.of(
            own, router.policy, scenario.scheduler.policy, scenario.transfer.policy, router.answer_within_s
        )
        return cls(scenario, model, tuple(machines), load_costs(model, yardstick, yardstick.gpus, kind), seats)

    def started(self, workload: Workload) -> RunStarted:
        """What the record says first."""
        facts = tuple(
            MachineFacts(
                machine.name,
                machine.profile.name,
                machine.group.pool,
                machine.group.tensor_parallel,
                machine.kv_blocks,
                machine.profile.cost_per_hour,
                machine.profile.power_w,
                machine.draw,
            )
            for machine in self.machines
        )
        identified = all(machine.costs.identified for machine in self.machines)
        return RunStarted(self.scenario.name, self.scenario.model, BLOCK_TOKENS, facts, len(workload), identified)


def load_workload(scenario: Scenario, whole: Workload | None = None) -> Workload:
    """The scenario's arrivals, every row checked; `whole` is its trace if that was read before. Raises Refusal."""
    source = scenario.workload
    if source.requests:
        return _written_out(source).take(source.limit)
    if source.trace is not None:
        whole = read_whole_trace(source.trace) if whole is None else whole
        return part_of_trace(whole, source.trace, limit=source.limit, until_s=source.until_s, speedup=source.speedup)
    assert source.synthetic is not None
    assert source.rate_rps is not None
    assert source.duration_s is not None
    return synthetic(
        source.synthetic,
        rate_rps=source.rate_rps,
        duration_s=source.duration_s,
        arrivals=source.arrivals,
        seed=scenario.seed,
        burstiness=source.burstiness,
        limit=source.limit,
    )


def _written_out(source: WorkloadSource) -> Workload:
    """The rows of a scenario, in the order of their arrivals."""
    rows = sorted(source.requests, key=lambda row: to_ps(row.at_s))
    return Workload(
        "requests of the scenario",
        array("q", [to_ps(row.at_s) for row in rows]),
        array("i", [row.prompt_tokens for row in rows]),
        array("i", [row.output_tokens for row in rows]),
    )


@define
class Run:
    """One run: wired up by `build`, done by `go`."""

    cluster: Cluster
    clock: HeapClock
    log: Log
    client: FakeClient
    link: FakeLink
    router: RouterNode
    nodes: tuple[MachineNode, ...]
    seated: Seated

    def go(self) -> None:
        """Run to the end of everything. Raises what a bug raises."""
        try:
            trio.run(self._main, clock=self.clock, strict_exception_groups=True)
        finally:
            self.seated.close()

    @property
    def open_requests(self) -> int:
        """Requests that arrived and have not ended."""
        return self.client.arrived - self.client.over

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.router.run, name="router")
            for node in self.nodes:
                nursery.start_soon(node.run_engine, name=f"{node.name}/engine")
                nursery.start_soon(node.run_transfers, name=f"{node.name}/transfers")
            self.client.start()
            await self.clock.starved()
            await self._last_reports()
            nursery.cancel_scope.cancel()
        self._close()

    async def _last_reports(self) -> None:
        """Let every machine's last report reach the router, as it would within a period."""
        scenario = self.cluster.scenario
        wait_ps = to_ps(scenario.router.report_every_s) + 2 * to_ps(scenario.network.control_latency_s)
        self.clock.call_at(self.clock.now_ps + wait_ps, 0, self.router.inbox.signal.set)
        await self.clock.starved()

    def _close(self) -> None:
        now, write = self.clock.now_ps, self.log.write
        for node in self.nodes:
            core, pool = node.core, node.core.pool
            write(
                MachineClosed(
                    now,
                    core.rules.index,
                    pool.capacity,
                    pool.free_blocks,
                    pool.loans,
                    pool.pinned_loans,
                    len(core.scheduler.prefills),
                    core.scheduler.decoding,
                    len(core.sender.open),
                    len(core.receiver.open),
                )
            )
        for load in self.router.core.pools.loads:
            pool_code, home = POOLS[load.pool.value], POOLS[load.home.value]
            write(
                BeliefClosed(now, load.machine, load.pending_tokens, load.sequences, load.free_blocks, pool_code, home)
            )
        write(RunEnded(now, len(self.router.core.open), self.link.open))


def build(cluster: Cluster, workload: Workload, folds: Sequence[Fold] = (), file: IO[bytes] | None = None) -> Run:
    """The whole cluster, wired up, at time 0. `folds` read the record as it is written, `file` gets its lines."""
    scenario = cluster.scenario
    clock = HeapClock(scenario.interleaving, to_ps(scenario.run.liveness_s))
    log = Log(folds, file, cluster.started(workload).line() if file is not None else "")
    source = scenario.workload
    max_tokens = None if source.max_tokens == "exact" else source.max_tokens
    outputs: Sequence[int] = workload.output_tokens
    seated = Seated(cluster.seats, Contract(log.write, clock.now))
    if max_tokens is not None:
        outputs = [min(tokens, max_tokens) for tokens in outputs]
    model = FakeModel(workload.prompt_tokens, outputs)
    nodes: list[MachineNode] = []
    routers: list[RouterNode] = []

    def deliver(machine: int, message: Message) -> None:
        nodes[machine].deliver(message)

    latency_ps = to_ps(scenario.network.control_latency_s)
    wire = FakeWire(clock, latency_ps, deliver, lambda message: routers[0].deliver(message))  # type: ignore[arg-type]
    reports = FakeReports(clock, to_ps(scenario.router.report_every_s), latency_ps, len(cluster.machines))
    workers = tuple(_worker(clock, cluster, machine, model) for machine in cluster.machines)
    link = FakeLink(
        clock,
        _link_rules(cluster),
        workers,
        log,
        deliver,
        lambda machine, key: nodes[machine].deliver(Drained(*key)),
    )
    client = FakeClient(
        clock,
        workload,
        model,
        cluster.alone,
        log,
        max_tokens,
        scenario.seed,
        lambda submit: routers[0].deliver(submit),
    )
    heartbeat_ps = to_ps(scenario.transfer.heartbeat_s)
    for index, machine in enumerate(cluster.machines):
        core = Machine(_machine_rules(cluster, machine, index, seated))
        ports = MachinePorts(clock, workers[index], link.port(index), wire.port(machine.name), client, log, reports)
        nodes.append(MachineNode(machine.name, core, ports, heartbeat_ps))
    router = Router(_members(cluster), _router_rules(scenario, seated))
    routers.append(RouterNode(router, clock, wire.port("router"), client, log, reports))
    return Run(cluster, clock, log, client, link, routers[0], tuple(nodes), seated)


def to_ps(seconds: float) -> int:
    return round(seconds * PS_PER_S)


def _worker(clock: HeapClock, cluster: Cluster, machine: Hardware, model: FakeModel) -> FakeWorker:
    sync_s = cluster.scenario.transfer.layer_sync_s
    sync_ps = to_ps(machine.profile.layer_sync_s if sync_s is None else sync_s)
    return FakeWorker(clock, machine.costs, model, KvMemory(), cluster.model.layers, sync_ps, BLOCK_TOKENS)


def _machine_rules(cluster: Cluster, machine: Hardware, index: int, seated: Seated) -> MachineRules:
    scenario = cluster.scenario
    transfer, limits = scenario.transfer, scenario.scheduler
    layer_wise_from = {"auto": transfer.threshold_tokens, "serialized": LAYER_WISE_NEVER, "layer-wise": 0}
    order, transfers = seated.scheduling(index), seated.transfers(index)
    rules = SchedulerRules(
        prefill_batch_tokens=limits.prefill_batch_tokens,
        decode_batch=limits.decode_batch,
        max_preemptions=limits.max_preemptions,
        watermark=limits.watermark,
        reserve_max_tokens=limits.reserve == "max_tokens",
        layer_wise_from_tokens=layer_wise_from[transfer.mode],
        max_steps=limits.max_steps,
        next_prompt=None if order is None else order.next_prompt,
        choose_victim=order.victim if order is not None and order.chooses_victims else None,
        by_layer=None if transfers is None else transfers.by_layer,
    )
    return MachineRules(index, machine.kv_blocks, cluster.model.layers, to_ps(transfer.lease_s), rules, BLOCK_TOKENS)


def _router_rules(scenario: Scenario, seated: Seated) -> RouterRules:
    router = scenario.router
    return RouterRules(
        policy=seated.routing() or policy(router.policy, router.prefill_queue_limit_tokens),
        queue_limit_requests=router.queue_limit_requests,
        go_home_idle=router.go_home == "idle",
        repurpose_after_ps=to_ps(router.repurpose_after_s),
        block_tokens=BLOCK_TOKENS,
        reserve_max_tokens=scenario.scheduler.reserve == "max_tokens",
    )


def _members(cluster: Cluster) -> tuple[Member, ...]:
    return tuple(
        Member(index, Pool(machine.group.pool), machine.kv_blocks) for index, machine in enumerate(cluster.machines)
    )


def _link_rules(cluster: Cluster) -> LinkRules:
    network, transfer = cluster.scenario.network, cluster.scenario.transfer
    cards, signals = [], []
    for machine in cluster.machines:
        profile = machine.profile
        # a tensor-parallel shard sends through its own GPU's card
        own = profile.nics * profile.nic_bytes_per_s * machine.group.tensor_parallel // profile.gpus
        rate = own if network.bandwidth_bytes_per_s is None else network.bandwidth_bytes_per_s
        cards.append(max(1, round(rate * network.bandwidth_factor)))
        signals.append(to_ps(profile.signal_s if transfer.signal_s is None else transfer.signal_s))
    return LinkRules(
        tuple(cards),
        tuple(signals),
        to_ps(network.data_latency_s),
        cluster.model.kv_bytes_per_token,
        cluster.model.layers,
        network.sharing == "fair",
    )
