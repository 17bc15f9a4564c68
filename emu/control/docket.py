"""Docket: which requests may be why machines die, and how that is found out.

Many requests are on a machine when it dies, and at most one of them has killed it. A machine that comes back tells: it
has not died at all, or its new process says which attempts were in the step in which it did. Who was alone in such a
step `limit` times, each time just as far, is poison; so is who was in one more than that, and alone in the last. Until
the machines of a suspect have spoken it is not tried again, for a while; then suspects are tried apart, one after the
other, and without those that they met there. Where attempts go is decided elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from attrs import define, evolve, field, frozen

from emu.control.batch import InStep

_UNKNOWN: Final = -1
_ASKS_AGAIN: Final = 64  # times, in the longest that a suspect waits


@frozen
class Death:
    """A machine died under an attempt; `position`: the tokens that it had delivered if it was in the last step."""

    machine: int
    incarnation: int
    attempt: int
    at_ps: int
    position: int = _UNKNOWN
    alone: bool = False  # in that step


@define(eq=False, repr=False)
class Docket:
    """Requests by their number; times in picoseconds."""

    limit: int  # machines that one request may kill
    apart_ps: int  # that a suspect waits for word of its machines, and between two that are tried
    deaths: dict[int, tuple[Death, ...]] = field(init=False, factory=dict)
    convicted: set[int] = field(init=False, factory=set)
    bystanders: Counter[int] = field(init=False, factory=Counter)  # how often a request was there and not in the step
    _next_ps: int = field(init=False, default=0)  # no suspect is placed before
    _tried: set[int] = field(init=False, factory=set)

    def __bool__(self) -> bool:
        """Whether any request is remembered."""
        return bool(self.deaths or self.bystanders)

    def excused(self, request: int) -> int:
        """Of its attempts, those that were lost beside what killed a machine; no more than machines one may kill."""
        return min(self.bystanders[request], self.limit)

    def died(self, machine: int, incarnation: int, attempts: Iterable[tuple[int, int]], now: int) -> None:
        """A machine is taken for dead, with these attempts there."""
        for request, attempt in attempts:
            death = Death(machine, incarnation, attempt, now)
            self.deaths[request] = (*self.deaths.get(request, ()), death)
            self._tried.discard(request)

    def survived(self, machine: int, incarnation: int) -> None:
        """The same process speaks again: nothing has killed it."""
        for request, deaths in [*self.deaths.items()]:
            kept = tuple(death for death in deaths if (death.machine, death.incarnation) != (machine, incarnation))
            self._keep(request, kept)

    def found(self, machine: int, incarnation: int, attempts: InStep) -> None:
        """A process of this incarnation says what the one before was at when it died."""
        in_step = {(request, attempt): delivered for request, attempt, delivered in attempts}
        for request, deaths in [*self.deaths.items()]:
            kept: list[Death] = []
            for death in deaths:
                if death.machine != machine or death.incarnation >= incarnation or death.position != _UNKNOWN:
                    kept.append(death)
                elif (delivered := in_step.get((request, death.attempt))) is not None:
                    kept.append(evolve(death, position=delivered, alone=len(attempts) == 1))
                else:
                    self.bystanders[request] += 1
            self._keep(request, tuple(kept))
            if self._is_guilty(kept):
                self.convicted.add(request)

    def earliest_ps(self, request: int, now: int) -> int:
        """When a request that may be placed now at the earliest is to be placed, as others stand."""
        deaths = self.deaths.get(request, ())
        if not deaths or request in self.convicted:
            return now
        again_ps = now + self.apart_ps // _ASKS_AGAIN
        suspect = _weight(deaths) >= self.limit
        unknown = [death for death in deaths if death.position == _UNKNOWN]
        if suspect and unknown and (heard_by_ps := unknown[-1].at_ps + self.apart_ps) > now:
            return min(again_ps, heard_by_ps)
        if unknown and _weight(deaths) > self.limit:  # tried apart, and no word comes of what the machines were at
            self.convicted.add(request)
        elif now < self._next_ps and (self._tried if suspect else self._met(deaths)):
            return min(again_ps, self._next_ps)
        return now

    def placed(self, request: int, now: int) -> None:
        """Another attempt of it begins."""
        if _weight(self.deaths.get(request, ())) >= self.limit:
            self._tried.add(request)
            self._next_ps = now + self.apart_ps

    def forget(self, request: int) -> None:
        """It is over."""
        self.deaths.pop(request, None)
        self._tried.discard(request)
        self.convicted.discard(request)
        self.bystanders.pop(request, None)

    def _met(self, deaths: tuple[Death, ...]) -> bool:
        """Whether one that is tried was in a step in which a machine died under these."""
        steps = {(death.machine, death.incarnation) for death in deaths if death.position != _UNKNOWN}
        others = (death for request in self._tried for death in self.deaths.get(request, ()))
        return any((other.machine, other.incarnation) in steps for other in others)

    def _is_guilty(self, deaths: list[Death]) -> bool:
        known = [death for death in deaths if death.position != _UNKNOWN]
        if not known or not known[-1].alone:
            return False
        as_far = [death for death in known if death.position == known[-1].position]
        return sum(death.alone for death in as_far) >= self.limit or len(as_far) > self.limit

    def _keep(self, request: int, deaths: tuple[Death, ...]) -> None:
        if deaths:
            self.deaths[request] = deaths
        else:
            del self.deaths[request]


def _weight(deaths: Iterable[Death]) -> int:
    """How many of them it may have caused: those that met it at one position, and those of which no word came."""
    found = Counter(death.position for death in deaths)
    unknown = found.pop(_UNKNOWN, 0)
    return unknown + max(found.values(), default=0)
