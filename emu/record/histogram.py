"""LogHistogram: durations counted in bins of 0.1 %, for the one metric with millions of values: gaps between tokens.

A run of steps is fed as an arithmetic progression, bin by bin, so that its cost does not follow its length. Sum, count
and maximum are exact. What the durations mean must stay out of here.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from math import exp, log

from attrs import define, field

BIN_WIDTH = 0.001
_LOG_WIDTH = log(1 + BIN_WIDTH)
_PER_LOG = 1 / _LOG_WIDTH


@define(eq=False, repr=False)
class LogHistogram:
    """Counts of durations in picoseconds; those that are not positive share a bin, and are shown as 0."""

    count: int = 0
    sum_ps: int = 0
    max_ps: int = 0
    _bins: dict[int, int] = field(factory=dict, init=False)

    def add(self, duration_ps: int, times: int = 1) -> None:
        """One duration, `times` times."""
        self.count += times
        self.sum_ps += duration_ps * times
        if duration_ps > self.max_ps:
            self.max_ps = duration_ps
        number = int(log(duration_ps) * _PER_LOG) if duration_ps > 0 else -1
        self._bins[number] = self._bins.get(number, 0) + times

    def add_run(self, first_ps: int, growth_ps: int, steps: int, times: int) -> None:
        """The durations first, first + growth, ..., `steps` of them, each `times` times; growth is not negative."""
        last_ps = first_ps + growth_ps * (steps - 1)
        if first_ps < 1:
            for step in range(steps):
                self.add(first_ps + growth_ps * step, times)
            return
        self.count += steps * times
        self.sum_ps += steps * (first_ps + last_ps) // 2 * times
        if last_ps > self.max_ps:
            self.max_ps = last_ps
        bins = self._bins
        low, high = int(log(first_ps) * _PER_LOG), int(log(last_ps) * _PER_LOG)
        done = 0
        while low < high:
            below = -(-(_edge_ps(low + 1) - first_ps) // growth_ps)  # durations below the edge of the next bin
            below = min(max(below, done + 1), steps)
            bins[low] = bins.get(low, 0) + (below - done) * times
            done = below
            if done == steps:
                return
            low = int(log(first_ps + growth_ps * done) * _PER_LOG)
        bins[high] = bins.get(high, 0) + (steps - done) * times

    def ordered(self) -> Ordered:
        """All durations in rising order, each within half a bin of what it was."""
        numbers = sorted(self._bins)
        middles = [_middle_ps(number) if number >= 0 else 0.0 for number in numbers]
        return Ordered([min(middle, self.max_ps) for middle in middles], [self._bins[number] for number in numbers])


class Ordered:
    """A rising sequence given as values and how often each comes."""

    def __init__(self, values: list[float], times: list[int]) -> None:
        self._values = values
        self._ends = list(accumulate(times))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> float:
        return self._values[bisect_right(self._ends, index)]


def _edge_ps(number: int) -> int:
    return int(exp(number * _LOG_WIDTH)) + 1


def _middle_ps(number: int) -> float:
    """Half-way in proportion: off by half a bin at either edge."""
    return exp((number + 0.5) * _LOG_WIDTH)
