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
from typing import TypeAlias

from attrs import define, field, frozen

from emu.plan.estimate import Estimate
from emu.plan.schema import Search
from emu.plan.space import Space
from emu.plan.trials import Found, Point, Trial
from emu.plan.verdicts import (
    FIRST,
    SECOND,
    Asking,
    Sureness,
    Verdict,
    all_surely_fail,
    deciding_first,
    failing_first,
    settle,
    settle_fully,
    sureness,
)

MOST_DOUBTED = 4  # levels that an interval reaches over where the next one is in doubt


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
class Bounds:
    """How far a search has come, for whoever looks on: up to `carried` levels are carried, from `failed` on none is."""

    carried: int = -1
    failed: int = 0
    point: Point | None = None


@define
class Seeker:
    """One design's search."""

    space: Space
    estimate: Estimate
    search: Search
    bounds: Bounds = field(init=False)
    _verdicts: dict[Point, Verdict] = field(init=False, factory=dict)
    _full: dict[Point, Verdict] = field(init=False, factory=dict)
    _seeds: tuple[int, ...] = field(init=False)  # the one that speaks first is first

    def __attrs_post_init__(self) -> None:
        self.bounds = Bounds(failed=self.space.levels)
        self._seeds = tuple(range(self.search.seeds))

    def seek(self) -> Seeking:
        """The whole search."""
        best = yield from self._climb()
        while best is not None:
            verdict = yield from self._settle(best, firmly=True)
            if verdict.passed:
                verdict = yield from self._fully(best)
            if not verdict.passed:
                known = self._carried()
                self.bounds.carried = -1 if known is None else self.space.level_of(known)
                best = yield from self._halve(known)
                continue
            higher = yield from self._neighbours(best)
            if higher is None:
                return (yield from self._answer(best))
            best = higher
            self.bounds.carried = self.space.level_of(best)
            self.bounds.failed = max(self.bounds.failed, self.bounds.carried + 1)
        return (yield from self._none())

    def _climb(self) -> Carrying:
        """From the estimate, by growing strides, to a level that is carried and one that is not; then by halving."""
        top = self.space.levels - 1
        level = max(0, bisect_left(range(top + 1), True, key=lambda level: self._guess(level) < self._rate(level)) - 1)
        best = yield from self._carries(level)
        up = best is not None
        stride = max(1, self.space.levels // 16)
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
            best = yield from self._carries(level)
        return (yield from self._halve(self._carried()))

    def _halve(self, best: Point | None) -> Carrying:
        while self.bounds.failed - self.bounds.carried > 1:
            level = (self.bounds.carried + self.bounds.failed) // 2
            found = yield from self._carries(level)
            if found is None:
                self.bounds.failed = level
            else:
                best = found
                self.bounds.carried = max(level, self.space.level_of(found))
                self.bounds.failed = max(self.bounds.failed, self.bounds.carried + 1)
        return best if best is not None else self._carried()

    def _carried(self) -> Point | None:
        """The best point that is known to pass."""
        passed = [point for point, verdict in self._verdicts.items() if verdict.passed]
        return max(
            passed, key=lambda point: (self.space.level_of(point), -self.space.takes(point.counts)), default=None
        )

    def _carries(self, level: int) -> Carrying:
        """A point of the level that passes, or None when none is left that could."""
        points = self.space.points(level)
        if (known := next((point for point in points if self._known(point) is True), None)) is not None:
            return known
        left = [point for point in points if self._known(point) is None and not self._on_wrong_side(point)]
        point = max(left, key=lambda point: self.estimate.rate_rps(point.counts), default=None)
        while point is not None:
            verdict = yield from self._settle(point)
            if verdict.passed:
                return point
            left = [other for other in left if self._known(other) is None and not self._on_wrong_side(other)]
            point = _towards(left, point, verdict.lean)
        return None

    def _neighbours(self, best: Point) -> Carrying:
        """One level up: the split of the answer, and one machine more and less of the first group."""
        level = self.space.level_of(best) + 1
        if level >= self.space.levels:
            return None
        points = self.space.points(level)
        first = best.counts[:1]
        middle = min(range(len(points)), key=lambda index: abs(sum(points[index].counts[:1]) - sum(first)))
        for point in (points[middle], *points[max(0, middle - 1) : middle], *points[middle + 1 : middle + 2]):
            if self._known(point, firmly=True) is None and (yield from self._settle(point, firmly=True)).passed:
                return point
        return None

    def _answer(self, best: Point) -> Seeking:
        level = self.space.level_of(best)
        full = self._full[best]
        sure = sureness(full.found, self.search.confidence)
        low = yield from self._doubt(best, -1)
        high = yield from self._doubt(best, +1)
        return Answer(best, level, low, high, sure, full.found, None)

    def _doubt(self, best: Point, way: int) -> Generator[tuple[Trial, ...], Mapping[Trial, Found], int]:
        """How far down the answer might be pushed by other seeds, or how far up: the last level that is in doubt."""
        level = self.space.level_of(best)
        if self.search.seeds < 2:
            return level
        if way < 0:
            if (yield from self._surely(best, best, passed=True)):
                return level
            below = max(0, level - 1)
            if (yield from self._surely(self._near(below, best), best, passed=True)):
                return below
            return max(0, level - MOST_DOUBTED)
        top = self.space.levels - 1
        if level == top or (yield from self._surely(self._near(level + 1, best), best, passed=False)):
            return level
        return min(level + MOST_DOUBTED, top)

    def _surely(
        self, point: Point, best: Point, *, passed: bool
    ) -> Generator[tuple[Trial, ...], Mapping[Trial, Found], bool]:
        """Whether other seeds would say the same of this point."""
        if not passed and (yield from all_surely_fail(point, self.search)):
            return True
        found = (yield from self._fully(point)).found
        chance = sureness(found, self.search.confidence, self._full[best].found).chance
        return chance >= self.search.confidence if passed else chance <= 1 - self.search.confidence

    def _near(self, level: int, best: Point) -> Point:
        """The point of another level that is most like the answer."""
        points = self.space.points(level)
        return min(points, key=lambda point: sum(abs(a - b) for a, b in zip(point.counts, best.counts, strict=True)))

    def _none(self) -> Seeking:
        """Nothing carries even the lowest level: which cluster came nearest?"""
        points = sorted(self.space.points(0), key=lambda point: -self.estimate.rate_rps(point.counts))
        tried = []
        for point in points[:3]:
            tried.append((yield from self._fully(point)))
        nearest = min(tried, key=lambda verdict: min(one.margin for one in verdict.found))
        return Answer(None, -1, -1, -1, None, nearest.found, nearest)

    def _settle(self, point: Point, *, firmly: bool = False) -> Asking:
        if point not in self._verdicts or (firmly and not self._verdicts[point].firm):
            self.bounds.point = point
            verdict = yield from settle(point, self.search, self._seeds, firmly=firmly)
            self._verdicts[point] = verdict
            if len(verdict.found) > 1 and not verdict.passed:
                self._seeds = failing_first(self._seeds, verdict.found)
        return self._verdicts[point]

    def _fully(self, point: Point) -> Asking:
        if point not in self._full:
            self.bounds.point = point
            full = yield from settle_fully(point, self.search)
            self._full[point] = self._verdicts[point] = full
            self._seeds = deciding_first(full.found)
        return self._full[point]

    def _known(self, point: Point, *, firmly: bool = False) -> bool | None:
        """What was found of this point, or follows for it from others; `firmly`: from verdicts that are firm."""
        own = self._verdicts.get(point)
        if own is not None and own.firm >= firmly:
            return own.passed
        for other, verdict in self._verdicts.items():
            if firmly and not verdict.firm:
                continue
            if verdict.passed and _easier(point, other):
                return True
            if not verdict.passed and _easier(other, point):
                return False
        return None

    def _on_wrong_side(self, point: Point) -> bool:
        """Whether a point that failed, at this level or a lower one, says that this one has too little of a group."""
        level = self.space.level_of(point)
        for other, verdict in self._verdicts.items():
            if verdict.lean and len(point.counts) > 1 and level >= self.space.level_of(other):
                if verdict.lean == FIRST and point.counts[0] < other.counts[0]:
                    return True
                if verdict.lean == SECOND and point.counts[0] > other.counts[0]:
                    return True
        return False

    def _guess(self, level: int) -> float:
        return max(self.estimate.rate_rps(point.counts) for point in self.space.points(level))

    def _rate(self, level: int) -> float:
        return self.space.points(level)[0].rate_rps


def _easier(one: Point, other: Point) -> bool:
    """Whether `one` has no fewer machines of any group and no higher a rate than `other`."""
    return one.rate_rps <= other.rate_rps and all(a >= b for a, b in zip(one.counts, other.counts, strict=True))


def _towards(left: list[Point], failed: Point, lean: str) -> Point | None:
    """Where to look next: a good third of the way from a failed split towards the end that it leans to."""
    if not left:
        return None
    beyond = [point for point in left if (point.counts[0] > failed.counts[0]) == (lean == FIRST)]
    if not beyond:
        return left[len(left) // 2]
    step = min(len(beyond) - 1, round(len(beyond) * 0.38))
    return beyond[step] if lean == FIRST else beyond[-1 - step]
