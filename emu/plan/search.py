"""The search for one design: the highest level that some cluster carries, by halving between levels and among splits.

What is used: a cluster that fails also fails with fewer machines or at a higher rate, one that passes also passes with
more machines or at a lower rate, and at one level capacity has one hump over the split, on whose wrong side the phase
that is short of machines shows which way to go. The last is only roughly so, and on the way up one seed speaks for
all: before an answer is given, every seed is heard there, and as many as it takes one level up, at its split and those
beside it. No run is made here: trials are asked for, and answers come back.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Mapping
from itertools import groupby
from math import inf
from typing import TypeAlias

from attrs import define, field, frozen

from emu.plan.doubt import apart, highest, lowest
from emu.plan.estimate import Estimate
from emu.plan.ledger import Bounds, Ledger
from emu.plan.schema import Search
from emu.plan.space import Space
from emu.plan.trials import Found, Point, Trial
from emu.plan.verdicts import FIRST, Sureness, Verdict, sureness

LONG_ROW = 3  # splits side by side, or a quarter of all if that is more
NEAREST = 3  # clusters that all seeds are heard of before it is said that there is none
GLANCE = 2  # splits that are looked at on the way up, before a level counts as not carried


@frozen
class Answer:
    """The best point of a design, and how sure that is. `point` is None where no level is carried: then `nearest` has
    come nearest, at the lowest level.

    `low` and `high` are levels: at the plan's confidence the same search under other seeds ends from one to the other.
    """

    point: Point | None
    level: int
    low: int
    high: int
    sure: Sureness | None
    found: tuple[Found, ...]
    nearest: Verdict | None


Seeking: TypeAlias = Generator[tuple[Trial, ...], Mapping[Trial, Found], Answer]
Carrying: TypeAlias = Generator[tuple[Trial, ...], Mapping[Trial, Found], Point | None]


@define
class Seeker:
    """One design's search."""

    space: Space
    estimate: Estimate
    search: Search
    bounds: Bounds = field(init=False)
    ledger: Ledger = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.bounds = Bounds(failed=self.space.levels)
        self.ledger = Ledger(self.space, self.search, self.bounds)

    def seek(self) -> Seeking:
        """The whole search."""
        best = yield from self._climb(self._first_level())
        while best is not None or (best := (yield from self._at_all())) is not None:
            self.bounds.carried = max(self.bounds.carried, self.space.level_of(best))
            if not (yield from self.ledger.settle(best, firmly=True)).passed:
                known = self.ledger.carried()
                self.bounds.carried = -1 if known is None else self.space.level_of(known)
                best = yield from self._halve(known)
                continue
            level = self.space.level_of(best)
            higher = None
            if level + 1 < self.space.levels:
                higher = (yield from self._carries(level + 1)) or (yield from self._neighbours(best))
                higher = higher or (yield from self._left_out(level + 1))
            if higher is None:
                return (yield from self._answer(best))
            self.bounds.failed = self.space.levels
            best = yield from self._climb(self.space.level_of(higher))
        return (yield from self._none())

    def _at_all(self) -> Carrying:
        """A point of the lowest level that passes; every seed is heard of those that come nearest."""
        best = yield from self._carries(0)
        if best is None:
            for point in self._nearest():
                if (yield from self.ledger.settle(point, firmly=True)).passed:
                    return point
        return best

    def _first_level(self) -> int:
        """Where the estimate begins to fall short."""
        levels = range(self.space.levels)
        return max(0, bisect_left(levels, True, key=lambda level: self._guess(level) < self._rate(level)) - 1)

    def _climb(self, level: int) -> Carrying:
        """By growing strides to a level that is carried and one that is not; then by halving."""
        top = self.space.levels - 1
        best = yield from self._glance(level)
        up = best is not None
        stride = 1 if up and self.bounds.carried >= 0 else max(1, self.space.levels // 16)
        while True:
            if best is not None:
                self.bounds.carried = max(self.bounds.carried, self.space.level_of(best))
            else:
                self.bounds.failed = min(self.bounds.failed, level)
            if self.bounds.carried >= top or self.bounds.failed <= 0 or (best is not None) != up:
                break
            if self.bounds.carried + 1 >= self.bounds.failed:
                break
            level = min(top, self.bounds.carried + stride) if up else max(0, self.bounds.failed - stride)
            stride *= 2
            best = yield from self._glance(level)
        return (yield from self._halve(self.ledger.carried()))

    def _halve(self, best: Point | None) -> Carrying:
        while self.bounds.failed - self.bounds.carried > 1:
            level = (self.bounds.carried + self.bounds.failed) // 2
            found = yield from self._glance(level)
            if found is None:
                self.bounds.failed = level
            else:
                best = found
                self.bounds.carried = max(level, self.space.level_of(found))
                self.bounds.failed = max(self.bounds.failed, self.bounds.carried + 1)
        return best if best is not None else self.ledger.carried()

    def _glance(self, level: int) -> Carrying:
        """A point of the level that passes, among the first few to be looked at."""
        return (yield from self._carries(level, GLANCE))

    def _carries(self, level: int, most: int | None = None) -> Carrying:
        """A point of the level that passes, or None when none is left that could, or `most` have failed."""
        points = self.space.points(level)
        if (known := next((point for point in points if self.ledger.known(point) is True), None)) is not None:
            return known
        left = self.ledger.open(points)
        point = self._likeliest(left)
        while point is not None and (most is None or most > 0):
            verdict = yield from self.ledger.settle(point)
            if verdict.passed:
                return point
            left = self.ledger.open(left)
            point = _towards(left, point, verdict.lean)
            most = None if most is None else most - 1
        return None

    def _likeliest(self, points: list[Point]) -> Point | None:
        """The one most like the best that is known to pass, or that the estimate likes most."""
        known = self.ledger.carried()
        if known is None:
            return max(points, key=lambda point: self.estimate.rate_rps(point.counts), default=None)
        return min(points, key=lambda point: apart(point, known), default=None)

    def _neighbours(self, best: Point) -> Carrying:
        """One level up: the split of the answer, and one machine more and less of the first group."""
        points = self.space.points(self.space.level_of(best) + 1)
        first = best.counts[:1]
        middle = min(range(len(points)), key=lambda index: abs(sum(points[index].counts[:1]) - sum(first)))
        for point in (points[middle], *points[max(0, middle - 1) : middle], *points[middle + 1 : middle + 2]):
            if (
                self.ledger.known(point, firmly=True) is None
                and (yield from self.ledger.settle(point, firmly=True)).passed
            ):
                return point
        return None

    def _left_out(self, level: int) -> Carrying:
        """The middle of every long row of splits that nothing was seen of: what a run fails by may mislead, as where
        decodes are slow because prompts have borrowed their machines."""
        points = self.space.points(level)
        while True:
            rows = [
                list(row) for unseen, row in groupby(points, lambda point: self.ledger.known(point) is None) if unseen
            ]
            longest = max(rows, key=len, default=[])
            if len(longest) < max(LONG_ROW, len(points) // 4):
                return None
            if (yield from self.ledger.settle(longest[len(longest) // 2])).passed:
                return longest[len(longest) // 2]

    def _answer(self, best: Point) -> Seeking:
        level = self.space.level_of(best)
        full = yield from self.ledger.fully(best)
        sure = sureness(full.found, self.search.confidence)
        low = yield from lowest(self.ledger, best)
        high = yield from highest(self.ledger, best)
        return Answer(best, level, low, high, sure, full.found, None)

    def _none(self) -> Seeking:
        """Nothing carries even the lowest level: which cluster came nearest?"""
        tried = []
        for point in self._nearest():
            tried.append((yield from self.ledger.fully(point)))
        nearest = min(tried, key=lambda verdict: min(one.margin for one in verdict.found))
        return Answer(None, -1, -1, -1, None, nearest.found, nearest)

    def _nearest(self) -> list[Point]:
        """Points of the lowest level, by what runs say that were not given up, and else by the estimate."""

        def distance(point: Point) -> tuple[float, float]:
            verdict = self.ledger.verdicts.get(point)
            margin = inf if verdict is None else min(one.margin for one in verdict.found)
            return margin, -self.estimate.rate_rps(point.counts)

        return sorted(self.space.points(0), key=distance)[:NEAREST]

    def _guess(self, level: int) -> float:
        return max(self.estimate.rate_rps(point.counts) for point in self.space.points(level))

    def _rate(self, level: int) -> float:
        return self.space.points(level)[0].rate_rps


def _towards(left: list[Point], failed: Point, lean: str) -> Point | None:
    """Where to look next: a good third of the way from a failed split towards the end that it leans to."""
    if not left:
        return None
    beyond = [point for point in left if (point.counts[0] > failed.counts[0]) == (lean == FIRST)]
    if not beyond:
        return left[len(left) // 2]
    step = min(len(beyond) - 1, round(len(beyond) * 0.38))
    return beyond[step] if lean == FIRST else beyond[-1 - step]
