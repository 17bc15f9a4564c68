"""The paper's provisioning from end to end: its questions, their answers by the planner's own search, and one page.

Every finished run is in the journal of the folder: stopped at any moment, the same command goes on from there.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import field, frozen

from emu.plan.answer import Workers
from emu.plan.outcome import outcome
from emu.plan.paper import BLOOM, COSTS, FULL, LATER, QUICK, Question, Scale, first_questions, later_questions
from emu.plan.paper_batch import batch_rows, batches
from emu.plan.paper_page import tables, write_page
from emu.plan.paper_report import FIGURES, write_paper_report
from emu.plan.pictures import Pictured, tried
from emu.plan.planner import Runner, Searching, searches
from emu.plan.progress import PlanProgress
from emu.plan.report import REPORT, plan_json
from emu.plan.trials import run_trial
from emu.screen.quantities import count, span
from emu.sweep.engines import engine
from emu.sweep.journal import JOURNAL, Journal, check_folder
from emu.sweep.making import Making
from emu.sweep.version import program_version

ANSWERS, BATCHES = "answers.json", "batch.json"
FILES = frozenset({JOURNAL, ANSWERS, BATCHES, REPORT, *FIGURES})
QUICK_MEANS = (
    "At a quarter of the paper's size (10 DGX-H100 instead of 40, 17.5 requests/s instead of 70), with one seed of 20 "
    "s: a machine more or less is up to 10 % of a cluster, a percentile rests on a few hundred requests, and there are "
    "no intervals."
)


@frozen
class Reproduced:
    """How much it took: runs, and the CPU time of those that tell it."""

    runs: int
    cpu_s: float


def reproduce(
    out: Path, page: Path | None, workers: Workers, *, quick: bool, finished: bool, shown: bool
) -> Reproduced:
    """Answer everything; write the answers and a report to `out` and the tables into `page`. `finished`: only what the
    runs that are in `out` answer, and make none. Refusal: a place cannot be written."""
    check_folder(out, FILES)
    scale = QUICK if quick else FULL
    makers = engine(workers.engine, run_trial, {}, workers.jobs, workers.address)
    whole = False
    try:
        with Journal(out) as journal:
            asking = _Asking(Runner(Making(makers, journal), journal), finished, shown)
            first = first_questions(scale)
            outcomes = asking.answers([one for one in first if one.model == BLOOM])
            outcomes |= asking.answers(later_questions(scale, outcomes))
            rows = asking.batch(scale, first)
            outcomes |= asking.answers([one for one in first if one.model != BLOOM])
            took = _took(journal.results)
        whole = True
    finally:
        makers.close(at_once=not whole)
    (out / ANSWERS).write_text(plan_json({", ".join(key): value for key, value in outcomes.items()}))
    (out / BATCHES).write_text(json.dumps(rows, indent=2) + "\n")
    questions = len(first) + len(COSTS) * len(LATER)
    text = tables(scale, outcomes, rows, made(scale, took, outcomes, questions))
    write_paper_report(out, scale, text, outcomes, asking.tried)
    if page is not None:
        write_page(page, scale, text)
    return took


@frozen
class _Asking:
    """Puts questions to the planner, or to the journal alone."""

    runner: Runner
    finished: bool
    shown: bool
    tried: dict[tuple[str, str, str, str], list[Pictured]] = field(factory=dict)  # what there is to draw of an answer

    def answers(self, questions: Sequence[Question]) -> dict[tuple[str, str, str, str], Any]:
        """By what was asked; a question whose runs are not all there has no answer where none may be made."""
        asked: list[tuple[Question, list[Searching]]] = [
            (one, searches(one.plan, {}, rank)) for rank, one in enumerate(questions)
        ]
        under_way = [search for _, found in asked for search in found]
        if self.finished:
            self.runner.replay(under_way)
        else:
            with PlanProgress(under_way, shown=self.shown) as progress:
                self.runner.run(under_way, progress)
        answers = {}
        for one, found in asked:
            if all(search.over for search in found):
                key = (one.costs, one.model, one.workload, one.asked)
                answers[key], self.tried[key] = outcome(one.plan, found), tried(found)
        return answers

    def batch(self, scale: Scale, first: list[Question]) -> list[dict[str, Any]]:
        """The rows of the batch job."""
        found = batches(scale, self.runner, first)
        if not self.finished:
            with PlanProgress([], shown=self.shown) as progress:
                _make(self.runner, [batch.job for batch in found], progress)
        return batch_rows(found, self.runner.journal.results)


def _make(runner: Runner, jobs: Sequence[Any], told: Callable[[], None]) -> None:
    runner.making.want(jobs)
    while runner.making.step() is not None:
        told()


def _took(results: Mapping[str, Mapping[str, Any]]) -> Reproduced:
    cpu_s = sum(result["summary"].get("cpu_s", 0.0) for result in results.values() if "summary" in result)
    return Reproduced(len(results), cpu_s)


def made(scale: Scale, took: Reproduced, outcomes: Collection[tuple[str, str, str, str]], questions: int) -> str:
    """By what these tables were made, on what and when, and what is still to come."""
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    when = datetime.now(UTC).strftime("%d %B %Y")
    goal = "provisioning-quick" if scale is QUICK else "provisioning"
    said = (
        f"Made by `make {goal}`: {count(took.runs)} runs, {span(took.cpu_s)} of CPU without the batch jobs "
        f"({machine}, {when}, emu {program_version()})."
    )
    if len(outcomes) < questions:
        said += f" **Only {len(outcomes)} of {questions} questions are answered so far**, these:\n\n"
        said += "\n".join(f"- {line}" for line in _listed(outcomes))
    return f"{QUICK_MEANS}\n\n{said}" if scale is QUICK else said


def _listed(outcomes: Collection[tuple[str, str, str, str]]) -> list[str]:
    """A line for each model, workload and set of costs."""
    found: dict[str, list[str]] = {}
    for costs, model, workload, asked in outcomes:
        found.setdefault(f"{model}, {workload}, {costs} costs", []).append(asked)
    return [f"{name}: {'; '.join(asked)}" for name, asked in found.items()]
