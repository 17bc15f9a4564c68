"""Hunt: Hypothesis draws situations around a scenario until one breaks something, and shrinks that one.

One hunt is one process with one seed. It says how it gets on through a callback and prints nothing; the clock on the
wall ends it between rounds of examples and never reaches a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import define, field, frozen
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase
from hypothesis.errors import Flaky

from emu.fuzz.clusters import Clusters
from emu.fuzz.coverage import Pair
from emu.fuzz.judge import Finding, Judged, judge
from emu.fuzz.properties import BY_NAME, PLAIN, PROPERTIES, Property
from emu.policies.seats import Seats
from emu.scenario.schema import Scenario

ROUND: Final = 250  # examples between two looks at the clock on the wall
Situations = st.SearchStrategy[Scenario]


@define
class Tally:
    """What a hunt has done so far. `pairs` are those of a state and an event that were reached."""

    examples: int = 0
    runs: int = 0
    requests: int = 0
    struck: int = 0
    laws: int = 0
    pairs: set[Pair] = field(factory=set)
    cpu_s: float = 0.0
    shrinking: bool = False


@frozen
class Limits:
    """When a hunt ends without a finding: after so many examples, or so many seconds, whichever is first."""

    examples: int | None = None
    seconds: float | None = None


@frozen
class Caught:
    """What was found, in its smallest situation, and how many examples it took."""

    scenario: Scenario
    run: Judged
    finding: Finding
    property: str
    after_examples: int


class _Found(Exception):
    """Raised inside an example; a class for each law, so that shrinking does not slip from one to another."""

    def __init__(self, scenario: Scenario, run: Judged, finding: Finding, by: str) -> None:
        super().__init__(f"{finding.law}: {finding.what}")
        self.scenario, self.run, self.finding, self.by = scenario, run, finding, by


@define(eq=False)
class Hunt:
    """One hunt for what `situations` break. `seats` take the place of the policies that they name."""

    situations: Situations
    seed: int = 0
    seats: Seats | None = None
    database: Path | None = None
    properties: tuple[Property, ...] = PROPERTIES
    progress: Callable[[Tally], None] = lambda _: None
    tally: Tally = field(init=False, factory=Tally)
    _clusters: Clusters = field(init=False)
    _kinds: dict[str, type[_Found]] = field(init=False, factory=dict)
    _first: int | None = field(init=False, default=None)  # examples until the first finding

    def __attrs_post_init__(self) -> None:
        self._clusters = Clusters(self.seats)

    def look(self, scenario: Scenario, by: Property = PLAIN, pick: int = 0) -> tuple[Judged, tuple[Finding, ...]]:
        """Judge one situation under all laws, and by one property if no law is broken."""
        run = judge(scenario, self._clusters)
        tally = self.tally
        tally.laws += run.laws
        tally.struck += sum(type(entry).__name__ == "FaultStruck" for entry in run.entries)
        tally.pairs |= run.pairs
        findings = run.findings or by.check(scenario, run, pick, self._clusters)
        tally.runs, tally.requests = self._clusters.runs, self._clusters.requests
        return run, findings

    def go(self, limits: Limits) -> Caught | None:
        """Examples until one breaks something, and then the smallest that breaks the same; None within the limits."""
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        most = limits.examples if limits.examples is not None else (1 << 30)
        rounds = 0
        while self.tally.examples < most and self._first is None:
            if limits.seconds is not None and time.monotonic() - began_s >= limits.seconds:
                break
            before = self.tally.examples
            caught = self._round(min(ROUND, most - self.tally.examples), rounds)
            rounds += 1
            self.tally.cpu_s = time.process_time() - began_cpu_s
            self.progress(self.tally)
            if caught is not None:
                return caught
            if self.tally.examples == before:  # nothing is left to draw
                break
        return None

    def _round(self, examples: int, number: int) -> Caught | None:
        chosen = st.sampled_from([PLAIN.name, PLAIN.name, *(each.name for each in self.properties)])
        database: ExampleDatabase | None = None
        if self.database is not None:
            database = DirectoryBasedExampleDatabase(self.database)

        @settings(
            max_examples=examples,
            deadline=None,
            database=database,
            derandomize=False,
            phases=(Phase.reuse, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            verbosity=Verbosity.quiet,
            print_blob=False,
        )
        @seed(self.seed * 1_000_003 + number)
        @given(self.situations, chosen, st.integers(0, 40))
        def example(scenario: Scenario, by: str, pick: int) -> None:
            self._example(scenario, by, pick)

        try:
            example()
        except _Found as found:
            return Caught(found.scenario, found.run, found.finding, found.by, self._first or self.tally.examples)
        except Flaky as flaky:
            found_first = _first_found(flaky)
            if found_first is None:
                raise
            what = f"found once, and not again on the same scenario: {found_first}"
            finding = Finding(
                BY_NAME["repeatable"].name, BY_NAME["repeatable"].statement, found_first.finding.at_ps, what
            )
            return Caught(found_first.scenario, found_first.run, finding, "repeatable", self._first or 0)
        return None

    def _example(self, scenario: Scenario, by: str, pick: int) -> None:
        if self._first is None:
            self.tally.examples += 1
            if self.tally.examples % 20 == 0:
                self.progress(self.tally)
        run, findings = self.look(scenario, BY_NAME[by], pick)
        if findings:
            if self._first is None:
                self._first = self.tally.examples
                self.tally.shrinking = True
                self.progress(self.tally)
            law = findings[0].law
            kind = self._kinds.setdefault(law, type(f"Found_{law}", (_Found,), {}))
            raise kind(scenario, run, findings[0], by)


def _first_found(error: BaseException) -> _Found | None:
    """The finding inside a report of flakiness."""
    if isinstance(error, _Found):
        return error
    inner = [*getattr(error, "exceptions", ()), error.__cause__, error.__context__]
    return next((found for each in inner if each is not None and (found := _first_found(each)) is not None), None)
