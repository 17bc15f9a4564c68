"""Succession: routers that die or are replaced, as a fault plan has it, and who talks to which of them.

It is composed only into a run that faults may strike. There is one router after another, and for a while there may be
two: machines answer the one whose term they obey, clients send first to the old one and again to the new one. What is
sent to a router that is gone is lost. What a router does about another before it is control's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import trio
from attrs import define, field

from emu.control.messages import Drain, LoadReport, Silent, Submit, Withdraw
from emu.control.router_events import Begin
from emu.control.terms import first_epoch
from emu.fake.clock import HeapClock, TasksMadeRunnable
from emu.fake.faulty_reports import FaultyReports
from emu.fake.fickle_client import FickleClient
from emu.node.ports import Client, Recorder, Reports
from emu.node.router_node import RouterNode
from emu.record.entries import Assigned, AttemptLost, Entry, RouterGone, RouterStarted
from emu.record.log import Log

Make = Callable[[int, Client, Recorder, Reports], RouterNode]


@define(eq=False, repr=False)
class Seat:
    """One router's place, and what it hears and tells from there: load reports reach only the newest one."""

    term: int
    reports: FaultyReports
    log: Log
    client: FickleClient
    node: RouterNode = field(init=False)
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    up: bool = True
    retired: bool = False  # another has taken over, and this one goes on

    def collect(self) -> Iterable[LoadReport]:
        return () if self.retired else self.reports.collect()

    def register(self, machine: int, source: Callable[[int], LoadReport]) -> None:
        self.reports.register(machine, source)

    def changing(self, machine: int) -> None:
        self.reports.changing(machine)

    def write(self, entry: Entry) -> None:
        """What a retired router decides is so for those who have not heard of the new one, and for nobody else."""
        if isinstance(entry, Assigned):
            told = not self.retired or self.client.takes(entry.request, entry.attempt)
        else:
            told = not self.retired or isinstance(entry, AttemptLost)
        if told:
            self.log.write(entry)


@define(eq=False, repr=False)
class Succession:
    """`make(term, client, recorder, reports)` gives a router; `obeyed(machine)` says which term a machine obeys."""

    clock: HeapClock
    log: Log
    reports: FaultyReports
    make: Make
    obeyed: Callable[[int], int]
    incarnation: Callable[[int], int]
    client: FickleClient = field(init=False)
    seats: list[Seat] = field(init=False, factory=list)
    _nursery: trio.Nursery | None = field(init=False, default=None)
    _draining: dict[int, int] = field(init=False, factory=dict)  # machines that are to leave, and their incarnation

    def seat(self, term: int) -> Seat:
        """Put a router of this term in its place."""
        seat = Seat(term, self.reports, self.log, self.client)
        seat.node = self.make(term, self.client.line(term), seat, seat)
        self.seats.append(seat)
        return seat

    def start(self, nursery: trio.Nursery) -> None:
        """Run the first router."""
        self._nursery = nursery
        self._launch(self.seats[0])

    def hear(self, message: Any) -> None:
        """From whoever watches reports, or runs the cluster: to the newest router."""
        if type(message) is Drain:
            self._draining[message.machine] = self.incarnation(message.machine)
        seat = self.seats[-1]
        if seat.up and (not seat.retired or type(message) not in (Silent, LoadReport)):
            seat.node.deliver(message)

    def hear_machine(self, machine: int, message: Any) -> None:
        """To the router that this machine obeys, if it has heard of any."""
        term = self.obeyed(machine)
        self._deliver(self.seats[-1].term if term < 0 else term, message)

    def hear_client(self, message: Submit | Withdraw) -> None:
        """What a client sends first goes to the router of which it has heard; what it sends again, to the newest."""
        if isinstance(message, Submit):
            older = [seat for seat in self.seats if seat.up]
            if older:
                older[0].node.deliver(message)
        else:
            self._deliver(self.client.term_of(message.request_id), message)

    def hear_again(self, message: Submit) -> None:
        """A request that a client sends again."""
        if self.seats[-1].up:
            self.seats[-1].node.deliver(message)

    def crash(self, startup_ps: int, heal: Callable[[], None]) -> None:
        """The router is gone with all that it knew; another one stands in its place after `startup_ps`."""
        seat = self.seats[-1]
        if not seat.up:
            return  # what is gone cannot crash
        self.clock.call_first(self.clock.now_ps + startup_ps, lambda: self._succeed(heal))
        self._retire(seat)
        raise TasksMadeRunnable

    def fail_over(self, overlap_ps: int, heal: Callable[[], None]) -> None:
        """A standby takes over at once, and the old router goes on for so long."""
        seat = self.seats[-1]
        if not seat.up:
            return
        seat.retired = True

        def over() -> None:
            heal()
            if seat.up:
                self._retire(seat)
                raise TasksMadeRunnable

        self.clock.call_first(self.clock.now_ps + overlap_ps, over)
        self._succeed(lambda: None)

    def _deliver(self, term: int, message: Any) -> None:
        seat = self.seats[term]
        if seat.up:
            seat.node.deliver(message)

    def _retire(self, seat: Seat) -> None:
        seat.up = False
        self.log.write(RouterGone(self.clock.now_ps, seat.term))
        seat.scope.cancel()

    def _succeed(self, heal: Callable[[], None]) -> None:
        """The next router begins, and knows nothing."""
        heal()
        term = len(self.seats)
        self.log.write(RouterStarted(self.clock.now_ps, term))
        self.reports.begin_anew(first_epoch(term))
        seat = self.seat(term)
        seat.node.deliver(Begin())
        for machine, incarnation in sorted(self._draining.items()):
            if self.incarnation(machine) == incarnation:
                seat.node.deliver(Drain(machine))
        self._launch(seat)
        raise TasksMadeRunnable

    def _launch(self, seat: Seat) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(_within, seat.scope, seat.node, name=f"router/{seat.term}" if seat.term else "router")


async def _within(scope: trio.CancelScope, node: RouterNode) -> None:
    with scope:
        await node.run()
