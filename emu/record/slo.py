"""SLOs: how far a run is from its limits, and which requests count as good.

Either the nine slowdowns of the Splitwise paper (Table VI), each request against itself alone on a calibrated
DGX-A100, or limits in seconds. A request that was rejected, failed or was cancelled misses every limit: it counts as
endless. Where latencies come from must stay out of here, and so must scenarios.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import inf, isinf
from typing import Any, Final, Protocol

from emu.record.entries import RequestEnded
from emu.record.histogram import LogHistogram
from emu.record.latency import PS_PER_S, percentile
from emu.record.life import NEVER, Life

SPLITWISE: Final = (
    ("ttft", ((50, 2.0), (90, 3.0), (99, 6.0))),
    ("tbt", ((50, 1.25), (90, 1.5), (99, 5.0))),
    ("e2e", ((50, 1.25), (90, 1.5), (99, 5.0))),
)

Limit = tuple[str, int, float]  # metric, percentile, the most that passes: seconds, or a slowdown


class Slo(Protocol):
    """What judges requests one by one, and the run at its end."""

    @property
    def within(self) -> int:
        """Requests that count towards goodput."""

    @property
    def limits(self) -> tuple[Limit, ...]:
        """(metric, percentile, most), in the order of the rows."""

    def value(self, metric: str, life: Life, ended: RequestEnded) -> float | None:
        """What a completed request has of a metric, in the limits' unit; None: it has none, or only its gaps do."""

    def completed(self, life: Life, ended: RequestEnded) -> None: ...

    def missed(self) -> None: ...

    def rows(self, gaps: LogHistogram) -> list[dict[str, Any]]:
        """One a limit: metric, percentile, unit, limit, value, ratio (value over limit), passed.

        Value and ratio are None where the percentile is endless, and where no request has one, which passes.
        """


class Slowdowns:
    """The preset "splitwise". TBT is a request's mean gap, as in the paper's simulator."""

    def __init__(self) -> None:
        self.within = 0
        self._missed = 0
        self._found = {metric: array("d") for metric, _ in SPLITWISE}
        self._ttft, self._tbt, self._e2e = (found.append for found in self._found.values())
        self._most = tuple(limits[-1][1] for _, limits in SPLITWISE)

    @property
    def limits(self) -> tuple[Limit, ...]:
        return tuple((metric, percent, most) for metric, limits in SPLITWISE for percent, most in limits)

    def value(self, metric: str, life: Life, ended: RequestEnded) -> float | None:
        if metric == "ttft":
            return (life.first_token_ps - life.arrived_ps) / ended.alone_ttft_ps
        if metric == "e2e":
            return (life.last_token_ps - life.arrived_ps) / ended.alone_e2e_ps
        return life.mean_gap_ps / ended.alone_tbt_ps if life.output_tokens > 1 else None

    def completed(self, life: Life, ended: RequestEnded) -> None:
        """Raises ZeroDivisionError where the record says that a request alone would take no time."""
        ttft = (life.first_token_ps - life.arrived_ps) / ended.alone_ttft_ps
        e2e = (life.last_token_ps - life.arrived_ps) / ended.alone_e2e_ps
        self._ttft(ttft)
        self._e2e(e2e)
        most_ttft, most_tbt, most_e2e = self._most
        good = ttft < most_ttft and e2e < most_e2e
        if life.output_tokens > 1:
            tbt = life.mean_gap_ps / ended.alone_tbt_ps
            self._tbt(tbt)
            good = good and tbt < most_tbt
        self.within += good

    def missed(self) -> None:
        self._missed += 1

    def rows(self, gaps: LogHistogram) -> list[dict[str, Any]]:  # noqa: ARG002 (slowdowns look at mean gaps)
        rows = []
        for metric, limits in SPLITWISE:
            rising = sorted(self._found[metric])
            for percent, limit in limits:
                rows.append(_row(metric, percent, "x", limit, percentile(rising, percent, self._missed)))
        return rows


class Absolute:
    """Limits in seconds. TBT is over every gap of all requests; a good request has none at or above the limit."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        self.within = 0
        self._missed = 0
        self._limits = tuple(limits)
        highest: dict[str, tuple[int, float]] = {}
        for metric, percent, seconds in limits:
            highest[metric] = max(highest.get(metric, (0, inf)), (percent, seconds))
        self._most_ps = {metric: seconds * PS_PER_S for metric, (_, seconds) in highest.items()}
        self._found = {metric: array("q") for metric in highest if metric != "tbt"}

    @property
    def limits(self) -> tuple[Limit, ...]:
        return self._limits

    def value(self, metric: str, life: Life, ended: RequestEnded) -> float | None:
        value_ps = NEVER if metric == "tbt" else _value_ps(metric, life, ended)
        return None if value_ps == NEVER else value_ps / PS_PER_S

    def completed(self, life: Life, ended: RequestEnded) -> None:
        good = True
        for metric, most_ps in self._most_ps.items():
            value_ps = _value_ps(metric, life, ended)
            if value_ps == NEVER:
                continue
            good = good and value_ps < most_ps
            if metric != "tbt":
                self._found[metric].append(value_ps)
        self.within += good

    def missed(self) -> None:
        self._missed += 1

    def rows(self, gaps: LogHistogram) -> list[dict[str, Any]]:
        rising = {metric: sorted(found) for metric, found in self._found.items()}
        rows = []
        for metric, percent, seconds in self._limits:
            values = gaps.ordered() if metric == "tbt" else rising[metric]
            value_ps = percentile(values, percent, self._missed)
            value = None if value_ps is None else value_ps / PS_PER_S
            rows.append(_row(metric, percent, "s", seconds, value))
        return rows


def _value_ps(metric: str, life: Life, ended: RequestEnded) -> int:
    if metric == "ttft":
        return life.first_token_ps - life.arrived_ps
    if metric == "ttst":
        return NEVER if life.second_token_ps == NEVER else life.second_token_ps - life.arrived_ps
    if metric == "tbt":
        return life.longest_gap_ps
    if metric == "tpot":
        return life.mean_gap_ps
    assert metric == "e2e", metric
    return ended.at_ps - life.arrived_ps


def _row(metric: str, percent: int, unit: str, limit: float, value: float | None) -> dict[str, Any]:
    passed = value is None or value < limit
    if value is not None and isinf(value):
        value = None
    return {
        "metric": metric,
        "percentile": percent,
        "unit": unit,
        "limit": limit,
        "value": value,
        "ratio": None if value is None else value / limit,
        "passed": passed,
    }
