"""From durations to what a report says of them: mean, percentiles, maximum, in seconds.

Percentiles are linear between the two nearest ranks, as numpy's are; no numpy, whose import costs more than a small
run. Where the durations come from must stay out of here.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final, Protocol, TypeAlias

from emu.record.histogram import LogHistogram

PS_PER_S: Final = 10**12
PERCENTILES: Final = (50, 90, 99)

Spread: TypeAlias = dict[str, float | None]
"""mean, p50, p90, p99 and max; all None where there is nothing to measure."""


class Rising(Protocol):
    """A sorted sequence."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> float: ...


def percentile(rising: Rising, percent: int, infinite: int = 0) -> float | None:
    """Of the values and of `infinite` endless ones behind them; None where there are neither.

    >>> percentile([1.0, 2.0, 4.0], 75)
    3.0
    >>> percentile([1.0, 2.0, 4.0], 75, infinite=1)
    inf
    """
    finite = len(rising)
    if not finite + infinite:
        return None
    below, rest = divmod((finite + infinite - 1) * percent, 100)
    if below >= finite or (rest and below + 1 >= finite):
        return inf
    value = rising[below]
    return value + (rising[below + 1] - value) * rest / 100 if rest else value


def spread(durations_ps: Iterable[int]) -> Spread:
    """Of exact durations, given in any order."""
    rising = sorted(durations_ps)
    if not rising:
        return _spread(rising, 0.0, 0.0)
    return _spread(rising, sum(rising) / len(rising), rising[-1])


def spread_of(histogram: LogHistogram) -> Spread:
    """Of counted ones: percentiles to within half a bin, mean and maximum exactly."""
    rising = histogram.ordered()
    return _spread(rising, histogram.sum_ps / max(1, histogram.count), histogram.max_ps)


def _spread(rising: Rising, mean_ps: float, max_ps: float) -> Spread:
    if not len(rising):
        return dict.fromkeys(("mean", *(f"p{percent}" for percent in PERCENTILES), "max"))
    found: Spread = {"mean": mean_ps / PS_PER_S}
    for percent in PERCENTILES:
        value = percentile(rising, percent)
        assert value is not None
        found[f"p{percent}"] = value / PS_PER_S
    found["max"] = max_ps / PS_PER_S
    return found
