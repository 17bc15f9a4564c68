"""Where a search looks: levels of rising ambition, and at each the largest clusters that may be tried for it.

Seeking throughput, a level is a rate and the clusters are those that the bounds just allow. Seeking the least cost or
power, a level is a budget, the lower the higher the level, and the clusters are those that it just pays for. A smaller
cluster is never better at carrying load, so nothing else needs a look. What meets an SLO is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from attrs import define

from emu.plan.load import fits, taken_by
from emu.plan.schema import Design, Plan
from emu.plan.trials import Point

MOST_MACHINES = 1000


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
        return next(level for level in reversed(range(self.levels)) if self._budgets[level] >= taken - 1e-9)

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
            return self._all
        best: dict[int, tuple[int, ...]] = {}
        for counts in self._all:
            if self.takes(counts) <= budget + 1e-9:
                best[counts[0]] = counts  # in rising order of the second group, the last one that fits stays
        found = list(best.values())
        return found if len(self.design.free) == 2 else found[-1:]

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
        """Falling; two that differ by rounding are one."""
        return sorted({round(self.takes(counts), 6) for counts in self._all}, reverse=True)
