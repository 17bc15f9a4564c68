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
from collections.abc import Callable, Container, Iterable
from typing import Final

from attrs import define, field, frozen

from emu.control.batch import InStep

_ASKS_AGAIN: Final = 64  # times, in the longest that a suspect waits


@frozen(eq=False, repr=False)
class Death:
    """A machine died under an attempt, and no word has come of what ended it."""

    machine: int
    incarnation: int
    attempt: int
    at_ps: int


@define(eq=False, repr=False)
class Docket:
    """Requests by their number; times in picoseconds."""

    limit: int  # machines that one request may kill
    apart_ps: int  # that a suspect waits for word of its machines, and for another one that is tried
    deaths: dict[int, tuple[Death, ...]] = field(init=False, factory=dict)
    steps: dict[int, dict[tuple[int, int], frozenset[int]]] = field(init=False, factory=dict)
    """Of each suspect, by machine and attempt: all requests in the step that ended that machine's process."""
    convicted: set[int] = field(init=False, factory=set)
    _killed: Counter[int] = field(init=False, factory=Counter)  # attempts of a request that ended with such a step
    _words: dict[int, tuple[int, InStep]] = field(init=False, factory=dict)  # the last, by machine and incarnation
    _tried: dict[int, int] = field(init=False, factory=dict)  # suspects that are, and until when others wait for them

    def __bool__(self) -> bool:
        """Whether any request is remembered."""
        return bool(self.deaths or self.steps or self._killed)

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
            self._settle(machine, *self._words[machine])

    def survived(self, machine: int, incarnation: int) -> None:
        """The same process speaks again: nothing has killed it."""
        self._drop(lambda death: death.machine == machine and death.incarnation == incarnation)

    def found(self, machine: int, incarnation: int, attempts: InStep, open_ones: Container[int]) -> None:
        """Word of what was in the step that ended the process before this incarnation; nothing: no step did.

        It may come before anybody has noticed, and again. Only requests that are open are suspects.
        """
        self._words[machine] = (incarnation, attempts)
        step = frozenset(request for request, _, _ in attempts)
        for request, attempt, _ in attempts:
            if request in open_ones:
                steps = self.steps.setdefault(request, {})
                steps[machine, attempt] = step
                if len(steps) >= self.limit and frozenset.intersection(*steps.values()) == {request}:
                    self.convicted.add(request)
        self._settle(machine, incarnation, attempts)

    def earliest_ps(self, request: int, now: int) -> int:
        """When a request that may be placed now at the earliest is to be placed, as others stand."""
        deaths, steps = self.deaths.get(request, ()), self.steps.get(request, {})
        if request in self.convicted or not (deaths or steps):
            return now
        waits: list[int] = []
        if deaths and len(deaths) + len(steps) >= self.limit:  # else it is one machine that is just gone
            waits.append(deaths[-1].at_ps + self.apart_ps)
        others = frozenset[int]().union(*steps.values()) - {request}
        waits += [until_ps for other, until_ps in self._tried.items() if other in others]
        until_ps = max(waits, default=now)
        return now if until_ps <= now else min(now + self.apart_ps // _ASKS_AGAIN, until_ps)

    def placed(self, request: int, now: int) -> None:
        """Another attempt of it begins."""
        if request in self.steps:
            self._tried[request] = now + self.apart_ps

    def forget(self, request: int) -> None:
        """It is over."""
        for remembered in (self.deaths, self.steps, self._tried, self._killed):
            remembered.pop(request, None)
        self.convicted.discard(request)

    def _settle(self, machine: int, incarnation: int, attempts: InStep) -> None:
        """What ended these processes is known."""
        for request in self._drop(lambda death: death.machine == machine and death.incarnation < incarnation):
            self._killed[request] += bool(attempts)

    def _drop(self, over: Callable[[Death], bool]) -> list[int]:
        """Deaths that nobody need ask about any more, and whose they were."""
        found: list[int] = []
        for request, deaths in [*self.deaths.items()]:
            kept = tuple(death for death in deaths if not over(death))
            found += [request] * (len(deaths) - len(kept))
            if kept:
                self.deaths[request] = kept
            else:
                del self.deaths[request]
        return found
