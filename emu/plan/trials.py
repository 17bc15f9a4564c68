"""Trials: single runs that a search asks for, and what it is told of them.

A trial's answer is small and the same wherever it is made. How trials become a verdict is `emu.plan.verdicts`'s.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from attrs import define, frozen

from emu.execute import execute
from emu.output import REQUESTS
from emu.record.beyond_doubt import BeyondDoubt, SurelyMissed
from emu.record.entries import RequestEnded
from emu.record.histogram import LogHistogram
from emu.record.latency import PS_PER_S
from emu.record.life import Life
from emu.record.slo import Limit, Slo
from emu.sweep.jobs import Job
from emu.workload.table import Workload

DECIDE, WHOLE, LATENCIES, BATCH = "decide", "whole", "latencies", "batch"
"""What a trial is asked: to end as soon as its failure is sure, to go on to its end all the same, to say how its
requests' latencies are distributed, or how fast it gets through work that waits for nothing."""

QUANTILES = 200
DISTRIBUTIONS = ("ttft_s", "tpot_s", "e2e_s")


class Point(NamedTuple):
    """A cluster (how many machines in each free group of its design) under a rate."""

    counts: tuple[int, ...]
    rate_rps: float


class Trial(NamedTuple):
    """One run of a point."""

    point: Point
    duration_s: float
    seed: int
    asked: str = DECIDE


@frozen
class Found:
    """What a trial found. Ratios are of a percentile over its limit: (value, low, high), endless where too few ended.

    `stopped` names the limit that was surely missed when the run was given up; then `over` has each limit's share of
    requests over it, and there are no ratios.
    """

    passed: bool
    stopped: str
    ratios: Mapping[str, tuple[float, float, float]]
    over: Mapping[str, float]
    good_share: float  # of the requests that arrived: within the limits that goodput counts
    laws_broken: str

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Found:
        """From what `run_trial` gave, after its way through a journal."""
        ratios = {
            name: tuple(inf if ratio is None else ratio for ratio in three) for name, three in result["ratios"].items()
        }
        return cls(**{**{name: value for name, value in result.items() if name != "cpu_s"}, "ratios": ratios})

    @property
    def margin(self) -> float:
        """The largest ratio: below 1 everything holds. Endless where the run was given up."""
        return inf if self.stopped else max((value for value, _, _ in self.ratios.values()), default=0.0)

    @property
    def surely_failed(self) -> bool:
        return bool(self.stopped) or any(low >= 1 for _, low, _ in self.ratios.values())

    @property
    def worst(self) -> str:
        """The limit that is missed by most, or held by least."""
        if self.stopped:
            return self.stopped
        return max(self.ratios, key=lambda name: self.ratios[name][0], default="")


def run_trial(job: Job, trace: Workload | None) -> dict[str, Any]:
    """In a worker: make the run and say what a search wants to know of it."""
    if job.asked == LATENCIES:
        return latencies(job, trace)
    began_s = time.process_time()
    if job.asked == BATCH:
        return {"requests_per_s": steady_rps(job, trace), "cpu_s": time.process_time() - began_s}
    stop = job.asked == DECIDE
    found: dict[str, Any] = {
        "passed": False,
        "stopped": "",
        "ratios": {},
        "over": {},
        "good_share": 0.0,
        "laws_broken": "",
    }

    def judge(inner: Slo, requests: int) -> Slo:
        return BeyondDoubt(inner, requests, stop=stop)

    try:
        summary = execute(job.scenario, whole=trace, judge=judge).summary
    except SurelyMissed as missed:
        found |= {"stopped": missed.limit, "over": missed.over}
    else:
        limits = summary["slo"]["limits"]
        found["passed"] = summary["slo"]["passed"]
        found["ratios"] = {f"{row['metric']}_p{row['percentile']}": _ratios(row) for row in limits}
        found["good_share"] = _good_share(summary)
        found["laws_broken"] = " ".join(summary["laws"]["broken"])
    return found | {"cpu_s": time.process_time() - began_s}


def steady_rps(job: Job, trace: Workload | None) -> float:
    """Requests a second while the middle half of them ends: neither the filling nor the last long answers count."""
    ends_ps: list[int] = []

    def judge(inner: Slo, _requests: int) -> Slo:
        return Ends(inner, ends_ps)

    execute(job.scenario, whole=trace, judge=judge)
    first, last = len(ends_ps) // 4, 3 * len(ends_ps) // 4
    return (last - first) * PS_PER_S / (ends_ps[last] - ends_ps[first])


@define
class Ends:
    """Stands before SLOs and notes when requests complete."""

    inner: Slo
    at_ps: list[int]

    @property
    def within(self) -> int:
        return self.inner.within

    @property
    def limits(self) -> tuple[Limit, ...]:
        return self.inner.limits

    def value(self, metric: str, life: Life, ended: RequestEnded) -> float | None:
        return self.inner.value(metric, life, ended)

    def completed(self, life: Life, ended: RequestEnded) -> None:
        self.at_ps.append(ended.at_ps)
        self.inner.completed(life, ended)

    def missed(self) -> None:
        self.inner.missed()

    def rows(self, gaps: LogHistogram) -> list[dict[str, Any]]:
        return self.inner.rows(gaps)


def latencies(job: Job, trace: Workload | None) -> dict[str, Any]:
    """For each of `DISTRIBUTIONS` its values at `QUANTILES` even steps from the least to the largest, in seconds."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        execute(job.scenario, out, whole=trace)
        with open(out / REQUESTS, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    found: dict[str, Any] = {}
    for name in DISTRIBUTIONS:
        rising = sorted(float(row[name]) for row in rows if row[name])
        last = len(rising) - 1
        found[name] = [rising[round(step * last / QUANTILES)] for step in range(QUANTILES + 1)] if rising else []
    return found


def _good_share(summary: Mapping[str, Any]) -> float:
    completed, arrived = summary["requests"]["completed"], summary["requests"]["arrived"]
    pace_rps = summary["throughput"]["requests_per_s"]
    return float(summary["goodput_rps"] / pace_rps * completed / arrived) if pace_rps else 0.0


def _ratios(row: Mapping[str, Any]) -> list[float | None]:
    """Value, low and high over the limit; a limit that no request has anything under is held by all."""
    if row["value"] is None:
        return [0.0, 0.0, 0.0] if row["passed"] else [None, None, None]
    ends = (row["value"] if row["low"] is None else row["low"], row["high"])
    return [row["ratio"], *(None if end is None else end / row["limit"] for end in ends)]
