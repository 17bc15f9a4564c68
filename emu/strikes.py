"""Strikes: what a fault plan does to a running cluster, fault by fault.

It is composed only into a run that faults may strike: a plan's, or those that an operator causes while it runs. Wires,
links, reports and places are told what is cut or dies; nothing is decided by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import trio
from attrs import define, field

from emu.control.messages import Drain
from emu.fake.clock import PS_PER_S, HeapClock
from emu.fake.faulty_link import FaultyLink
from emu.fake.faulty_reports import FaultyReports
from emu.fake.faulty_wire import FaultyWire
from emu.fake.fickle_client import FickleClient
from emu.fake.plan import ANY, MESSAGE_FAULTS, PUT_FAULTS, SCALE, Strike, Trigger
from emu.fake.ways import ways_of
from emu.fake.witness import Witness
from emu.places import Places
from emu.planned import permille, ps, strike_of, strike_of_delay
from emu.record.entries import (
    FaultCode,
    FaultHealed,
    FaultStruck,
    RateChanged,
)
from emu.record.log import Log
from emu.scenario.schema import Action, Scenario, machine_names
from emu.succession import Succession

_LOOK_PS = PS_PER_S // 10  # how often a machine that is drained looks whether it has nothing left
_ACTION, _CONSEQUENCE = 1, 2  # turns at one instant, behind the faults that strike then: whether planned or not


@define(eq=False, repr=False)
class Strikes:
    """All that is planned for one run; faults are numbered in the order in which they were."""

    clock: HeapClock
    log: Log
    witness: Witness
    wire: FaultyWire
    link: FaultyLink
    reports: FaultyReports
    places: Places
    nics: Sequence[int]  # network cards, by machine
    submit: Callable[[Any], None]  # to the router
    arm: Callable[[], None]  # called before the first fault acts
    succession: Succession
    client: FickleClient = field(init=False)
    _numbers: int = field(init=False, default=0)
    _armed: bool = field(init=False, default=False)
    _lasting: dict[tuple[int, int], Callable[[], None]] = field(init=False, factory=dict)  # by fault and machine
    _kinds: dict[FaultCode, Callable[[Strike], None]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._kinds = {
            FaultCode.CRASH: self._crash,
            FaultCode.RESTART: self._crash,
            FaultCode.PAUSE: self._process,
            FaultCode.HANG: self._process,
            FaultCode.SLOW: self._process,
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
        """Run the loops of all machines, and the router's."""
        self.succession.start(nursery)
        self.places.start(nursery)

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

    def _crash(self, strike: Strike, *, raised: bool = False) -> None:
        self._struck(strike)
        if self.places[strike.machine].up:  # what is gone cannot crash
            again = partial(self.places.start_again, strike.machine)
            self.places.take_down(strike.machine, lambda: self._heal(strike, again), raised=raised)

    def _be_absent(self, machine: int) -> None:
        """A machine that will join is not there yet."""
        if self.places[machine].up:
            self.places.take_down(machine, leaves=True)

    def _join(self, strike: Strike) -> None:
        self._struck(strike)
        if not self.places[strike.machine].up:
            self.places.start_again(strike.machine)

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
                self.places.take_down(machine)
            if self.places.has_work(machine):
                idle_since.clear()
            elif idle_since:  # twice in a row: nothing was on its way to it
                self.places.take_down(machine, leaves=True)
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

    def _process(self, strike: Strike) -> None:
        """Of a process that runs: until the fault heals, or the process is no more."""
        places, machine = self.places, strike.machine
        self._struck(strike)
        if not places[machine].up:
            return
        if strike.kind is FaultCode.PAUSE:
            self._heal(strike, places.pause(machine))
        elif strike.kind is FaultCode.HANG:
            self._heal(strike, places.hang(machine))
        else:
            self._heal(strike, places.slow(machine, strike.factor))

    def _link(self, strike: Strike) -> None:
        ways = ways_of(strike.machine, strike.peer, strike.one_way)
        factor = 0 if strike.kind is FaultCode.LINK_DOWN else strike.factor
        self._struck(strike)
        planes = [plane.ways for plane, hit in ((self.wire, strike.control), (self.link, strike.data)) if hit]

        def change(act: str) -> None:
            for plane in planes:
                getattr(plane, act)(ways, factor)
            self.link.changed()
            ends = {end for way in ways for end in way if end >= 0}
            self.places.hear(machine for machine in ends if self.places[machine].up)

        change("strike")
        self._heal(strike, lambda: change("heal"))
