"""Beyond doubt: how sure a run's verdict on its SLOs is, and the end of a run whose failure is sure already.

It stands before the SLOs of `emu.record.slo` and sees every request on its way there. The interval of a percentile is
that of its order statistics, n * p +- z * sqrt(n * p * (1 - p)), with z = 2 and twice as wide: requests that waited
behind each other are no independent draws, and a quarter as many would be. A run is given up only when what is still to
come could not bring the lower end of an interval under its limit, so that a whole run would have been judged the same.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import inf, sqrt
from typing import Any, Final

from emu.record.entries import RequestEnded
from emu.record.histogram import LogHistogram
from emu.record.life import Life
from emu.record.slo import Slo

RANKS: Final = 2.0 * 2.0  # z, and how much wider
RULE_OF_THREE: Final = 3.0
"""So many requests expected beyond a percentile, and none over a limit, put it under the limit at 95 %."""


class SurelyMissed(Exception):
    """A limit is missed whatever the rest of the run does. `over`: each limit's share of requests over it so far."""

    def __init__(self, limit: str, over: dict[str, float], ended: int) -> None:
        super().__init__(limit)
        self.limit = limit
        self.over = over
        self.ended = ended


class BeyondDoubt:
    """The SLOs `inner` of a run of `requests`, with intervals; `stop` raises SurelyMissed as soon as it is certain."""

    def __init__(self, inner: Slo, requests: int, *, stop: bool) -> None:
        self._inner = inner
        self._requests = requests
        self._stop = stop
        self._names = [f"{metric}_p{percent}" for metric, percent, _ in inner.limits]
        self._most = [most for _, _, most in inner.limits]
        self._certain = [certainly_over(requests, percent) for _, percent, _ in inner.limits]
        self._over = [0] * len(self._names)
        self._of: dict[str, list[int]] = {}
        for number, (metric, _, _) in enumerate(inner.limits):
            self._of.setdefault(metric, []).append(number)
        self._values = {metric: array("d") for metric in self._of}
        self._ended = 0

    @property
    def within(self) -> int:
        return self._inner.within

    @property
    def limits(self) -> tuple[tuple[str, int, float], ...]:
        return self._inner.limits

    def value(self, metric: str, life: Life, ended: RequestEnded) -> float | None:
        return self._inner.value(metric, life, ended)

    def completed(self, life: Life, ended: RequestEnded) -> None:
        self._ended += 1
        for metric, numbers in self._of.items():
            value = self._inner.value(metric, life, ended)
            if value is not None:
                self._see(metric, numbers, value)
        self._inner.completed(life, ended)

    def missed(self) -> None:
        self._ended += 1
        for metric, numbers in self._of.items():
            self._see(metric, numbers, inf)
        self._inner.missed()

    def rows(self, gaps: LogHistogram) -> list[dict[str, Any]]:
        """Those of the SLOs, each with the interval [low, high] of its value; null is endless, or not measured."""
        rising = {metric: sorted(values) for metric, values in self._values.items()}
        rows = self._inner.rows(gaps)
        for row in rows:
            low, high = interval(rising[row["metric"]], row["percentile"])
            row["low"], row["high"] = (None if end is None or end == inf else end for end in (low, high))
        return rows

    def _see(self, metric: str, numbers: Sequence[int], value: float) -> None:
        self._values[metric].append(value)
        for number in numbers:
            if value >= self._most[number]:
                self._over[number] += 1
                if self._stop and self._over[number] > self._certain[number]:
                    shares = {name: over / self._ended for name, over in zip(self._names, self._over, strict=True)}
                    raise SurelyMissed(self._names[number], shares, self._ended)


def certainly_over(requests: int, percent: int) -> float:
    """More requests than this over a limit put the lower end of the percentile's interval over it too."""
    share = percent / 100
    return requests * (1 - share) + RANKS * sqrt(requests * share * (1 - share)) + 1


def interval(rising: Sequence[float], percent: int) -> tuple[float | None, float | None]:
    """The values at the two ranks; None where there are none. A higher one beyond the sample is the sample's largest
    value, if by the rule of three that is enough, and else endless.
    """
    count = len(rising)
    if not count:
        return None, None
    share = percent / 100
    reach = RANKS * sqrt(count * share * (1 - share))
    low = max(0, min(count - 1, int(count * share - reach)))
    high = int(count * share + reach)
    if high >= count:
        return rising[low], rising[-1] if count * (1 - share) >= RULE_OF_THREE else inf
    return rising[low], rising[high]
