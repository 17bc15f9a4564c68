"""The ledger of one search: every verdict so far, what follows from them for other points, and which seed speaks first.

A first look at a point is what one seed says. Whenever more are heard, the seed that says what most say, and says it
nearest to the limit, speaks first from then on; and what an odd one ruled out is open again. Where to look next is not
known here.
"""

from __future__ import annotations

from attrs import define, field

from emu.plan.schema import Search
from emu.plan.space import Space
from emu.plan.trials import Point
from emu.plan.verdicts import FIRST, SECOND, Asking, Verdict, deciding_first, settle, settle_fully, typical_first


@define
class Bounds:
    """How far a search has come, for whoever looks on: up to `carried` levels are carried, from `failed` on none is."""

    carried: int = -1
    failed: int = 0
    point: Point | None = None


@define
class Ledger:
    """Verdicts by point; `full` are those that rest on every seed's whole run."""

    space: Space
    search: Search
    bounds: Bounds
    verdicts: dict[Point, Verdict] = field(init=False, factory=dict)
    full: dict[Point, Verdict] = field(init=False, factory=dict)
    _seeds: tuple[int, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._seeds = tuple(range(self.search.seeds))

    def settle(self, point: Point, *, firmly: bool = False) -> Asking:
        """What one seed says of a point or, `firmly`, what most say."""
        if point not in self.verdicts or (firmly and not self.verdicts[point].firm):
            self.bounds.point = point
            verdict = yield from settle(point, self.search, self._seeds, firmly=firmly)
            self.verdicts[point] = verdict
            if len(verdict.found) > 1:
                if verdict.passed and not verdict.found[0].passed:
                    self._reopen()
                self._seeds = typical_first(self._seeds, verdict)
        return self.verdicts[point]

    def fully(self, point: Point) -> Asking:
        """What all seeds say of a point, each to its end."""
        if point not in self.full:
            self.bounds.point = point
            full = yield from settle_fully(point, self.search)
            self.full[point] = self.verdicts[point] = full
            self._seeds = deciding_first(full.found)
        return self.full[point]

    def known(self, point: Point, *, firmly: bool = False) -> bool | None:
        """What was found of this point, or follows for it from others; `firmly`: from verdicts that are firm."""
        own = self.verdicts.get(point)
        if own is not None and own.firm >= firmly:
            return own.passed
        for other, verdict in self.verdicts.items():
            if firmly and not verdict.firm:
                continue
            if verdict.passed and _easier(point, other):
                return True
            if not verdict.passed and _easier(other, point):
                return False
        return None

    def carried(self) -> Point | None:
        """The best point that passes, as far as is known."""
        passed = [point for point, verdict in self.verdicts.items() if verdict.passed]
        return max(
            passed, key=lambda point: (self.space.level_of(point), -self.space.takes(point.counts)), default=None
        )

    def open(self, points: list[Point]) -> list[Point]:
        """Those that might pass: nothing is known of them, and none that failed says that they lack what it lacks."""
        return [point for point in points if self.known(point) is None and not self._on_wrong_side(point)]

    def _on_wrong_side(self, point: Point) -> bool:
        """Whether a point that failed, at this level or a lower one, says that this one has too little of a group."""
        level = self.space.level_of(point)
        for other, verdict in self.verdicts.items():
            if verdict.lean and len(point.counts) > 1 and level >= self.space.level_of(other):
                if verdict.lean == FIRST and point.counts[0] < other.counts[0]:
                    return True
                if verdict.lean == SECOND and point.counts[0] > other.counts[0]:
                    return True
        return False

    def _reopen(self) -> None:
        """The seed that spoke so far is harder than most: where it alone said that a point fails, nothing is known."""
        self.verdicts = {point: one for point, one in self.verdicts.items() if one.firm or one.passed}


def _easier(one: Point, other: Point) -> bool:
    """Whether `one` has no fewer machines of any group and no higher a rate than `other`."""
    return one.rate_rps <= other.rate_rps and all(a >= b for a, b in zip(one.counts, other.counts, strict=True))
