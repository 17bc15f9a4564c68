"""Shrinking a situation: few requests, machines and faults, everything else as the scenario has it, round numbers.

It works on the scenario itself, not on the draws behind it, so that it may merge two requests into one, or give a limit
its default back. A candidate is kept where it is simpler and still broken in the same way.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Final, TypeVar

from attrs import define, evolve, field, fields

from emu.fuzz.keep import scenario_text
from emu.refusal import Refusal
from emu.scenario.load import from_document
from emu.scenario.schema import Delay, Fault, Network, Router, Row, RunLimits, Scenario, Scheduler, Transfer

SECTIONS: Final = ("router", "scheduler", "transfer", "network", "run")
MOST_TRIES: Final = 1500
LONGEST_S: Final = 60.0  # of CPU time
Key = tuple[int, ...]
T = TypeVar("T", bound=Fault | Delay)


@define(eq=False)
class Shrinker:
    """Makes a situation around `base` smaller while `fails` holds of it."""

    base: Scenario
    fails: Callable[[Scenario], bool]
    tries: int = field(init=False, default=0)

    def shrink(self, scenario: Scenario) -> Scenario:
        """The smallest that was found; `scenario` itself fails."""
        until_s = time.process_time() + LONGEST_S
        best, found = scenario, True
        while found:
            found = False
            for candidates in (_fewer_requests, _fewer_strikes, self._as_base, _fewer_machines, _merged, _rounder):
                better = self._first(best, candidates, until_s)
                while better is not None:
                    best, found = better, True
                    better = self._first(best, candidates, until_s)
        return best

    def _first(
        self, best: Scenario, candidates: Callable[[Scenario], Iterator[Scenario]], until_s: float
    ) -> Scenario | None:
        size = self.size(best)
        for candidate in candidates(best):
            if self.size(candidate) >= size:
                continue
            if self.tries >= MOST_TRIES or time.process_time() > until_s:
                return None
            self.tries += 1
            if _loads(candidate) and self.fails(candidate):  # who is asked may keep what fails
                return candidate
        return None

    def size(self, scenario: Scenario) -> Key:
        """What is smaller: requests, then machines, faults and delays, what is not as in `base`, then figures."""
        rows = scenario.workload.requests
        figures = [figure for row in rows for figure in (row.at_s, row.prompt_tokens, row.output_tokens)]
        strikes: tuple[Fault | Delay, ...] = (*scenario.faults, *scenario.delays)
        for strike in strikes:
            values = (getattr(strike, name.name) for name in fields(type(strike)))
            figures += [value for value in values if _is_number(value)]
        return (
            len(rows),
            sum(group.count for group in scenario.machines),
            len(scenario.faults) + len(scenario.delays) + len(scenario.goes_first),
            self._unlike(scenario),
            sum(_digits(figure) for figure in figures),
            round(sum(1e6 * row.at_s + row.prompt_tokens + row.output_tokens for row in rows)),
        )

    def _unlike(self, scenario: Scenario) -> int:
        count = int(scenario.interleaving != self.base.interleaving)
        count += scenario.workload.max_tokens != self.base.workload.max_tokens
        count += sum(
            mine.kv_blocks != own.kv_blocks for mine, own in zip(scenario.machines, self.base.machines, strict=True)
        )
        for section in SECTIONS:
            mine, own = getattr(scenario, section), getattr(self.base, section)
            count += sum(getattr(mine, name.name) != getattr(own, name.name) for name in fields(type(mine)))
        return count

    def _as_base(self, scenario: Scenario) -> Iterator[Scenario]:
        """Sections, then single keys, as they are in the scenario that situations are drawn around."""
        base = self.base
        yield evolve(scenario, **{section: getattr(base, section) for section in SECTIONS})
        for section in SECTIONS:
            yield evolve(scenario, **{section: getattr(base, section)})
        for section in SECTIONS:
            mine, own = getattr(scenario, section), getattr(base, section)
            for name in (each.name for each in fields(type(mine))):
                if getattr(mine, name) != getattr(own, name):
                    yield evolve(scenario, **{section: evolve(mine, **{name: getattr(own, name)})})
        yield evolve(scenario, interleaving=base.interleaving)
        yield evolve(scenario, workload=evolve(scenario.workload, max_tokens=base.workload.max_tokens))
        pairs = zip(scenario.machines, base.machines, strict=True)
        yield evolve(scenario, machines=tuple(evolve(mine, kv_blocks=own.kv_blocks) for mine, own in pairs))


def _loads(scenario: Scenario) -> bool:
    """Whether a file that says this is taken, and not refused."""
    try:
        from_document(tomllib.loads(scenario_text(scenario)), Path("smaller.toml"))
    except Refusal:
        return False
    return True


def plain(scenario: Scenario) -> Scenario:
    """The scenario with every limit at its default; machines' pools, model and policies stay."""
    return evolve(
        scenario,
        interleaving=0,
        machines=tuple(evolve(group, kv_blocks=None) for group in scenario.machines),
        router=Router(policy=scenario.router.policy),
        scheduler=Scheduler(policy=scenario.scheduler.policy),
        transfer=Transfer(policy=scenario.transfer.policy),
        network=Network(),
        run=RunLimits(),
        workload=evolve(scenario.workload, max_tokens=2048),
        faults=(),
        delays=(),
        goes_first=(),
    )


def _fewer_requests(scenario: Scenario) -> Iterator[Scenario]:
    """Without a half, a quarter, ... of the requests, down to single ones."""
    rows = scenario.workload.requests
    size = len(rows) // 2
    while size:
        for first in range(0, len(rows), size):
            left = rows[:first] + rows[first + size :]
            if left:
                yield _with(scenario, left)
        size //= 2


def _fewer_strikes(scenario: Scenario) -> Iterator[Scenario]:
    yield evolve(scenario, faults=(), delays=(), goes_first=())
    for index in range(len(scenario.goes_first)):
        yield evolve(scenario, goes_first=scenario.goes_first[:index] + scenario.goes_first[index + 1 :])
    for index in range(len(scenario.faults)):
        yield evolve(scenario, faults=scenario.faults[:index] + scenario.faults[index + 1 :])
    for index in range(len(scenario.delays)):
        yield evolve(scenario, delays=scenario.delays[:index] + scenario.delays[index + 1 :])


def _fewer_machines(scenario: Scenario) -> Iterator[Scenario]:
    for index, group in enumerate(scenario.machines):
        for count in range(1, group.count):
            gone = {f"{group.pool}-{number}" for number in range(count, group.count)}
            groups = (*scenario.machines[:index], evolve(group, count=count), *scenario.machines[index + 1 :])
            if not any(fault.machine in gone or gone & set(fault.machines or ()) for fault in scenario.faults):
                yield evolve(scenario, machines=groups)


def _merged(scenario: Scenario) -> Iterator[Scenario]:
    """One request in the place of two: as long as both, or as the longer."""
    rows = scenario.workload.requests
    for one, other in combinations(range(len(rows)), 2):
        rest = tuple(row for index, row in enumerate(rows) if index not in (one, other))
        first, second = rows[one], rows[other]
        longer = max(first.output_tokens, second.output_tokens)
        for prompt, output in (
            (first.prompt_tokens + second.prompt_tokens, longer),
            (first.prompt_tokens + second.prompt_tokens, first.output_tokens + second.output_tokens),
        ):
            merged = Row(at_s=min(first.at_s, second.at_s), prompt_tokens=prompt, output_tokens=output)
            yield _with(scenario, (merged, *rest))


def _rounder(scenario: Scenario) -> Iterator[Scenario]:
    """One figure at a time, rounder or smaller; first all arrivals at once."""
    rows = scenario.workload.requests
    yield _with(scenario, tuple(evolve(row, at_s=0.0) for row in rows))
    first_s = min(row.at_s for row in rows)
    yield _with(scenario, tuple(evolve(row, at_s=round(row.at_s - first_s, 6)) for row in rows))
    for index, row in enumerate(rows):
        changed = [evolve(row, at_s=at_s) for at_s in _rounded(row.at_s, 0.0)]
        changed += [evolve(row, prompt_tokens=max(1, int(n))) for n in _rounded(row.prompt_tokens, 100)]
        changed += [evolve(row, output_tokens=max(1, int(n))) for n in _rounded(row.output_tokens, 2)]
        for other in changed:
            yield _with(scenario, (*rows[:index], other, *rows[index + 1 :]))
    for index, fault in enumerate(scenario.faults):
        for sooner in _rounder_strike(fault):
            yield evolve(scenario, faults=(*scenario.faults[:index], sooner, *scenario.faults[index + 1 :]))
    for index, delay in enumerate(scenario.delays):
        for late in _rounder_strike(delay):
            yield evolve(scenario, delays=(*scenario.delays[:index], late, *scenario.delays[index + 1 :]))


_BOUND: Final = {"clock": ("at_s", "drift")}  # a clock does not jump, and drifts no more than clocks may


def _rounder_strike(strike: T) -> Iterator[T]:
    """A fault or a delay with one figure rounder."""
    for key in (each.name for each in fields(type(strike))):
        value = getattr(strike, key)
        if _is_number(value) and key not in ("on_request", "count", *_BOUND.get(getattr(strike, "kind", ""), ())):
            for new in _rounded(value, 1):
                changed: dict[str, Any] = {key: max(1, int(new)) if key == "nth" else max(0.001, float(new))}
                yield evolve(strike, **changed)


def _rounded(value: float, plain: float) -> Iterator[float]:
    """The plain value, and this one with one, then two figures, half of it, and the one below."""
    yield plain
    for figures in (1, 2):
        yield float(f"{value:.{figures}g}")
    yield float(f"{value / 2:.1g}")
    if value >= 2:
        yield value - 1


def _digits(value: float) -> int:
    """Figures that are not zeros at an end: 2000 and 0.002 have one."""
    return len(f"{value:.9g}".split("e")[0].replace(".", "").strip("0"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _with(scenario: Scenario, rows: tuple[Row, ...]) -> Scenario:
    return evolve(scenario, workload=evolve(scenario.workload, requests=rows))
