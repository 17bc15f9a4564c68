"""The composition root of the real world: a scenario becomes a cluster of GPUs in wall time, and its record.

Router, schedulers, transfer protocol and nodes are those of `emu.run`, not a line changed; beneath their ports stand
decoders on devices, copies between them, and a wall clock. Entries are kept in memory while the run lasts and judged
afterwards, so that nobody who reads the record takes time from who writes it.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO

import trio
from attrs import define, field, frozen

from emu.cluster import Cluster, is_faulty, to_ps
from emu.control.machine_events import Drained
from emu.control.messages import Message
from emu.fake.costs import alone_ps
from emu.node.machine_node import MachineNode
from emu.node.ports import MachinePorts
from emu.node.router_node import RouterNode
from emu.policies.contract import Contract
from emu.policies.seats import Seated
from emu.real.answers import Answers
from emu.real.client import WallClient
from emu.real.clock import WallClock
from emu.real.link import CudaLink
from emu.real.measure import Bench
from emu.real.reports import WallReports
from emu.real.shape import BYTES, VOCABULARY, DecoderShape, mlp_width
from emu.real.wire import WallWire
from emu.real.worker import TorchWorker
from emu.real.world import devices, worker_of
from emu.record.entries import Entry
from emu.record.log import Fold, Log
from emu.refusal import Refusal
from emu.rules import machine_rules, members, router_rules
from emu.run import close
from emu.scenario.schema import Scenario
from emu.workload.table import Workload

SWITCH_S = 1e-4
"""How long a thread that launches work may keep the interpreter from the control plane."""


@define
class Kept:
    """The record while it is made."""

    entries: list[Entry] = field(factory=list)

    def write(self, entry: Entry) -> None:
        self.entries.append(entry)


@frozen
class Machines:
    """The workers of a cluster, ready, and the clock that they are looked at by. Several runs may follow each other."""

    clock: WallClock
    workers: tuple[TorchWorker, ...]

    @classmethod
    def of(cls, cluster: Cluster, sequence_tokens: int, *, cpu: bool) -> Machines:
        """For sequences of up to `sequence_tokens` tokens. Raises Refusal where devices or profile do not allow it."""
        shapes = [shape_of(cluster, index, sequence_tokens) for index in range(len(cluster.machines))]
        clock, seed = WallClock(to_ps(cluster.scenario.run.liveness_s)), cluster.scenario.seed
        found = devices(len(shapes), clock.bell, cpu=cpu)
        pairs = enumerate(zip(found, shapes, strict=True))
        return cls(clock, tuple(worker_of(index, clock, device, shape, seed) for index, (device, shape) in pairs))

    def measure(self, kv_bytes_per_token: int) -> Bench:
        """How long their steps take, and copies from the first to the second. Raises Refusal without a second one."""
        if len(self.workers) < 2:
            raise Refusal("--profile-out", "expected two machines or more, since copies between them are measured")
        bench = Bench(self.clock, self.workers[0], self.workers[1], kv_bytes_per_token)
        with undisturbed():
            bench.run()
        return bench

    def close(self) -> None:
        for worker in self.workers:
            worker.device.close()


@contextmanager
def undisturbed() -> Iterator[None]:
    """No garbage is collected, and no thread keeps the others waiting: all machines share this process."""
    gc.collect()
    gc.disable()
    switch_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(switch_s)
        gc.enable()


@define
class RealRun:
    """One run: wired up by `build`, done by `go`. `close` is called when it is over, however it ends."""

    cluster: Cluster
    clock: WallClock
    log: Log
    kept: Kept
    client: WallClient
    link: CudaLink
    router: RouterNode
    nodes: tuple[MachineNode, ...]
    seated: Seated
    close: Callable[[], None]

    def go(self) -> None:
        """Run to the end of everything. Raises what a bug raises."""
        try:
            with undisturbed():
                trio.run(self._main, strict_exception_groups=True)
        finally:
            self.seated.close()
            self.close()
        for entry in self.kept.entries:
            self.log.write(entry)

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            self.clock.start()
            nursery.start_soon(self.router.run, name="router")
            for node in self.nodes:
                nursery.start_soon(node.run_engine, name=f"{node.name}/engine")
                nursery.start_soon(node.run_transfers, name=f"{node.name}/transfers")
            self.client.start()
            await self.clock.starved(self._quiet)
            await self._last_reports()
            nursery.cancel_scope.cancel()
        close(self.clock.now_ps, self.kept.write, self.nodes, self.router, self.link.open)

    async def _last_reports(self) -> None:
        """Let every machine's last report reach the router: the one that was due within a period, and one more."""
        scenario = self.cluster.scenario
        wait_ps = 2 * (to_ps(scenario.router.report_every_s) + to_ps(scenario.network.control_latency_s))
        self.clock.call_at(self.clock.now_ps + wait_ps, self.router.inbox.signal.set)
        await self.clock.starved(self._quiet)

    def _quiet(self) -> bool:
        """Whether every request is over, and so is every transfer."""
        transfers = (node.core.sender.open or node.core.receiver.open for node in self.nodes)
        return self.client.over == len(self.client.workload) and not self.link.open and not any(transfers)


def build(
    cluster: Cluster,
    workload: Workload,
    folds: Sequence[Fold],
    file: IO[bytes] | None,
    machines: Machines,
    close: Callable[[], None],
) -> RealRun:
    """The whole cluster, wired up over its machines, which nothing else uses meanwhile. Raises Refusal.

    The run's time begins when it goes; `close` is called when it is over.
    """
    scenario, clock, workers, kept = cluster.scenario, machines.clock, machines.workers, Kept()
    if is_faulty(scenario):
        raise Refusal("--world real", "expected no faults, delays or clients that give up: real ones come unplanned")
    if scenario.router.resume == "delivered":
        raise Refusal("router.resume", 'expected "scratch" beside --world real: its prompts have no answers in them')
    clock.clear()
    log = Log(folds, file, cluster.started(workload).line() if file is not None else "")
    asked = scenario.workload.max_tokens
    max_tokens = None if asked == "exact" else asked
    answers = Answers(workload.prompt_tokens, outputs(scenario, workload), VOCABULARY)
    for worker in workers:
        worker.answers = answers
    seated = Seated(cluster.seats, Contract(kept.write, clock.now))
    nodes: list[MachineNode] = []
    routers: list[RouterNode] = []

    def deliver(machine: int, message: Message) -> None:
        nodes[machine].deliver(message)

    latency_ps = to_ps(scenario.network.control_latency_s)
    wire = WallWire(clock, latency_ps, deliver, lambda message: routers[0].deliver(message))  # type: ignore[arg-type]
    reports = WallReports(clock, to_ps(scenario.router.report_every_s), latency_ps, len(cluster.machines))
    link = CudaLink(
        clock,
        workers,
        cluster.model.kv_bytes_per_token,
        cluster.model.layers,
        kept,
        deliver,
        lambda machine, key: nodes[machine].deliver(Drained(*key)),
    )
    client = WallClient(
        clock,
        workload,
        answers,
        lambda prompt, output: alone_ps(cluster.alone, prompt, output),
        kept,
        max_tokens,
        scenario.seed,
        lambda submit: routers[0].deliver(submit),
    )
    for index, machine in enumerate(cluster.machines):
        core = cluster.classes.machine(machine_rules(cluster, machine, index, 0, seated), cluster.classes.of_machine)
        ports = MachinePorts(clock, workers[index], link.port(index), wire, client, kept, reports)
        nodes.append(MachineNode(machine.name, core, ports, to_ps(scenario.transfer.heartbeat_s)))
    router = cluster.classes.router(members(cluster), router_rules(scenario, seated), cluster.classes.recovery)
    routers.append(RouterNode(router, clock, wire, client, kept, reports))
    return RealRun(cluster, clock, log, kept, client, link, routers[0], tuple(nodes), seated, close)


def outputs(scenario: Scenario, workload: Workload) -> list[int]:
    """How many tokens each request will get: its own length, or what its client asks for if that is less."""
    most = scenario.workload.max_tokens
    return [tokens if most == "exact" else min(tokens, most) for tokens in workload.output_tokens]


def longest(scenario: Scenario, workload: Workload) -> int:
    """Tokens of the longest sequence, prompt and answer."""
    return max(map(int.__add__, workload.prompt_tokens, outputs(scenario, workload)), default=1)


def shape_of(cluster: Cluster, index: int, sequence_tokens: int) -> DecoderShape:
    """The decoder of machine `index`, after the model's profile. Raises Refusal where no decoder here is like that."""
    model, machine = cluster.model, cluster.machines[index]
    if machine.group.tensor_parallel != 1:
        raise Refusal("--world real", f"expected tensor_parallel = 1, got {machine.group.tensor_parallel}")
    cached = 2 * model.layers * model.kv_heads * model.head_dim * BYTES
    if model.kv_bytes_per_token != cached:
        expected = f"expected {model.name} with {cached} bytes of KV cache a token, got {model.kv_bytes_per_token}"
        raise Refusal("--world real", expected)
    block_tokens = cluster.scenario.scheduler.block_tokens
    mlp = mlp_width(model.weights_bytes, model.layers, model.hidden, model.heads, model.kv_heads, model.head_dim)
    return DecoderShape(
        model.layers,
        model.hidden,
        model.heads,
        model.kv_heads,
        model.head_dim,
        mlp,
        machine.kv_blocks,
        block_tokens,
        -(-(sequence_tokens + 1) // block_tokens),
        cluster.scenario.scheduler.decode_batch,
    )
