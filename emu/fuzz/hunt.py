"""Hunt: Hypothesis draws situations around a scenario until one breaks something; that one is shrunk.

One hunt is one process with one seed. It says how it gets on through a callback and prints nothing; the clock on the
wall ends it between rounds of examples and never reaches a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import define, evolve, field, frozen
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase
from hypothesis.errors import Flaky

from emu.fuzz.clusters import Clusters
from emu.fuzz.coverage import Pair
from emu.fuzz.judge import Finding, Judged, judge
from emu.fuzz.properties import ALWAYS, BY_NAME, PICKS, PLAIN, PROPERTIES, Property
from emu.fuzz.shrink import Shrinker, plain
from emu.policies.seats import Seats
from emu.scenario.schema import Scenario

ROUND: Final = 250  # examples between two looks at the clock on the wall
OFTEN: Final = ("same-answers", "leap-is-steps")  # which find what nothing else does
FEW_PICKS: Final = 8
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
    """Raised inside an example: what it found."""

    def __init__(self, caught: Caught, pick: int) -> None:
        super().__init__(f"{caught.finding.law}: {caught.finding.what}")
        self.caught, self.pick = caught, pick


@define(eq=False)
class Hunt:
    """One hunt for what `situations`, drawn around `base`, break. `seats` take the place of policies that they name."""

    situations: Situations
    base: Scenario | None = None  # whose keys shrinking gives back; None: the defaults
    seed: int = 0
    seats: Seats | None = None
    database: Path | None = None
    properties: tuple[Property, ...] = PROPERTIES
    progress: Callable[[Tally], None] = lambda _: None
    shrinks: bool = True
    accepts: Callable[[Caught], bool] = lambda _: True  # whether a finding counts; else the hunt goes on
    tally: Tally = field(init=False, factory=Tally)
    _clusters: Clusters = field(init=False)
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
        for always in ALWAYS:
            if not findings and always in self.properties:
                findings = always.check(scenario, run, pick, self._clusters)
        tally.runs, tally.requests = self._clusters.runs, self._clusters.requests
        return run, findings

    def as_it_stands(self, scenario: Scenario, only: Property | None = None) -> Caught | None:
        """Judge one situation under all laws and every property (or one), as a kept one is judged again."""
        for by in self.properties if only is None else (only,):
            for pick in range(1 if by is PLAIN else FEW_PICKS):
                run, findings = self.look(scenario, by, pick)
                if findings:
                    return Caught(scenario, run, findings[0], by.name, 0)
        return None

    def first(self, limits: Limits) -> Finding | None:
        """What `go` finds, as it was found: not shrunk."""
        self.shrinks = False
        caught = self.go(limits)
        return None if caught is None else caught.finding

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
        often = [each.name for each in self.properties if each.name in OFTEN]
        names = [PLAIN.name, *(each.name for each in self.properties if each not in ALWAYS), *often]
        chosen = st.sampled_from([(name, pick) for name in names for pick in range(PICKS)])  # one draw, not two
        database: ExampleDatabase | None = None
        if self.database is not None:
            database = DirectoryBasedExampleDatabase(self.database)

        @settings(
            max_examples=examples,
            deadline=None,
            database=database,
            derandomize=False,
            phases=(Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            verbosity=Verbosity.quiet,
            print_blob=False,
        )
        @seed(self.seed * 1_000_003 + number)
        @given(self.situations, chosen)
        def example(scenario: Scenario, by: tuple[str, int]) -> None:
            self._example(scenario, *by)

        found: _Found | None = None
        try:
            example()
        except _Found as first:
            found = first
        except Flaky as flaky:
            first_found = _first_found(flaky)
            if first_found is None:
                raise
            law, caught = BY_NAME["repeatable"], first_found.caught
            what = f"found once, and not again on the same scenario: {first_found}"
            finding = Finding(law.name, law.statement, caught.finding.at_ps, what)
            return evolve(caught, finding=finding, property=law.name)
        # not inside the handler: a policy's traceback would tell of the fuzzer's own exception
        if found is None:
            return None
        return self._smallest(found.caught, found.pick) if self.shrinks else found.caught

    def _example(self, scenario: Scenario, by: str, pick: int) -> None:
        if self._first is None:
            self.tally.examples += 1
            if self.tally.examples % 20 == 0:
                self.progress(self.tally)
        run, findings = self.look(scenario, BY_NAME[by], pick)
        if not findings:
            return
        caught = Caught(scenario, run, findings[0], by, self._first or self.tally.examples)
        if self._first is None:
            if not self.accepts(caught):
                return
            self._first = self.tally.examples
        raise _Found(caught, pick)

    def _smallest(self, caught: Caught, pick: int) -> Caught:
        """The smallest situation that is found to break the same law, judged again."""
        self.tally.shrinking = True
        self.progress(self.tally)
        law = caught.finding.law
        costless = caught.run.findings or law in {each.name for each in ALWAYS}
        by = PLAIN if costless else BY_NAME[caught.property]
        smallest = caught

        def fails(scenario: Scenario) -> bool:
            nonlocal smallest
            run, findings = self.look(scenario, by, pick)
            same = [finding for finding in findings if finding.law == law]
            smaller = Caught(scenario, run, same[0], by.name, caught.after_examples) if same else None
            if smaller is None or not self.accepts(smaller):
                return False
            smallest = smaller
            return True

        for fewer in range(FEW_PICKS if by is not PLAIN else 0):  # those that a kept scenario is judged by again
            pick, kept = fewer, pick
            if fails(caught.scenario):
                break
            pick = kept
        Shrinker(self.base or plain(caught.scenario), fails).shrink(caught.scenario)
        return smallest


def _first_found(error: BaseException) -> _Found | None:
    """The finding inside a report of flakiness."""
    if isinstance(error, _Found):
        return error
    inner = [*getattr(error, "exceptions", ()), error.__cause__, error.__context__]
    return next((found for each in inner if each is not None and (found := _first_found(each)) is not None), None)
