"""Whole clusters under load while machines crash: what is completed a second before, during and after.

The workloads are those of the shipped scenarios; only the plan is made here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import define, evolve, field, frozen

from emu.execute import go, law_rules
from emu.laws.checker import Checker
from emu.record import entries as e
from emu.run import Cluster, build, load_workload
from emu.scenario.load import load
from emu.scenario.schema import Fault, Scenario, machine_names

_PS_PER_S: Final = 10**12
_SPAN_S: Final = 10
_SHARE: Final = 0.95


@frozen
class Curve:
    """One run: completions a second in spans of so many seconds."""

    title: str
    arrived: int
    statuses: dict[str, int]
    rates: tuple[tuple[int, int, float], ...]
    recovered_s: float | None  # after the last strike
    broken: tuple[str, ...]


@define(eq=False)
class _Ends:
    """A fold: how requests ended, and when those that completed did."""

    statuses: Counter[str] = field(factory=Counter)
    by_second: Counter[int] = field(factory=Counter)
    last_strike_ps: int = 0

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]:
        return {e.RequestEnded: self._ended, e.FaultStruck: self._struck}

    def _ended(self, entry: e.RequestEnded) -> None:
        self.statuses[e.Status(entry.status).name.lower()] += 1
        if entry.status == e.Status.COMPLETED:
            self.by_second[entry.at_ps // _PS_PER_S] += 1

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


def measured(title: str, scenario: Scenario) -> Curve:
    """Run it under all laws."""
    cluster, workload = Cluster.of(scenario), load_workload(scenario)
    checker, ends = Checker(cluster.started(workload), law_rules(cluster)), _Ends()
    go(build(cluster, workload, (*checker.laws, ends)))
    broken = tuple(sorted({verdict.law for verdict in checker.finish()}))
    last_s = max(ends.by_second, default=0)
    rates = tuple(
        (first, first + _SPAN_S, sum(ends.by_second[first + s] for s in range(_SPAN_S)) / _SPAN_S)
        for first in range(0, last_s + 1, _SPAN_S)
    )
    return Curve(title, len(workload), dict(ends.statuses), rates, _recovered_s(ends, scenario), broken)


def _recovered_s(ends: _Ends, scenario: Scenario) -> float | None:
    """When ten seconds began in which as much was completed as before the first strike, from the last strike on."""
    first_s = int(min((fault.at_s or 0.0 for fault in scenario.faults), default=0.0))
    before_s = range(max(0, first_s - 2 * _SPAN_S), first_s)
    before = sum(ends.by_second[second] for second in before_s) / max(1, len(before_s))
    last_strike_s = ends.last_strike_ps // _PS_PER_S
    for start in range(last_strike_s, max(ends.by_second, default=0) - _SPAN_S + 1):
        if sum(ends.by_second[start + s] for s in range(_SPAN_S)) >= _SHARE * before * _SPAN_S:
            return float(start - last_strike_s)
    return None


def shipped(name: str) -> Scenario:
    """A scenario of this project's own."""
    return load(Path(__file__).parents[2] / "scenarios" / name)
