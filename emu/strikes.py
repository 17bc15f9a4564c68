"""Strikes: what a fault plan does to a running cluster, fault by fault.

It is composed only into a run that faults may strike: a plan's, or those that an operator causes while it runs. Here
processes die, start again, stop and go on; wires, links and reports are told what is cut. Nothing is decided by chance.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import trio
from attrs import define, field

from emu.control.batch import InStep
from emu.control.messages import Drain
from emu.fake.clock import PS_PER_S, HeapClock, TasksMadeRunnable
from emu.fake.faulty_link import FaultyLink
from emu.fake.faulty_reports import FaultyReports
from emu.fake.faulty_wire import FaultyWire
from emu.fake.fickle_client import FickleClient
from emu.fake.plan import ANY, MESSAGE_FAULTS, PUT_FAULTS, ROUTER, SCALE, Strike, Trigger
from emu.fake.process import Process
from emu.fake.ways import ways_of
from emu.fake.witness import Witness
from emu.fake.worker import FakeWorker
from emu.node.machine_node import MachineNode
from emu.planned import permille, ps, strike_of, strike_of_delay
from emu.record.entries import (
    FaultCode,
    FaultHealed,
    FaultStruck,
    MachineCrashed,
    MachineLeft,
    MachineStarted,
    RateChanged,
)
from emu.record.log import Log
from emu.scenario.schema import Action, Scenario, machine_names
from emu.succession import Succession

_LOOK_PS = PS_PER_S // 10  # how often a machine that is drained looks whether it has nothing left
_ACTION, _CONSEQUENCE = 1, 2  # turns at one instant, behind the faults that strike then: whether planned or not


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
class Strikes:
    """`revive(machine, incarnation, found)` puts a new process, worker and node in a machine's place; what it finds
    there its predecessor has left."""

    clock: HeapClock
    log: Log
    witness: Witness
    wire: FaultyWire
    link: FaultyLink
    reports: FaultyReports
    workers: Sequence[FakeWorker]
    nodes: Sequence[MachineNode]
    places: list[Place]
    nics: Sequence[int]  # network cards, by machine
    revive: Callable[[int, int, InStep], None]
    submit: Callable[[Any], None]  # to the router
    arm: Callable[[], None]  # called before the first fault acts
    succession: Succession
    client: FickleClient = field(init=False)
    _nursery: trio.Nursery | None = field(init=False, default=None)
    _numbers: int = field(init=False, default=0)
    _armed: bool = field(init=False, default=False)
    _lasting: dict[tuple[int, int], Callable[[], None]] = field(init=False, factory=dict)  # by fault and machine
    _kinds: dict[FaultCode, Callable[[Strike], None]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._kinds = {
            FaultCode.CRASH: self._crash,
            FaultCode.RESTART: self._crash,
            FaultCode.PAUSE: self._pause,
            FaultCode.HANG: self._hang,
            FaultCode.SLOW: self._slow,
            FaultCode.LINK_DOWN: self._link,
            FaultCode.LINK_SLOW: self._link,
            FaultCode.NIC_DOWN: self._nic,
            FaultCode.STALE_REPORT: self._stale,
            FaultCode.DRAIN: self._drain,
            FaultCode.JOIN: self._join,
            FaultCode.CANCEL: self._cancel,
            FaultCode.POISON: self._poison,
            FaultCode.CLOCK: self._clock_differs,
            FaultCode.ROUTER_CRASH: self._router,
            FaultCode.ROUTER_FAILOVER: self._router,
        }

        self.wire.struck = self.link.struck = self._hit
        self.wire.granted = self.link.granted

    def plan_all(self, scenario: Scenario) -> None:
        """All faults, delays and actions of a scenario, in the order of the file."""
        names = {name: index for index, name in enumerate(machine_names(scenario))}
        for fault in scenario.faults:
            self.plan(strike_of(fault, names))
        for delay in scenario.delays:
            self.plan(strike_of_delay(delay))
        for action in scenario.actions:
            self.plan_action(action, ps(action.at_s))

    def start(self, nursery: trio.Nursery) -> None:
        """Run the loops of all machines."""
        self._nursery = nursery
        self.succession.start(nursery)
        for machine in range(len(self.nodes)):
            self._launch(machine)

    def is_up(self, machine: int) -> bool:
        return self.places[machine].up

    def plan(self, strike: Strike) -> None:
        """Let this fault strike at its time. Its number in the record is the count of those planned before."""
        strike = strike._replace(number=self._numbers)
        self._numbers += 1
        trigger = strike.trigger
        if trigger is not None:
            self.witness.wait(trigger, lambda entry: self._reached(trigger, entry, strike))
        else:
            self._at(strike.at_ps, strike)
        if strike.kind is FaultCode.JOIN:
            self.clock.call_first(self.clock.now_ps, lambda: self._be_absent(strike.machine))

    def plan_action(self, action: Action, at_ps: int) -> None:
        """Let this be done at that time."""
        faster, fault = permille(action.factor), action.fault
        do = (lambda: self._hurry(faster)) if fault is None else (lambda: self._heal_now(fault))
        self.clock.call_first(at_ps, do, _ACTION)

    def _hurry(self, permille: int) -> None:
        self.log.write(RateChanged(self.clock.now_ps, permille))
        self.client.hurry(permille)

    def _heal_now(self, fault: int) -> None:
        """What lasts of this fault, if anything does."""
        for heal in [heal for (number, _), heal in self._lasting.items() if number == fault]:
            heal()

    def _reached(self, trigger: Trigger, entry: Any, strike: Strike) -> None:
        """What a fault hangs on has happened."""

        def soon() -> None:
            self._at(self.clock.now_ps + trigger.after_ps, strike)

        if trigger.half:
            self.link.at_half(entry.source, (entry.request, entry.attempt), soon)
        else:
            soon()

    def _hit(self, strike: Strike, sender: int, receiver: int, request: int) -> None:
        """A fault of messages or puts has struck one."""
        self._tell(strike, sender, receiver, request, int(self.witness.is_open(request)))

    def _at(self, at_ps: int, strike: Strike) -> None:
        self.clock.call_first(at_ps, lambda: self._act(strike))

    def _act(self, strike: Strike) -> None:
        """The time of this fault has come."""
        if not self._armed:
            self._armed = True
            self.arm()
        if strike.kind in MESSAGE_FAULTS:
            self.wire.watch(strike)
        elif strike.kind in PUT_FAULTS:
            self.link.watch_puts(strike)
        else:
            self._kinds[strike.kind](strike)

    def _tell(self, strike: Strike, machine: int, peer: int, request: int = -1, live: int = 0) -> None:
        entry = FaultStruck(
            self.clock.now_ps, strike.number, int(strike.kind), max(machine, -1), max(peer, -1), request, live
        )
        self.log.write(entry)

    def _struck(self, strike: Strike) -> None:
        machine, peer = strike.machine, strike.peer
        live = max(self.witness.live(end) for end in (machine, peer if peer >= 0 else machine))
        self._tell(strike, machine, peer, live=live)

    def _heal(self, strike: Strike, undo: Callable[[], None]) -> None:
        """After its time, if it has one, or when an action says so, what this fault did is undone."""
        key, clock = (strike.number, strike.machine), self.clock

        def heal() -> None:
            del self._lasting[key]
            if due is not None:
                clock.cancel(due)
            now, machine, peer = clock.now_ps, max(strike.machine, -1), max(strike.peer, -1)
            self.log.write(FaultHealed(now, strike.number, int(strike.kind), machine, peer))
            undo()

        self._lasting[key] = heal
        after_ps = strike.heal_after_ps
        due = None if after_ps is None else clock.call_first(clock.now_ps + after_ps, heal, _CONSEQUENCE)

    def _launch(self, machine: int) -> None:
        node, place = self.nodes[machine], self.places[machine]
        assert self._nursery is not None
        for part, loop in (("engine", node.run_engine), ("transfers", node.run_transfers)):
            scope = trio.CancelScope()
            place.scopes.append(scope)
            self._nursery.start_soon(_within, scope, loop, name=f"{node.name}/{part}")

    def _hear(self, machine: int) -> None:
        """Tell the channel of reports whether this machine is heard."""
        place = self.places[machine]
        heard = place.up and not place.pauses and self.wire.ways.factor(machine, ROUTER) > 0
        self.reports.hear(machine, heard, place.incarnation)

    def _crash(self, strike: Strike, *, raised: bool = False) -> None:
        self._struck(strike)
        if self.places[strike.machine].up:  # what is gone cannot crash
            again = partial(self._start_again, strike.machine)
            self._take_down(strike.machine, lambda: self._heal(strike, again), raised=raised)

    def _take_down(
        self, machine: int, then: Callable[[], None] = lambda: None, *, leaves: bool = False, raised: bool = False
    ) -> None:
        """A process is gone, with all that was in its memory; because its step has `raised`, or just so."""
        place, now = self.places[machine], self.clock.now_ps
        found = self.nodes[machine].halt(raised=raised)
        self.log.write((MachineLeft if leaves else MachineCrashed)(now, machine, place.incarnation))
        place.up = False
        place.held.clear()
        self._hear(machine)
        if leaves:
            self.reports.farewell(machine)
        self.link.fell(machine)
        scopes, place.scopes = place.scopes, []
        self.revive(machine, place.incarnation + 1, found)
        then()
        for scope in scopes:
            scope.cancel()
        raise TasksMadeRunnable

    def _be_absent(self, machine: int) -> None:
        """A machine that will join is not there yet."""
        if self.places[machine].up:
            self._take_down(machine, leaves=True)

    def _join(self, strike: Strike) -> None:
        self._struck(strike)
        if not self.places[strike.machine].up:
            self._start_again(strike.machine)

    def _drain(self, strike: Strike) -> None:
        """The router places nothing there any more; the process leaves once it has nothing, or at the deadline."""
        machine, place = strike.machine, self.places[strike.machine]
        self._struck(strike)
        if not place.up:
            return
        self.submit(Drain(machine))
        incarnation, deadline_ps = place.incarnation, strike.deadline_ps
        end_ps = None if deadline_ps is None else self.clock.now_ps + deadline_ps
        idle_since: list[int] = []

        def look() -> None:
            if not place.up or place.incarnation != incarnation:
                return
            if end_ps is not None and self.clock.now_ps >= end_ps:
                self._take_down(machine)
            if _has_work(self.nodes[machine]):
                idle_since.clear()
            elif idle_since:  # twice in a row: nothing was on its way to it
                self._take_down(machine, leaves=True)
            else:
                idle_since.append(self.clock.now_ps)
            self.clock.call_first(self.clock.now_ps + _LOOK_PS, look, _CONSEQUENCE)

        self.clock.call_first(self.clock.now_ps + _LOOK_PS, look, _CONSEQUENCE)

    def _cancel(self, strike: Strike) -> None:
        request = strike.request
        self._tell(strike, ANY, ANY, request, int(self.witness.is_open(request)))
        if self.witness.is_open(request):
            self.client.cancel(request)

    def _poison(self, strike: Strike) -> None:
        """In whichever step this request is, it raises, and the machine's process ends with that, every time."""
        trigger = Trigger("StepStarted", 1, ANY, strike.request, 0)

        def crash(entry: Any) -> None:
            self.witness.wait(trigger, crash)
            machine = entry.machine
            self.clock.call_first(self.clock.now_ps, lambda: self._crash(strike._replace(machine=machine), raised=True))

        self.witness.wait(trigger, crash)

    def _nic(self, strike: Strike) -> None:
        """One network card of a machine is gone: the others carry what it did."""
        cards = self.nics[strike.machine]
        factor = 0 if cards == 1 else SCALE * cards // (cards - 1)
        self._link(strike._replace(factor=factor, control=False))

    def _clock_differs(self, strike: Strike) -> None:
        """From the start, or it begins to."""
        skew, clock = self.places[strike.machine].process.skew, self.clock
        assert skew is not None, "clocks that may differ are made so"
        self._struck(strike)
        skew.set_ahead(strike.by_ps)
        if strike.drift_ppm:
            skew.drift(clock.now_ps, strike.drift_ppm)
            self._heal(strike, lambda: skew.drift(clock.now_ps, 0))

    def _router(self, strike: Strike) -> None:
        """The router is gone, or another one takes over from it."""
        self._struck(strike)
        follow = self.succession.crash if strike.kind is FaultCode.ROUTER_CRASH else self.succession.fail_over
        assert strike.heal_after_ps is not None

        def heal() -> None:
            self.log.write(FaultHealed(self.clock.now_ps, strike.number, int(strike.kind), -1, -1))

        follow(strike.heal_after_ps, heal)

    def _stale(self, strike: Strike) -> None:
        machine = strike.machine
        self._struck(strike)
        if self.places[machine].up:
            self.reports.freeze(machine)
            self._heal(strike, lambda: self.reports.thaw(machine))

    def _start_again(self, machine: int) -> None:
        place = self.places[machine]
        place.up, place.pauses = True, 0
        place.slowed.clear()
        place.incarnation += 1
        self.log.write(MachineStarted(self.clock.now_ps, machine, place.incarnation))
        self._hear(machine)
        self._launch(machine)
        raise TasksMadeRunnable

    def _pause(self, strike: Strike) -> None:
        machine = strike.machine
        place = self.places[machine]
        self._struck(strike)
        if not place.up:
            return
        incarnation, paused_ps = place.incarnation, self.clock.now_ps
        place.pauses += 1
        self._stop(machine, place.process.engine.close, place.process.transfers.close)
        self._hear(machine)

        def go_on() -> None:
            if place.up and place.incarnation == incarnation:
                place.pauses -= 1
                place.process.engine.open()
                place.process.transfers.open()
                if not place.pauses:
                    held, place.held = place.held, []
                    self.nodes[machine].stalled(self.clock.now_ps - paused_ps)
                    for hand in held:
                        hand()
                    self.nodes[machine].caught_up()
                self._hear(machine)

        self._heal(strike, go_on)

    def _hang(self, strike: Strike) -> None:
        machine = strike.machine
        place = self.places[machine]
        self._struck(strike)
        if not place.up:
            return
        incarnation = place.incarnation
        self._stop(machine, place.process.engine.close)

        def go_on() -> None:
            if place.up and place.incarnation == incarnation:
                place.process.engine.open()

        self._heal(strike, go_on)

    def _stop(self, machine: int, *gates: Callable[[], None]) -> None:
        """The step under way is the last that ends; then these gates are shut."""
        if self.workers[machine].curb():
            self.nodes[machine].inbox.signal.set()
        for shut in gates:
            shut()

    def _slow(self, strike: Strike) -> None:
        machine, place = strike.machine, self.places[strike.machine]
        self._struck(strike)
        if not place.up:
            return
        incarnation = place.incarnation
        place.slowed.append(strike.factor)
        self._set_pace(machine)

        def as_before() -> None:
            if place.up and place.incarnation == incarnation:
                place.slowed.remove(strike.factor)
                self._set_pace(machine)

        self._heal(strike, as_before)

    def _set_pace(self, machine: int) -> None:
        """From the next step on, steps take what all faults on this machine make of them."""
        factor = SCALE
        for slowed in self.places[machine].slowed:
            factor = max(1, factor * slowed // SCALE)
        self.workers[machine].factor = factor
        self._stop(machine)

    def _link(self, strike: Strike) -> None:
        ways = ways_of(strike.machine, strike.peer, strike.one_way)
        factor = 0 if strike.kind is FaultCode.LINK_DOWN else strike.factor
        self._struck(strike)
        planes = [plane.ways for plane, hit in ((self.wire, strike.control), (self.link, strike.data)) if hit]

        def change(act: str) -> None:
            for plane in planes:
                getattr(plane, act)(ways, factor)
            self.link.changed()
            for machine in {end for way in ways for end in way if end >= 0}:
                if self.places[machine].up:
                    self._hear(machine)

        change("strike")
        self._heal(strike, lambda: change("heal"))


def _has_work(node: MachineNode) -> bool:
    core = node.core
    busy = len(core.scheduler.prefills) + core.scheduler.decoding + len(core.sender.open) + len(core.receiver.open)
    return bool(busy) or core.pool.free_blocks != core.pool.capacity


async def _within(scope: trio.CancelScope, loop: Callable[[], Awaitable[None]]) -> None:
    with scope:
        await loop()
