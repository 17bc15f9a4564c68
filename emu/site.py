"""Site: the emulated world around a cluster while it is wired up, with faults or without.

Workers, wires, links and reports meet their machines here; cores and nodes are made by `emu.run`. Without faults
nothing of theirs is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field

from emu.cluster import Cluster, Hardware, to_ps
from emu.control.batch import InStep
from emu.control.machine_events import Drained, PutFailed
from emu.control.messages import Message
from emu.control.transfer.chunks import LayerRange
from emu.fake.clock import HeapClock
from emu.fake.link import FakeLink
from emu.fake.model import FakeModel, KvMemory
from emu.fake.reports import FakeReports
from emu.fake.wire import FakeWire
from emu.fake.worker import FakeWorker
from emu.node.machine_node import MachineNode
from emu.node.ports import Clock, KvLink, MachinePorts
from emu.node.router_node import RouterNode
from emu.policies.seats import Seated
from emu.record.log import Log
from emu.rules import link_rules

if TYPE_CHECKING:
    from emu.fake.skew import Skew, Stamps
    from emu.fake.witness import Witness
    from emu.strikes import Strikes
    from emu.succession import Make


@define(eq=False, repr=False)
class Site:
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
        link = FakeLink(clock, link_rules(self.cluster), self.workers, self.log, deliver, self.drained)
        return wire, link, reports

    def with_faults(self, witness: Witness) -> Strikes:
        """Wires, links and reports that faults may strike, and what makes them."""
        from emu.fake.faulty_link import FaultyLink
        from emu.fake.faulty_reports import FaultyReports
        from emu.fake.faulty_wire import FaultyWire
        from emu.fake.process import Process
        from emu.places import Place, Places
        from emu.strikes import Strikes
        from emu.succession import Succession

        scenario, clock, machines = self.cluster.scenario, self.clock, self.cluster.machines
        latency_ps = to_ps(scenario.network.control_latency_s)
        if any(fault.kind == "clock" for fault in scenario.faults):
            self._let_clocks_differ()
        skews: Sequence[Skew | None] = self.skews or len(machines) * [None]
        hangs_on_wakeups = any(fault.on == "Wakeup" for fault in scenario.faults)

        def woken(index: int) -> Callable[[], bool] | None:
            return (lambda: witness.woken(index)) if hangs_on_wakeups else None

        places = [
            Place(Process.of(clock, machine.name, skew, woken(index)))
            for index, (machine, skew) in enumerate(zip(machines, skews, strict=True))
        ]

        def deliver(machine: int, message: Message) -> None:
            places[machine].receive(lambda: self.nodes[machine].deliver(message))

        def drained(machine: int, key: tuple[int, int]) -> None:
            places[machine].receive(lambda: self.drained(machine, key))

        def failed(machine: int, key: tuple[int, int], layers: tuple[LayerRange, ...]) -> None:
            places[machine].receive(lambda: self.nodes[machine].deliver(PutFailed(*key, layers)))

        def revive(index: int, incarnation: int, found: InStep) -> None:
            machine, place = machines[index], places[index]
            place.process = Process.of(clock, machine.name, place.process.skew, place.process.woken)
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
            link_rules(self.cluster),
            self.workers,
            self.log,
            deliver,
            drained,
            max_flight_ps=to_ps(scenario.transfer.max_flight_s),
            carry=wire.carry,
            failed=failed,
        )
        nics = tuple(machine.profile.nics for machine in machines)
        world = (wire, link, reports)
        standing = Places(clock, self.log, *world, self.workers, self.nodes, places, revive)
        return Strikes(clock, self.log, witness, *world, standing, nics, succession.hear, self.patrol, succession)

    def link_port(self, link: FakeLink, index: int) -> KvLink:
        """The KvLink of one machine."""
        port = link.port(index)
        if self.cluster.machines[index].host is None:
            return port
        from emu.fake.host_worker import HostPort

        return HostPort(port, index, self.workers)

    def _let_clocks_differ(self) -> None:
        from emu.fake.skew import Skew, Stamps

        self.stamps = Stamps(self.clock)
        self.skews = [Skew() for _ in self.cluster.machines]

    def patrol(self) -> None:
        """From now on something may be lost: the router is to look for it."""
        router = self.routers[-1]
        router.core.recovery.patrol(to_ps(self.cluster.scenario.router.patrol_s), self.clock.now_ps)
        router.inbox.signal.set()
        for node in self.nodes:
            node.patrol()

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


def in_own_time(ports: MachinePorts, clock: HeapClock, skew: Skew, stamps: Stamps) -> MachinePorts:
    """The world around a machine, as it is for one whose clock is its own; the record stays in true time."""
    from emu.fake.skew import SkewedReports, SkewedWire, SkewedWorker, TrueTimes

    return evolve(
        ports,
        worker=SkewedWorker(ports.worker, skew),
        wire=SkewedWire(ports.wire, stamps),
        recorder=TrueTimes(ports.recorder, clock, skew, stamps),
        reports=SkewedReports(ports.reports, skew),
    )


def _worker(clock: HeapClock, cluster: Cluster, machine: Hardware, model: FakeModel) -> FakeWorker:
    sync_s = cluster.scenario.transfer.layer_sync_s
    sync_ps = to_ps(machine.profile.layer_sync_s if sync_s is None else sync_s)
    block_tokens = cluster.scenario.scheduler.block_tokens
    costs, layers = machine.costs, cluster.model.layers
    if machine.host is not None:
        from emu.fake.host_worker import HostWorker

        return HostWorker(clock, costs, model, KvMemory(), layers, sync_ps, block_tokens, machine.host)
    if not costs.closed_form:
        from emu.fake.own_costs import OwnCosts
        from emu.fake.own_costs_worker import OwnCostsWorker

        if isinstance(costs, OwnCosts):
            return OwnCostsWorker(clock, costs, model, KvMemory(), layers, sync_ps, block_tokens)
    return FakeWorker(clock, costs, model, KvMemory(), layers, sync_ps, block_tokens)
