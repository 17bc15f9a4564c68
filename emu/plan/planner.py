"""The planner: every design's search, side by side, over one engine and one journal.

A search decides by its own answers alone, so that the plan's answer does not hang on how many workers there are or on
who was quicker. What is found is put into words and pictures elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from math import floor, log10
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, field, frozen

from emu.plan.estimate import Estimate, estimate
from emu.plan.ledger import Bounds
from emu.plan.load import longest_rps, trial_scenario
from emu.plan.schema import Design, Plan
from emu.plan.search import Seeker
from emu.plan.space import Space
from emu.plan.trials import DECIDE, WHOLE, Found, Trial
from emu.sweep.jobs import Job, Keys
from emu.sweep.journal import Journal
from emu.sweep.making import Making
from emu.workload.table import Workload
from emu.workload.traces import read_whole_trace

Given = TypeVar("Given")
Asks = Generator[tuple[Trial, ...], Mapping[Trial, Found], Given]


class TrialFailed(Exception):
    """A run failed twice; a plan cannot be answered without it."""


@define
class Searching:
    """One design of one plan on its way; `steps` is what it asks next, `answer` what it came to.

    Where several go on at a time, the runs of a lower `rank` are made first.
    """

    plan: Plan
    design: Design
    space: Space
    estimate: Estimate
    steps: Asks[Any]
    bounds: Bounds
    rank: int = 0
    answer: Any = None
    over: bool = False
    trials: dict[Trial, Found] = field(factory=dict)
    runs: set[str] = field(factory=set)  # keys: what two trials ask may be found by one run
    wanted: dict[Trial, Job] = field(factory=dict)


def traces_of(plans: Sequence[Plan]) -> dict[Path, Workload]:
    """Every trace that plans name, read once. Refusal: one that cannot be used."""
    paths = {_trace(plan) for plan in plans}
    return {path: read_whole_trace(path) for path in sorted(path for path in paths if path is not None)}


def searches(plan: Plan, traces: Mapping[Path, Workload], rank: int = 0) -> list[Searching]:
    """One a design, about to begin."""
    path = _trace(plan)
    whole = None if path is None else traces[path]
    estimates = [estimate(plan, design, whole) for design in plan.designs]
    spaces = _spaces(plan, estimates)
    found = []
    for design, guess, space in zip(plan.designs, estimates, spaces, strict=True):
        seeker = Seeker(space, guess, plan.search)
        found.append(Searching(plan, design, space, guess, seeker.seek(), seeker.bounds, rank))
    return found


@frozen
class Runner:
    """Carries searches through: hands their trials to be made, and hands back what was found."""

    making: Making
    journal: Journal
    keys: Keys = field(factory=Keys)

    def run(self, under_way: Sequence[Searching], told: Callable[[], None] = lambda: None) -> None:
        """All to their ends; `told` is called after every run. TrialFailed: a run could not be made."""
        for search in under_way:
            self._ask(search, None)
        while any(not search.over for search in under_way):
            for search in under_way:
                self._advance(search)
            self.making.step()
            told()

    def replay(self, under_way: Sequence[Searching]) -> None:
        """As far as the journal goes; no run is made."""
        for search in under_way:
            self._ask(search, None)
            self._advance(search)

    def _advance(self, search: Searching) -> None:
        while not search.over and all(job.key in self.journal.results for job in search.wanted.values()):
            self._ask(search, {trial: self._found(job) for trial, job in search.wanted.items()})

    def _ask(self, search: Searching, answers: dict[Trial, Found] | None) -> None:
        search.trials |= answers or {}
        search.runs |= {job.key for job in search.wanted.values()}
        try:
            trials = search.steps.send(answers)  # type: ignore[arg-type]
        except StopIteration as end:
            search.answer, search.over, search.wanted = end.value, True, {}
            return
        search.wanted = {trial: self.job(search, trial) for trial in trials}
        self.making.want(search.wanted.values(), search.rank)

    def job(self, search: Searching, trial: Trial) -> Job:
        """A run that was not given up is whole already, whatever it was asked."""
        if trial.asked == WHOLE:
            decided = self.job(search, trial._replace(asked=DECIDE))
            result = self.journal.results.get(decided.key, {})
            if "summary" in result and not result["summary"]["stopped"]:
                return decided
        point = trial.point
        scenario = trial_scenario(
            search.plan,
            search.design,
            point.counts,
            point.rate_rps,
            trial.duration_s,
            search.plan.search.first_seed + trial.seed,
        )
        return self.keys.job(scenario, trial.asked)

    def _found(self, job: Job) -> Found:
        result = self.journal.results[job.key]
        if "failure" in result:
            raise TrialFailed(f"{job.scenario.name}, seed {job.scenario.seed}: {result['failure']}")
        return Found.of(result["summary"])


def _trace(plan: Plan) -> Path | None:
    trace = plan.scenario["workload"].get("trace")
    return (plan.path.parent / trace).resolve() if isinstance(trace, str) else None


def _spaces(plan: Plan, estimates: Sequence[Estimate]) -> list[Space]:
    """All designs of a plan are measured in the same steps."""
    unbounded = [Space(plan, design, 1.0, 1.0) for design in plan.designs]
    if plan.objective != "throughput":
        return unbounded
    best = max(
        guess.rate_rps(point.counts)
        for guess, space in zip(estimates, unbounded, strict=True)
        for point in space.points(0)
    )
    step_rps = plan.search.step_rps or _round_step(best / 20)
    highest_rps = plan.search.highest_rps or min(3 * best, longest_rps(plan))
    return [Space(plan, design, step_rps, highest_rps) for design in plan.designs]


def _round_step(about: float) -> float:
    """1, 2 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(about))
    return float(max(times for times in (1, 2, 5) if times * power <= about or times == 1) * power)
