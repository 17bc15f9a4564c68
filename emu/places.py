"""Places: where machines stand, and what becomes of the processes in them.

A process dies, is started again under the next incarnation, is stopped and goes on. Loops are cancelled and launched,
and the channel of reports is told who is heard. Which of that happens when is a fault plan's, in `emu.strikes`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

import trio
from attrs import define, field

from emu.control.batch import InStep
from emu.fake.clock import HeapClock, TasksMadeRunnable
from emu.fake.faulty_link import FaultyLink
from emu.fake.faulty_reports import FaultyReports
from emu.fake.faulty_wire import FaultyWire
from emu.fake.plan import ROUTER, SCALE
from emu.fake.process import Process
from emu.fake.worker import FakeWorker
from emu.node.machine_node import MachineNode
from emu.record.entries import MachineCrashed, MachineLeft, MachineStarted
from emu.record.log import Log

Undo = Callable[[], None]
"""Of what was done to a process: nothing, if that process is no more."""


@define(eq=False, repr=False)
class Place:
    """What stands where a machine is: one process after another."""

    process: Process
    up: bool = True
    incarnation: int = 0
    pauses: int = 0
    held: list[Callable[[], None]] = field(factory=list)  # what came while it was paused
    slowed: list[int] = field(factory=list)  # factors, in thousandths
    scopes: list[trio.CancelScope] = field(factory=list)

    def receive(self, hand: Callable[[], None]) -> None:
        """The network hands something in: now, or when the process goes on, or never."""
        if not self.up:
            return
        if self.pauses:
            self.held.append(hand)
        else:
            hand()


@define(eq=False, repr=False)
class Places:
    """Those of all machines. `revive(machine, incarnation, found)` puts a new process, worker and node in a machine's
    place; what it finds there its predecessor has left."""

    clock: HeapClock
    log: Log
    wire: FaultyWire
    link: FaultyLink
    reports: FaultyReports
    workers: Sequence[FakeWorker]
    nodes: Sequence[MachineNode]
    places: Sequence[Place]
    revive: Callable[[int, int, InStep], None]
    _nursery: trio.Nursery | None = field(init=False, default=None)

    def __getitem__(self, machine: int) -> Place:
        return self.places[machine]

    def start(self, nursery: trio.Nursery) -> None:
        """Run the loops of all machines."""
        self._nursery = nursery
        for machine in range(len(self.nodes)):
            self._launch(machine)

    def hear(self, machines: Iterable[int]) -> None:
        """Tell the channel of reports which of these machines are heard."""
        for machine in machines:
            place = self.places[machine]
            heard = place.up and not place.pauses and self.wire.ways.factor(machine, ROUTER) > 0
            self.reports.hear(machine, heard, place.incarnation)

    def take_down(
        self, machine: int, then: Callable[[], None] = lambda: None, *, leaves: bool = False, raised: bool = False
    ) -> None:
        """A process is gone, with all that was in its memory; because its step has `raised`, or just so. Raises
        TasksMadeRunnable when that is done, and so `then`."""
        place, now = self.places[machine], self.clock.now_ps
        found = self.nodes[machine].halt(raised=raised)
        self.log.write((MachineLeft if leaves else MachineCrashed)(now, machine, place.incarnation))
        place.up = False
        place.held.clear()
        self.hear((machine,))
        if leaves:
            self.reports.farewell(machine)
        self.link.fell(machine)
        scopes, place.scopes = place.scopes, []
        self.revive(machine, place.incarnation + 1, found)
        then()
        for scope in scopes:
            scope.cancel()
        raise TasksMadeRunnable

    def start_again(self, machine: int) -> None:
        """A new process is ready. Raises TasksMadeRunnable."""
        place = self.places[machine]
        place.up, place.pauses = True, 0
        place.slowed.clear()
        place.incarnation += 1
        self.log.write(MachineStarted(self.clock.now_ps, machine, place.incarnation))
        self.hear((machine,))
        self._launch(machine)
        raise TasksMadeRunnable

    def pause(self, machine: int) -> Undo:
        """Nothing goes on there, and nothing is heard; transfers that were posted are not stopped."""
        place, paused_ps = self.places[machine], self.clock.now_ps
        place.pauses += 1
        self._stop(machine, place.process.engine.close, place.process.transfers.close)
        self.hear((machine,))

        def go_on() -> None:
            place.pauses -= 1
            place.process.engine.open()
            place.process.transfers.open()
            if not place.pauses:
                held, place.held = place.held, []
                self.nodes[machine].stalled(self.clock.now_ps - paused_ps)
                for hand in held:
                    hand()
                self.nodes[machine].caught_up()
            self.hear((machine,))

        return self._of_this_process(place, go_on)

    def hang(self, machine: int) -> Undo:
        """Its engine gets nowhere; what only answers still does."""
        place = self.places[machine]
        self._stop(machine, place.process.engine.close)
        return self._of_this_process(place, place.process.engine.open)

    def slow(self, machine: int, factor: int) -> Undo:
        """Its steps take so many thousandths of their time, from the next one on."""
        place = self.places[machine]
        place.slowed.append(factor)
        self._set_pace(machine)

        def as_before() -> None:
            place.slowed.remove(factor)
            self._set_pace(machine)

        return self._of_this_process(place, as_before)

    def has_work(self, machine: int) -> bool:
        """Whether anything is left there that a machine must not take with it."""
        core = self.nodes[machine].core
        busy = len(core.scheduler.prefills) + core.scheduler.decoding + len(core.sender.open) + len(core.receiver.open)
        return bool(busy) or core.pool.free_blocks != core.pool.capacity

    def _of_this_process(self, place: Place, undo: Undo) -> Undo:
        incarnation = place.incarnation

        def undo_there() -> None:
            if place.up and place.incarnation == incarnation:
                undo()

        return undo_there

    def _set_pace(self, machine: int) -> None:
        """From the next step on, steps take what all faults on this machine make of them."""
        factor = SCALE
        for slowed in self.places[machine].slowed:
            factor = max(1, factor * slowed // SCALE)
        self.workers[machine].factor = factor
        self._stop(machine)

    def _stop(self, machine: int, *gates: Callable[[], None]) -> None:
        """The step under way is the last that ends; then these gates are shut."""
        if self.workers[machine].curb():
            self.nodes[machine].inbox.signal.set()
        for shut in gates:
            shut()

    def _launch(self, machine: int) -> None:
        node, place = self.nodes[machine], self.places[machine]
        assert self._nursery is not None
        for part, loop in (("engine", node.run_engine), ("transfers", node.run_transfers)):
            scope = trio.CancelScope()
            place.scopes.append(scope)
            self._nursery.start_soon(_within, scope, loop, name=f"{node.name}/{part}")


async def _within(scope: trio.CancelScope, loop: Callable[[], Awaitable[None]]) -> None:
    with scope:
        await loop()
