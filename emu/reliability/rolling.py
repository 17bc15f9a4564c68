"""Whole clusters under load while machines crash or too much arrives: goodput before, during and after.

A request counts as good where it completes within five times what it takes alone on a calibrated DGX-A100, the paper's
limit for its P99. The workloads are those of the shipped scenarios; only plans and surges are made here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import asdict, define, evolve, field, frozen

from emu.arrivals import load_workload
from emu.cluster import Cluster
from emu.execute import go, law_rules
from emu.laws.checker import Checker
from emu.record import entries as e
from emu.run import build
from emu.scenario.load import load
from emu.scenario.schema import Fault, Row, Scenario, WorkloadSource, machine_names
from emu.workload.synthetic import synthetic

_PS_PER_S: Final = 10**12
_SPAN_S: Final = 10
_SHARE: Final = 0.95
_SLOWDOWN: Final = 5


@frozen
class Curve:
    """One run. `rates` are what was completed and what was good, a second, in spans of so many seconds."""

    title: str
    arrived: int
    statuses: dict[str, int]
    rates: tuple[tuple[int, int, float, float], ...]
    recovered_s: float | None  # after the trouble
    broken: tuple[str, ...]

    def good_rps(self, from_s: int, to_s: int) -> float:
        """What was good a second in the spans that lie within these seconds."""
        there = [good for first, last, _, good in self.rates if from_s <= first and last <= to_s]
        return sum(there) / len(there)

    def document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, document: dict[str, Any]) -> Curve:
        """What `document` gave."""
        rates = tuple((first, last, rate, good) for first, last, rate, good in document["rates"])
        return cls(**{**document, "rates": rates, "broken": tuple(document["broken"])})


@define(eq=False)
class _Ends:
    """A fold: how requests ended, and when those that completed did."""

    statuses: Counter[str] = field(factory=Counter)
    completed: Counter[int] = field(factory=Counter)  # by second
    good: Counter[int] = field(factory=Counter)
    last_strike_ps: int = 0
    _arrived_ps: dict[int, int] = field(factory=dict)

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]:
        return {e.Arrived: self._arrived, e.RequestEnded: self._ended, e.FaultStruck: self._struck}

    def _arrived(self, entry: e.Arrived) -> None:
        self._arrived_ps[entry.request] = entry.at_ps

    def _ended(self, entry: e.RequestEnded) -> None:
        self.statuses[e.Status(entry.status).name.lower()] += 1
        took_ps = entry.at_ps - self._arrived_ps.pop(entry.request)
        if entry.status == e.Status.COMPLETED:
            second = entry.at_ps // _PS_PER_S
            self.completed[second] += 1
            self.good[second] += took_ps <= _SLOWDOWN * entry.alone_e2e_ps

    def _struck(self, entry: e.FaultStruck) -> None:
        self.last_strike_ps = max(self.last_strike_ps, entry.at_ps)


def crash_of_a_tenth(scenario: Scenario, at_s: float) -> Scenario:
    """Every tenth machine crashes at once, and is back a minute later."""
    names = machine_names(scenario)[::10]
    return evolve(
        scenario,
        faults=tuple(Fault(kind="crash", machine=name, at_s=at_s, heal_after_s=60.0) for name in names),
    )


def rolling_restart(scenario: Scenario, from_s: float, every_s: float) -> Scenario:
    """All machines, one after the other, are down for five seconds."""
    plan = tuple(
        Fault(kind="restart", machine=name, at_s=from_s + every_s * index, startup_s=5.0)
        for index, name in enumerate(machine_names(scenario))
    )
    return evolve(scenario, faults=plan)


def surge(scenario: Scenario, usual_rps: float, much_rps: float, from_s: float, to_s: float, end_s: float) -> Scenario:
    """The scenario's kind of requests at a usual rate, and far too many for a while; clients that are refused retry."""
    rows: list[Row] = []
    kind = scenario.workload.synthetic
    assert kind is not None
    for part, (begin_s, rate_rps, until_s) in enumerate(
        ((0.0, usual_rps, from_s), (from_s, much_rps, to_s), (to_s, usual_rps, end_s))
    ):
        drawn = synthetic(kind, rate_rps=rate_rps, duration_s=until_s - begin_s, seed=scenario.seed + part)
        rows += [
            Row(at_s=begin_s + at_ps / _PS_PER_S, prompt_tokens=prompt, output_tokens=output)
            for at_ps, prompt, output in zip(drawn.arrivals_ps, drawn.prompt_tokens, drawn.output_tokens, strict=True)
        ]
    clients = WorkloadSource(requests=tuple(rows), client_retries=3, retry_backoff_s=1.0, client_timeout_s=30.0)
    return evolve(scenario, workload=clients)


def measured(title: str, scenario: Scenario, trouble_s: tuple[int, int] | None = None) -> Curve:
    """Run it under all laws; `trouble_s`: from when to when, where it is not that of faults."""
    cluster, workload = Cluster.of(scenario), load_workload(scenario)
    checker, ends = Checker(cluster.started(workload), law_rules(cluster)), _Ends()
    go(build(cluster, workload, (*checker.laws, ends)))
    broken = tuple(sorted({verdict.law for verdict in checker.finish()}))
    if trouble_s is None:
        first_s = int(min((fault.at_s or 0.0 for fault in scenario.faults), default=0.0))
        trouble_s = (first_s, ends.last_strike_ps // _PS_PER_S)
    spans = range(0, max(ends.completed, default=0) + 1, _SPAN_S)
    rates = tuple((at, at + _SPAN_S, _rate(ends.completed, at), _rate(ends.good, at)) for at in spans)
    return Curve(title, len(workload), dict(ends.statuses), rates, _recovered_s(ends.good, trouble_s), broken)


def _rate(by_second: Counter[int], first_s: int) -> float:
    return sum(by_second[first_s + second] for second in range(_SPAN_S)) / _SPAN_S


def _recovered_s(good: Counter[int], trouble_s: tuple[int, int]) -> float | None:
    """From the end of the trouble to when ten seconds began as good as the last ones before it."""
    before = _rate(good, max(0, trouble_s[0] - _SPAN_S))
    for start in range(trouble_s[1], max(good, default=0) - _SPAN_S + 2):
        if _rate(good, start) >= _SHARE * before:
            return float(start - trouble_s[1])
    return None


def shipped(name: str) -> Scenario:
    """A scenario of this project's own."""
    return load(Path(__file__).parents[2] / "scenarios" / name)
