"""Docket: which request kills the machines that run it, and how that is found out.

Machines die for many reasons, and most of them say nothing: that is held against nobody. But a process that its own
step ends says so, as it ends or through the next one, and which requests were in that step: one of them did it. Whoever
has been in `limit` such steps is poison, if nobody else was in all of them. So that two who were in one step are not in
the next one together, they are tried one after the other. While only one request at a time is poison, it has been in
every one of those steps: nobody else is ever taken for it, and it ends with the machine number `limit`, if the words of
those before it have come by the time its next attempt is placed. Where attempts go is decided elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from attrs import define, evolve, field, frozen

from emu.control.batch import InStep

_ASKS_AGAIN: Final = 64  # times, in the longest that a suspect waits


@frozen(eq=False, repr=False)
class Death:
    """A machine died under an attempt; `step`: all requests in the step that killed it; none: no word of that yet."""

    machine: int
    incarnation: int
    attempt: int
    at_ps: int
    step: frozenset[int] = frozenset()


@define(eq=False, repr=False)
class Docket:
    """Requests by their number; times in picoseconds."""

    limit: int  # machines that one request may kill
    apart_ps: int  # that a suspect waits for word of its machines, and for another one that is tried
    deaths: dict[int, tuple[Death, ...]] = field(init=False, factory=dict)
    convicted: set[int] = field(init=False, factory=set)
    _killed: Counter[int] = field(init=False, factory=Counter)  # attempts of a request that ended with such a step
    _words: dict[int, tuple[int, InStep]] = field(init=False, factory=dict)  # the last, by machine and incarnation
    _tried: dict[int, int] = field(init=False, factory=dict)  # suspects that are, and until when others wait for them

    def __bool__(self) -> bool:
        """Whether any request is remembered."""
        return bool(self.deaths or self._killed)

    def excused(self, request: int) -> int:
        """Of its attempts, those that a step has ended with their machine; no more than machines one may kill."""
        return min(self._killed[request], self.limit)

    def died(self, machine: int, incarnation: int, attempts: Iterable[tuple[int, int]], now: int) -> None:
        """A machine is taken for dead, with these attempts there."""
        for request, attempt in attempts:
            death = Death(machine, incarnation, attempt, now)
            self.deaths[request] = (*self.deaths.get(request, ()), death)
            self._tried.pop(request, None)
        if machine in self._words:
            self.found(machine, *self._words[machine])

    def survived(self, machine: int, incarnation: int) -> None:
        """The same process speaks again: nothing has killed it."""
        for request, deaths in [*self.deaths.items()]:
            kept = tuple(death for death in deaths if (death.machine, death.incarnation) != (machine, incarnation))
            self._keep(request, kept)

    def found(self, machine: int, incarnation: int, attempts: InStep) -> None:
        """Word of what was in the step that ended the process before this incarnation; nothing: no step did.

        It may come before anybody has noticed, and twice.
        """
        self._words[machine] = (incarnation, attempts)
        there = {(request, attempt) for request, attempt, _ in attempts}
        step = frozenset(request for request, _ in there)
        for request, deaths in [*self.deaths.items()]:
            kept: list[Death] = []
            for death in deaths:
                if death.machine != machine or death.incarnation >= incarnation or death.step:
                    kept.append(death)
                    continue
                self._killed[request] += bool(step)
                if (request, death.attempt) in there:
                    kept.append(evolve(death, step=step))
            self._keep(request, tuple(kept))
            steps = [death.step for death in kept if death.step]
            if len(steps) >= self.limit and frozenset.intersection(*steps) == {request}:
                self.convicted.add(request)

    def earliest_ps(self, request: int, now: int) -> int:
        """When a request that may be placed now at the earliest is to be placed, as others stand."""
        deaths = self.deaths.get(request, ())
        if not deaths or request in self.convicted:
            return now
        waits = [death.at_ps + self.apart_ps for death in deaths if not death.step][-1:]
        if len(deaths) < self.limit:
            waits = []  # one machine more or less that is just gone
        others = frozenset[int]().union(*(death.step for death in deaths))
        waits += [until_ps for other, until_ps in self._tried.items() if other in others and other != request]
        until_ps = max(waits, default=now)
        return now if until_ps <= now else min(now + self.apart_ps // _ASKS_AGAIN, until_ps)

    def placed(self, request: int, now: int) -> None:
        """Another attempt of it begins."""
        if any(death.step for death in self.deaths.get(request, ())):
            self._tried[request] = now + self.apart_ps

    def forget(self, request: int) -> None:
        """It is over."""
        self.deaths.pop(request, None)
        self._tried.pop(request, None)
        self.convicted.discard(request)
        self._killed.pop(request, None)

    def _keep(self, request: int, deaths: tuple[Death, ...]) -> None:
        if deaths:
            self.deaths[request] = deaths
        else:
            del self.deaths[request]
