"""Queues: prompts and reservations are served in their order, and Little's law holds exactly on both.

The integral of each queue's length is kept from its changes, the waits from the two ends of each one's stay. Why a head
waits is judged in `stalls`.
"""

from __future__ import annotations

from collections import deque

from attrs import define, field

from emu.laws.verdicts import Handlers, Law, LawRules, Names, seconds
from emu.record import entries as e

_Key = tuple[int, ...]  # request and attempt


@define(eq=False, repr=False)
class _Queue:
    """One queue, of requests and their attempts. `integral` is of its length over time, in ps, up to `as_of_ps`."""

    order: deque[_Key] = field(factory=deque)
    since_ps: dict[_Key, int] = field(factory=dict)
    length: int = 0
    as_of_ps: int = 0
    integral_ps: int = 0
    waits_ps: int = 0

    def enter(self, at_ps: int, key: _Key) -> None:
        self.integral_ps += self.length * (at_ps - self.as_of_ps)
        self.as_of_ps = at_ps
        self.length += 1
        self.since_ps[key] = at_ps

    def leave(self, at_ps: int, key: _Key) -> None:
        self.integral_ps += self.length * (at_ps - self.as_of_ps)
        self.as_of_ps = at_ps
        self.length -= 1
        since_ps = self.since_ps.pop(key, None)
        if since_ps is not None:
            self.waits_ps += at_ps - since_ps


class Queues:
    """Laws: first-come-prefill, bounded-overtaking, reservation-order, littles-law."""

    def __init__(self, names: Names, rules: LawRules, machines: int) -> None:
        self.first_come = Law(
            "first-come-prefill",
            "Prefills start in the order in which their machine queued them; recomputed ones may come before.",
        )
        self.overtaking = Law(
            "bounded-overtaking",
            "A prompt is overtaken by at most max_overtaken later ones, where a policy of one's own orders them.",
        )
        self.reservations = Law(
            "reservation-order", "Reservations are lent their blocks in the order in which they reached their machine."
        )
        self.little = Law(
            "littles-law",
            "On every queue of prompts or reservations the integral of its length over time is the sum of waits (ps).",
        )
        self.laws = (self.first_come, self.overtaking, self.reservations, self.little)
        self._names, self._max_overtaken = names, rules.max_overtaken
        self._overtaken: dict[tuple[int, _Key], int] = {}  # how often, by machine and prompt
        self._prompts = [_Queue() for _ in range(machines)]
        self._reservations = [_Queue() for _ in range(machines)]
        self.handlers: Handlers = {
            e.Queued: self._queued,
            e.StepStarted: self._started,
            e.Preempted: self._preempted,
            e.ReserveQueued: self._reserve_queued,
            e.Reserved: self._reserved,
            e.Released: self._released,
            e.RequestEnded: self._ended,
            e.AttemptEnded: self._ended,
            e.MachineCrashed: self._crashed,
            e.MachineLeft: self._crashed,
        }

    def finish(self, at_ps: int) -> None:
        for kind, queues in (("prefill", self._prompts), ("reservation", self._reservations)):
            for machine, queue in enumerate(queues):
                integral_ps = queue.integral_ps + queue.length * (at_ps - queue.as_of_ps)
                waits_ps = queue.waits_ps + sum(at_ps - since_ps for since_ps in queue.since_ps.values())
                if integral_ps != waits_ps or queue.length != len(queue.since_ps):
                    what = f"the {kind} queue of {self._names[machine]} held {integral_ps} ps, waits were {waits_ps} ps"
                    self.little.broken(at_ps, what)

    def _queued(self, entry: e.Queued) -> None:
        queue, key = self._prompts[entry.machine], entry[2:4]
        queue.order.append(key)
        queue.enter(entry.at_ps, key)

    def _started(self, entry: e.StepStarted) -> None:
        if not entry.prefills:
            return
        at_ps, machine, prefills, *_ = entry
        queue = self._prompts[machine]
        for piece in prefills:
            key = piece[:2]
            if not piece.kind:
                order = queue.order
                if order and order[0] == key:
                    order.popleft()
                else:
                    self._overtook(at_ps, machine, key)
            queue.leave(at_ps, key)

    def _overtook(self, at_ps: int, machine: int, key: _Key) -> None:
        order = self._prompts[machine].order
        if key not in order:
            self.first_come.broken(
                at_ps, f"request {key[0]} was prefilled on {self._names[machine]} and had not queued"
            )
            return
        if self._max_overtaken:
            self._allow(at_ps, machine, key)
            return
        order.remove(key)
        waits = f"request {order[0][0]}, which waits since {seconds(self._prompts[machine].since_ps[order[0]])}"
        self.first_come.broken(at_ps, f"request {key[0]} was prefilled on {self._names[machine]} before {waits}")

    def _allow(self, at_ps: int, machine: int, key: _Key) -> None:
        """A policy of one's own lets `key` go before others: none of them too often."""
        order, overtaken = self._prompts[machine].order, self._overtaken
        for other in order:
            if other == key:
                break
            times = overtaken[machine, other] = overtaken.get((machine, other), 0) + 1
            if times == self._max_overtaken + 1:
                waits = f"since {seconds(self._prompts[machine].since_ps[other])}"
                what = f"{times} later prompts went before request {other[0]} on {self._names[machine]}, which waits"
                self.overtaking.broken(at_ps, f"{what} {waits}")
        order.remove(key)

    def _preempted(self, entry: e.Preempted) -> None:
        self._prompts[entry.machine].enter(entry.at_ps, (entry.request, entry.attempt))

    def _reserve_queued(self, entry: e.ReserveQueued) -> None:
        queue, key = self._reservations[entry.machine], entry[2:4]
        queue.order.append(key)
        queue.enter(entry.at_ps, key)

    def _reserved(self, entry: e.Reserved) -> None:
        queue = self._reservations[entry.machine]
        order = queue.order
        if not order:
            return
        key = entry[2:4]
        if order[0] == key:
            order.popleft()
            queue.leave(entry.at_ps, key)
            return
        what = f"request {key[0]} was lent blocks on {self._names[entry.machine]} before request {order[0][0]}"
        self.reservations.broken(entry.at_ps, what)
        if key in queue.since_ps:
            order.remove(key)
            queue.leave(entry.at_ps, key)

    def _released(self, entry: e.Released) -> None:
        if not entry.loan:
            self._give_up(self._reservations[entry.machine], entry.at_ps, entry[2:4])

    def _ended(self, entry: e.RequestEnded | e.AttemptEnded) -> None:
        if entry.machine >= 0:
            self._give_up(self._prompts[entry.machine], entry.at_ps, entry[2:4])

    def _crashed(self, entry: e.MachineCrashed | e.MachineLeft) -> None:
        """Whoever waited there waits no more."""
        for queue in (self._prompts[entry.machine], self._reservations[entry.machine]):
            for key in tuple(queue.since_ps):
                queue.leave(entry.at_ps, key)
            queue.order.clear()

    def _give_up(self, queue: _Queue, at_ps: int, key: _Key) -> None:
        """It waits no more, if it did."""
        if key in queue.since_ps:
            queue.leave(at_ps, key)
            if key in queue.order:
                queue.order.remove(key)
