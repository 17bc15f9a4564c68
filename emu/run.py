"""The composition root: a scenario becomes a running cluster, and its record.

The one place where control, node and fake meet. Every machine gets its core, its two loops and the ports of an
emulated world; the run ends when nothing is left to happen. What a record means is read elsewhere.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any

import trio
from attrs import asdict, define, evolve, field, frozen

from emu.control.batch import InStep
from emu.control.machine import Drained, MachineRules, PutFailed
from emu.control.messages import Message
from emu.control.mixed import SchedulerRules
from emu.control.placement import policy
from emu.control.pools import Member, Pool
from emu.control.recovery import RecoveryRules
from emu.control.router import RouterRules
from emu.fake.client import FakeClient
from emu.fake.clock import PS_PER_S, HeapClock
from emu.fake.costs import Costs
from emu.fake.link import FakeLink, LinkRules
from emu.fake.model import FakeModel, KvMemory
from emu.fake.power import load_power
from emu.fake.profiles import HardwareProfile, ModelProfile, has_table, kv_blocks, load_hardware, load_model
from emu.fake.reports import FakeReports
from emu.fake.wire import FakeWire
from emu.fake.worker import FakeWorker
from emu.node.codes import POOLS
from emu.node.machine_node import MachineNode, MachinePorts
from emu.node.ports import Client, Clock, Recorder, Reports
from emu.node.router_node import RouterNode
from emu.policies.contract import Contract
from emu.policies.parts import Classes
from emu.policies.seats import Seated, Seats
from emu.record.entries import BeliefClosed, Entry, MachineClosed, RunEnded
from emu.record.log import Fold, Log
from emu.record.start import MachineDraw, MachineFacts, RunStarted
from emu.scenario.schema import Action, Fault, MachineGroup, Scenario, Transfer, WorkloadSource, machine_names
from emu.step_times import StepTimes
from emu.workload.synthetic import synthetic
from emu.workload.table import Workload

if TYPE_CHECKING:
    from emu.fake.signals import SignalTimes
    from emu.fake.skew import Skew, Stamps
    from emu.fake.witness import Witness
    from emu.strikes import Strikes
    from emu.succession import Make

LAYER_WISE_NEVER = 1 << 62


@frozen(eq=False, repr=False)
class Hardware:
    """One machine as the emulator needs it."""

    name: str
    group: MachineGroup
    profile: HardwareProfile
    draw: MachineDraw | None
    costs: Costs
    kv_blocks: int


@frozen(eq=False, repr=False)
class Cluster:
    """A scenario with its profiles looked up: all that a run needs but the workload."""

    scenario: Scenario
    model: ModelProfile
    machines: tuple[Hardware, ...]
    alone: Costs
    seats: Seats
    classes: Classes

    @classmethod
    def of(cls, scenario: Scenario) -> Cluster:
        """Raises Refusal where a profile, or a policy of one's own, cannot be used."""
        model = load_model(scenario.model)
        if scenario.costs.kv_bytes_per_token is not None:
            model = evolve(model, kv_bytes_per_token=scenario.costs.kv_bytes_per_token)
        step_times = StepTimes.of(scenario)
        machines: list[Hardware] = []
        names = iter(machine_names(scenario))
        for group in scenario.machines:
            profile, power = load_hardware(group.hardware), load_power(group.hardware)
            draw = None if power is None else power.machine(model.name, group.tensor_parallel)
            costs = step_times.on(model, profile, group.tensor_parallel)
            blocks = group.kv_blocks or kv_blocks(
                model, profile, group.tensor_parallel, scenario.scheduler.block_tokens
            )
            machines += [Hardware(next(names), group, profile, draw, costs, blocks) for _ in range(group.count)]
        router, own = scenario.router, scenario.policies_from
        seats = Seats.of(
            own, router.policy, scenario.scheduler.policy, scenario.transfer.policy, router.answer_within_s
        )
        classes = Classes.of(asdict(scenario.parts), own)
        return cls(scenario, model, tuple(machines), step_times.alone(model), seats, classes)

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
        block_tokens = self.scenario.scheduler.block_tokens
        transfer = self.scenario.transfer
        leases = to_ps(transfer.lease_s), to_ps(transfer.heartbeat_s)
        return RunStarted(
            self.scenario.name, self.scenario.model, block_tokens, facts, len(workload), identified, *leases
        )


def load_workload(scenario: Scenario, whole: Workload | None = None) -> Workload:
    """The scenario's arrivals, every row checked; `whole` is its trace if that was read before. Raises Refusal."""
    longest = scenario.workload.longest_prompt_tokens
    workload = _source(scenario, whole)
    return workload if longest is None else workload.cut(longest)


def _source(scenario: Scenario, whole: Workload | None) -> Workload:
    source = scenario.workload
    if source.requests:
        return _written_out(source).take(source.limit)
    if source.trace is not None:
        from emu.workload.traces import part_of_trace, read_whole_trace

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


@define(eq=False, repr=False)
class Run:
    """One run: wired up by `build`, done by `go`."""

    cluster: Cluster
    clock: HeapClock
    log: Log
    client: FakeClient
    link: FakeLink
    routers: Sequence[RouterNode]  # the latest one last
    nodes: Sequence[MachineNode]
    seated: Seated
    strikes: Strikes | None  # of a run that faults may strike

    def inject(self, fault: Fault, at_ps: int) -> None:
        """Let a fault strike at that time, exactly as if it had been planned. `build` must have been told to expect it.

        Raises ValueError where the run expects none, that time has passed, or clocks were to be right.
        """
        clocks_right = self.strikes is None or self.strikes.places[0].process.skew is None
        if self.strikes is None or at_ps < self.clock.now_ps or (fault.kind == "clock" and clocks_right):
            raise ValueError(f"no fault can be injected at {at_ps} ps")
        from emu.strikes import strike_of

        names = {machine.name: index for index, machine in enumerate(self.cluster.machines)}
        self.strikes.plan(strike_of(fault, names)._replace(at_ps=at_ps))

    def act(self, action: Action, at_ps: int) -> None:
        """Let an action be done at that time, as `inject` does with a fault. Raises ValueError as that does."""
        if self.strikes is None or at_ps < self.clock.now_ps:
            raise ValueError(f"nothing can be done at {at_ps} ps")
        self.strikes.plan_action(action, at_ps)

    def go(self) -> None:
        """Run to the end of everything. Raises what a bug raises."""
        try:
            trio.run(self._main, clock=self.clock, strict_exception_groups=True)
        finally:
            self.seated.close()

    @property
    def router(self) -> RouterNode:
        return self.routers[-1]

    @property
    def open_requests(self) -> int:
        """Requests that arrived and have not ended."""
        return self.client.arrived - self.client.over

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            if self.strikes is not None:
                self.strikes.start(nursery)
            else:
                nursery.start_soon(self.router.run, name="router")
                for node in self.nodes:
                    nursery.start_soon(node.run_engine, name=f"{node.name}/engine")
                    nursery.start_soon(node.run_transfers, name=f"{node.name}/transfers")
            self.client.start()
            await self.clock.starved()
            await self._last_reports()
            nursery.cancel_scope.cancel()
        standing = [
            node for machine, node in enumerate(self.nodes) if self.strikes is None or self.strikes.is_up(machine)
        ]
        close(self.clock.now_ps, self.log.write, standing, self.router, self.link.open)

    async def _last_reports(self) -> None:
        """Let every machine's last report reach the router, as it would within a period."""
        scenario = self.cluster.scenario
        wait_ps = to_ps(scenario.router.report_every_s) + 2 * to_ps(scenario.network.control_latency_s)
        self.clock.call_at(self.clock.now_ps + wait_ps, 0, self.router.inbox.signal.set)
        await self.clock.starved()


def build(
    cluster: Cluster,
    workload: Workload,
    folds: Sequence[Fold] = (),
    file: IO[bytes] | None = None,
    *,
    injectable: bool = False,
    clock: HeapClock | None = None,
) -> Run:
    """The whole cluster, wired up, at time 0. `folds` read the record as it is written, `file` gets its lines.

    `injectable`: faults may be injected while it runs. Without that and a plan of faults, nothing of theirs is there.
    `clock`: one that somebody holds back, made for this scenario.
    """
    scenario = cluster.scenario
    faulty = injectable or is_faulty(scenario)
    if clock is None:
        clock = _clock(scenario)
    witness = _witness() if faulty else None
    first_line = cluster.started(workload).line() if file is not None else ""
    log = Log(folds if witness is None else (*folds, witness), file, first_line)
    seated = Seated(cluster.seats, Contract(log.write, clock.now))
    source = scenario.workload
    max_tokens = None if source.max_tokens == "exact" else source.max_tokens
    outputs: Sequence[int] = workload.output_tokens
    if max_tokens is not None:
        outputs = [min(tokens, max_tokens) for tokens in outputs]
    model = FakeModel(workload.prompt_tokens, outputs)
    site = _Site(cluster, clock, log, model, seated)
    strikes = None if witness is None else site.with_faults(witness)
    wire, link, reports = (strikes.wire, strikes.link, strikes.reports) if strikes is not None else site.world()
    submit = site.submit if strikes is None else strikes.succession.hear_client
    client_parts = (
        *(clock, workload, model, cluster.alone, log, max_tokens),
        *(scenario.seed, submit, site.tokens_so_far),
    )
    client = FakeClient(*client_parts)
    if strikes is not None and witness is not None:
        from emu.fake.fickle_client import FickleClient

        client = strikes.client = strikes.succession.client = FickleClient(
            *client_parts,
            resend=strikes.succession.hear_again,
            has_attempt=witness.has_attempt,
            patience_ps=None if source.client_timeout_s is None else to_ps(source.client_timeout_s),
            retries=source.client_retries,
            backoff_ps=to_ps(source.retry_backoff_s),
            latest_attempt=witness.attempt,
        )
    heartbeat_ps, classes = to_ps(scenario.transfer.heartbeat_s), cluster.classes

    def node_of(index: int, incarnation: int, own: Clock, found: InStep = ()) -> MachineNode:
        machine = cluster.machines[index]
        rules = machine_rules(cluster, machine, index, incarnation, seated, found)
        core = classes.machine(rules, classes.of_machine)
        worker = site.workers[index]
        checksums = worker.memory.checksums if is_faulty(scenario) else None
        ports = MachinePorts(own, worker, link.port(index), wire.port(machine.name), client, log, reports, checksums)
        if site.stamps is not None:
            ports = _in_own_time(ports, clock, site.skews[index], site.stamps)
        return MachineNode(machine.name, core, ports, heartbeat_ps)

    site.node_of = node_of
    for index in range(len(cluster.machines)):
        site.nodes.append(node_of(index, 0, clock if strikes is None else strikes.places[index].process))

    def router_of(term: int, clients: Client, recorder: Recorder, heard: Reports) -> RouterNode:
        rules = router_rules(scenario, seated)
        if term:  # something has struck
            patrol_ps = to_ps(scenario.router.patrol_s)
            rules = evolve(rules, recovery=evolve(rules.recovery, audit_ps=patrol_ps))
        core = classes.router(members(cluster), rules, classes.recovery, term)
        router = RouterNode(core, clock, wire.port("router"), clients, recorder, heard)
        site.routers.append(router)
        return router

    if strikes is None:
        router_of(0, client, log, reports)
    else:
        site.router_of = router_of
        strikes.succession.seat(0)
        strikes.plan_all(scenario)
    return Run(cluster, clock, log, client, link, site.routers, site.nodes, seated, strikes)


def _witness() -> Witness:
    """Of what faults strike. A run without any imports nothing of theirs."""
    from emu.fake.witness import Witness

    return Witness()


def _clock(scenario: Scenario) -> HeapClock:
    liveness_ps = to_ps(scenario.run.liveness_s)
    if scenario.goes_first:
        from emu.fake.ordered_clock import OrderedClock

        return OrderedClock(scenario.interleaving, liveness_ps, scenario.goes_first)
    return HeapClock(scenario.interleaving, liveness_ps)


@define(eq=False, repr=False)
class _Site:
    """A run while it is wired up: what its parts know of each other. Workers and nodes are by machine."""

    cluster: Cluster
    clock: HeapClock
    log: Log
    model: FakeModel
    seated: Seated
    workers: list[FakeWorker] = field(init=False)
    nodes: list[MachineNode] = field(init=False, factory=list)
    routers: list[RouterNode] = field(init=False, factory=list)
    node_of: Callable[[int, int, Clock, InStep], MachineNode] = field(init=False)
    router_of: Make = field(init=False)
    stamps: Stamps | None = field(init=False, default=None)  # where clocks differ
    skews: list[Skew] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self.workers = [_worker(self.clock, self.cluster, machine, self.model) for machine in self.cluster.machines]

    def world(self) -> tuple[FakeWire, FakeLink, FakeReports]:
        """Wires, links and reports that nothing ever happens to."""
        scenario, clock, nodes = self.cluster.scenario, self.clock, self.nodes
        latency_ps = to_ps(scenario.network.control_latency_s)

        def deliver(machine: int, message: Message) -> None:
            nodes[machine].deliver(message)

        wire = FakeWire(clock, latency_ps, deliver, self.submit)
        reports = FakeReports(clock, to_ps(scenario.router.report_every_s), latency_ps, len(self.cluster.machines))
        link = FakeLink(clock, _link_rules(self.cluster), self.workers, self.log, deliver, self.drained)
        return wire, link, reports

    def with_faults(self, witness: Witness) -> Strikes:
        """Wires, links and reports that faults may strike, and what makes them."""
        from emu.fake.faulty_link import FaultyLink
        from emu.fake.faulty_reports import FaultyReports
        from emu.fake.faulty_wire import FaultyWire
        from emu.fake.process import Process
        from emu.strikes import Place, Strikes
        from emu.succession import Succession

        scenario, clock, machines = self.cluster.scenario, self.clock, self.cluster.machines
        latency_ps = to_ps(scenario.network.control_latency_s)
        if any(fault.kind == "clock" for fault in scenario.faults):
            self._let_clocks_differ()
        skews: Sequence[Skew | None] = self.skews or len(machines) * [None]
        places = [Place(Process.of(clock, machine.name, skew)) for machine, skew in zip(machines, skews, strict=True)]

        def deliver(machine: int, message: Message) -> None:
            places[machine].receive(lambda: self.nodes[machine].deliver(message))

        def drained(machine: int, key: tuple[int, int]) -> None:
            places[machine].receive(lambda: self.drained(machine, key))

        def failed(machine: int, key: tuple[int, int]) -> None:
            places[machine].receive(lambda: self.nodes[machine].deliver(PutFailed(*key)))

        def revive(index: int, incarnation: int, found: InStep) -> None:
            machine, place = machines[index], places[index]
            place.process = Process.of(clock, machine.name, place.process.skew)
            self.workers[index] = _worker(clock, self.cluster, machine, self.model)
            self.nodes[index] = self.node_of(index, incarnation, place.process, found)

        witness.splice = self.model.splice
        witness.flush = lambda machine, request: self.workers[machine].flush(request)
        names = {machine.name: index for index, machine in enumerate(machines)}
        reports = FaultyReports(
            clock,
            to_ps(scenario.router.report_every_s),
            latency_ps,
            len(machines),
            detect_after_ps=to_ps(scenario.router.detect_after_s),
            deliver=lambda message: succession.hear(message),
        )
        succession = Succession(
            clock,
            self.log,
            reports,
            make=lambda *place: self.router_of(*place),
            obeyed=lambda machine: self.nodes[machine].core.term,
            incarnation=lambda machine: places[machine].incarnation,
        )
        wire = FaultyWire(clock, latency_ps, deliver, succession.hear_machine, names)
        link = FaultyLink(
            clock,
            _link_rules(self.cluster),
            self.workers,
            self.log,
            deliver,
            drained,
            max_flight_ps=to_ps(scenario.transfer.max_flight_s),
            carry=wire.carry,
            failed=failed,
        )
        nics = tuple(machine.profile.nics for machine in machines)
        parts = (witness, wire, link, reports, self.workers, self.nodes, places, nics, revive)
        return Strikes(clock, self.log, *parts, succession.hear, self.patrol, succession)

    def _let_clocks_differ(self) -> None:
        from emu.fake.skew import Skew, Stamps

        self.stamps = Stamps(self.clock)
        self.skews = [Skew() for _ in self.cluster.machines]

    def patrol(self) -> None:
        """From now on something may be lost: the router is to look for it."""
        router = self.routers[-1]
        router.core.recovery.patrol(to_ps(self.cluster.scenario.router.patrol_s), self.clock.now_ps)
        router.inbox.signal.set()

    def submit(self, message: Any) -> None:
        """To the router: what clients ask, machines tell and nobody says any more."""
        self.routers[0].deliver(message)

    def drained(self, machine: int, key: tuple[int, int]) -> None:
        self.nodes[machine].deliver(Drained(*key))

    def tokens_so_far(self, request: int) -> int:
        """The tokens of a request that any machine has delivered by now."""
        for worker in self.workers:
            worker.flush(request)
        return self.model.said(request)


def _in_own_time(ports: MachinePorts, clock: HeapClock, skew: Skew, stamps: Stamps) -> MachinePorts:
    """The world around a machine, as it is for one whose clock is its own; the record stays in true time."""
    from emu.fake.skew import SkewedReports, SkewedWire, SkewedWorker, TrueTimes

    return evolve(
        ports,
        worker=SkewedWorker(ports.worker, skew),
        wire=SkewedWire(ports.wire, stamps),
        recorder=TrueTimes(ports.recorder, clock, skew, stamps),
        reports=SkewedReports(ports.reports, skew),
    )


def is_faulty(scenario: Scenario) -> bool:
    """Whether the scenario plans faults, actions or clients that lose patience, or is to be ready for any."""
    clients = scenario.workload
    return bool(
        scenario.run.faults_may_come
        or scenario.faults
        or scenario.delays
        or scenario.actions
        or clients.client_retries
        or clients.client_timeout_s
    )


def close(
    now: int, write: Callable[[Entry], None], nodes: Iterable[MachineNode], router: RouterNode, transfers: int
) -> None:
    """Write down what is left when a run is over; `transfers` are those still under way on the links."""
    for node in nodes:
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
    for load in router.core.pools.loads:
        pool_code, home = POOLS[load.pool.value], POOLS[load.home.value]
        write(BeliefClosed(now, load.machine, load.pending_tokens, load.sequences, load.free_blocks, pool_code, home))
    write(RunEnded(now, len(router.core.open), transfers))


def to_ps(seconds: float) -> int:
    return round(seconds * PS_PER_S)


def _worker(clock: HeapClock, cluster: Cluster, machine: Hardware, model: FakeModel) -> FakeWorker:
    sync_s = cluster.scenario.transfer.layer_sync_s
    sync_ps = to_ps(machine.profile.layer_sync_s if sync_s is None else sync_s)
    block_tokens = cluster.scenario.scheduler.block_tokens
    costs, layers = machine.costs, cluster.model.layers
    if not costs.closed_form:
        from emu.fake.own_costs import OwnCosts
        from emu.fake.own_costs_worker import OwnCostsWorker

        if isinstance(costs, OwnCosts):
            return OwnCostsWorker(clock, costs, model, KvMemory(), layers, sync_ps, block_tokens)
    return FakeWorker(clock, costs, model, KvMemory(), layers, sync_ps, block_tokens)


def machine_rules(
    cluster: Cluster, machine: Hardware, index: int, incarnation: int, seated: Seated, found: InStep = ()
) -> MachineRules:
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
        layer_wise_from_tokens=LAYER_WISE_NEVER if transfer.direction == "get" else layer_wise_from[transfer.mode],
        max_steps=limits.max_steps if machine.costs.closed_form else 1,
        next_prompt=None if order is None else order.next_prompt,
        choose_victim=order.victim if order is not None and order.chooses_victims else None,
        by_layer=None if transfers is None else transfers.by_layer,
    )
    return MachineRules(
        index,
        machine.kv_blocks,
        cluster.model.layers,
        to_ps(transfer.lease_s),
        rules,
        limits.block_tokens,
        to_ps(_outlasting_flights_s(transfer)),
        incarnation,
        transfer.direction == "get",
        is_faulty(scenario),
        found,
    )


def _outlasting_flights_s(transfer: Transfer) -> float:
    """How long a machine waits, by its clock, until what was posted has ended, or may not be posted any more: also if
    its clock is as fast as clocks may be, and that of whoever posts as slow. A right to post lasts 3/4 of a lease."""
    if not transfer.clock_error:
        return transfer.max_flight_s
    fast, slow = 1 + transfer.clock_error, 1 - transfer.clock_error
    posted_s = fast * (0.75 * transfer.lease_s / slow + transfer.max_flight_s)
    return max(fast * transfer.max_flight_s, posted_s - transfer.lease_s)


def router_rules(scenario: Scenario, seated: Seated) -> RouterRules:
    """Where nothing is ever lost nobody looks for it."""
    router = scenario.router
    recovery = RecoveryRules(
        max_attempts=router.max_attempts,
        retry_backoff_ps=to_ps(router.retry_backoff_s),
        poison_limit=router.poison_limit,
        resume=router.resume == "delivered",
    )
    return RouterRules(
        policy=seated.routing() or policy(router.policy, router.prefill_queue_limit_tokens),
        queue_limit_requests=router.queue_limit_requests,
        go_home_idle=router.go_home == "idle",
        repurpose_after_ps=to_ps(router.repurpose_after_s),
        block_tokens=scenario.scheduler.block_tokens,
        reserve_max_tokens=scenario.scheduler.reserve == "max_tokens",
        recovery=recovery,
    )


def members(cluster: Cluster) -> tuple[Member, ...]:
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
        _signal_times(cluster) if transfer.signal_s is None else {},
    )


def _signal_times(cluster: Cluster) -> dict[int, SignalTimes]:
    """By machine, where they were measured."""
    hardware = {group.hardware for group in cluster.scenario.machines if has_table(group.hardware, "signals")}
    if not hardware:
        return {}
    from emu.fake.signals import load_signals

    found = {name: load_signals(name).seeded(cluster.scenario.seed) for name in sorted(hardware)}
    names = (machine.group.hardware for machine in cluster.machines)
    return {index: found[name] for index, name in enumerate(names) if name in found}
