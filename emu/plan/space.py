"""Where a search looks: levels of rising ambition, and at each the largest clusters that may be tried for it.

Seeking throughput, a level is a rate and the clusters are those that the bounds just allow. Seeking the least cost or
power, a level is a budget, the lower the higher the level, and the clusters are those that it just pays for. A smaller
cluster is never better at carrying load, so nothing else needs a look. What meets an SLO is not known here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property

from attrs import define

from emu.plan.load import fits, taken_by
from emu.plan.schema import Design, Plan
from emu.plan.trials import Point

MOST_MACHINES = 1000
BUDGET_STEP = 0.005
_ROUNDING = 1e-6


@define(slots=False)
class Space:
    """One design of a plan. Rates are multiples of `step_rps` up to `highest_rps`."""

    plan: Plan
    design: Design
    step_rps: float
    highest_rps: float

    @cached_property
    def levels(self) -> int:
        """Levels are numbered from 0."""
        if self.plan.objective == "throughput":
            return max(1, int(self.highest_rps / self.step_rps + 1e-9))
        return len(self._budgets)

    def worth(self, level: int) -> float:
        """The rate of a level, or its budget in the unit of the objective."""
        return self._rate(level) if self.plan.objective == "throughput" else self._budgets[level]

    def points(self, level: int) -> list[Point]:
        """The largest clusters of a level, by their first group; there is always one."""
        if self.plan.objective == "throughput":
            return [Point(counts, self._rate(level)) for counts in self._largest]
        assert self.plan.rate_rps is not None
        budget = self._budgets[level]
        return [Point(counts, self.plan.rate_rps) for counts in self._within(budget)]

    def level_of(self, point: Point) -> int:
        """The highest level that a point belongs to."""
        if self.plan.objective == "throughput":
            return round(point.rate_rps / self.step_rps) - 1
        taken = self.takes(point.counts)
        return bisect_right(self._budgets, -taken + _ROUNDING, key=lambda budget: -budget) - 1

    def everything(self) -> list[Point]:
        """Every point that an exhaustive search would look at: all levels of all largest clusters, or all clusters."""
        if self.plan.objective == "throughput":
            return [point for level in range(self.levels) for point in self.points(level)]
        assert self.plan.rate_rps is not None
        return [Point(counts, self.plan.rate_rps) for counts in self._all]

    def takes(self, counts: tuple[int, ...]) -> float:
        """What a cluster takes of what is to be saved."""
        taken = taken_by(self.plan, self.design, counts)
        found = taken.power_w if self.plan.objective == "power" else taken.cost_per_hour
        assert found is not None
        return found

    def _rate(self, level: int) -> float:
        return round((level + 1) * self.step_rps, 9)

    def _within(self, budget: float) -> list[tuple[int, ...]]:
        """The clusters that the bounds and a budget just allow."""
        if not self.design.free:
            return [()]
        if len(self.design.free) == 1:
            (prices,) = self._by_first.values()
            return [(bisect_right(prices, budget + _ROUNDING),)]
        counts = ((first, bisect_right(prices, budget + _ROUNDING)) for first, prices in self._by_first.items())
        return [(first, second) for first, second in counts if second]

    @cached_property
    def _by_first(self) -> dict[int, list[float]]:
        """What clusters take, by their first group and rising with the last one, from 1 machine of it on."""
        found: dict[int, list[float]] = {}
        for counts in self._all:
            found.setdefault(counts[0] if len(counts) == 2 else 0, []).append(self.takes(counts))
        return found

    @cached_property
    def _all(self) -> list[tuple[int, ...]]:
        """Every cluster within the bounds, in order."""
        return list(self._counts(len(self.design.free))) if self.design.free else [()]

    def _counts(self, groups: int) -> Iterator[tuple[int, ...]]:
        for first in range(1, MOST_MACHINES):
            rest = [(first,)] if groups == 1 else [(first, second) for second in range(1, MOST_MACHINES)]
            some = False
            for counts in rest:
                if not fits(self.plan, self.design, counts):
                    break
                some = True
                yield counts
            if not some:
                return

    @cached_property
    def _largest(self) -> list[tuple[int, ...]]:
        return self._within(float("inf"))

    @cached_property
    def _budgets(self) -> list[float]:
        """Falling, each what some cluster takes; those within `BUDGET_STEP` of the one before are left out."""
        found: list[float] = []
        for taken in sorted((self.takes(counts) for counts in self._all), reverse=True):
            if not found or taken < found[-1] * (1 - BUDGET_STEP):
                found.append(taken)
        return found
