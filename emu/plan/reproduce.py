"""The paper's provisioning from end to end: its questions, their answers by the planner's own search, and one page.

Every finished run is in the journal of the folder: stopped at any moment, the same command goes on from there.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from emu.plan.answer import Workers
from emu.plan.outcome import outcome
from emu.plan.paper import FULL, QUICK, Question, first_questions, later_questions
from emu.plan.paper_batch import batch_rows, batches
from emu.plan.paper_page import tables, write_page
from emu.plan.planner import Runner, Searching, searches
from emu.plan.progress import PlanProgress
from emu.plan.report import plan_json
from emu.plan.trials import run_trial
from emu.screen.quantities import count, span
from emu.sweep.engines import engine
from emu.sweep.journal import JOURNAL, Journal, check_folder
from emu.sweep.making import Making
from emu.sweep.version import program_version

ANSWERS, BATCHES = "answers.json", "batch.json"
FILES = frozenset({JOURNAL, ANSWERS, BATCHES})


@frozen
class Reproduced:
    """How much it took: runs, and the CPU time of those that tell it."""

    runs: int
    cpu_s: float


def reproduce(out: Path, page: Path | None, workers: Workers, *, quick: bool, shown: bool) -> Reproduced:
    """Answer everything; write the answers to `out` and the tables into `page`. Refusal: a place cannot be written."""
    check_folder(out, FILES)
    scale = QUICK if quick else FULL
    makers = engine(workers.engine, run_trial, {}, workers.jobs, workers.address)
    whole = False
    try:
        with Journal(out) as journal:
            runner = Runner(Making(makers, journal), journal)
            first = first_questions(scale)
            outcomes = _answers(runner, first, shown=shown)
            outcomes |= _answers(runner, later_questions(scale, outcomes), shown=shown)
            found = batches(scale, runner, first)
            with PlanProgress([], shown=shown) as progress:
                _make(runner, [batch.job for batch in found], progress)
            rows = batch_rows(found, journal.results)
            took = _took(journal.results)
        whole = True
    finally:
        makers.close(at_once=not whole)
    (out / ANSWERS).write_text(plan_json({", ".join(key): value for key, value in outcomes.items()}))
    (out / BATCHES).write_text(json.dumps(rows, indent=2) + "\n")
    if page is not None:
        write_page(page, tables(scale, outcomes, rows, _made(quick, took)))
    return took


def _answers(runner: Runner, questions: Sequence[Question], *, shown: bool) -> dict[tuple[str, str, str, str], Any]:
    asked: list[tuple[Question, list[Searching]]] = [(one, searches(one.plan, {})) for one in questions]
    under_way = [search for _, found in asked for search in found]
    with PlanProgress(under_way, shown=shown) as progress:
        runner.run(under_way, progress)
    return {(one.costs, one.model, one.workload, one.asked): outcome(one.plan, found) for one, found in asked}


def _make(runner: Runner, jobs: Sequence[Any], told: Callable[[], None]) -> None:
    runner.making.want(jobs)
    while runner.making.step() is not None:
        told()


def _took(results: Mapping[str, Mapping[str, Any]]) -> Reproduced:
    cpu_s = sum(result["summary"].get("cpu_s", 0.0) for result in results.values() if "summary" in result)
    return Reproduced(len(results), cpu_s)


def _made(quick: bool, took: Reproduced) -> str:
    """By what these tables were made, on what, and when."""
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    when = datetime.now(UTC).strftime("%d %B %Y")
    said = f"{count(took.runs)} runs, {span(took.cpu_s)} of CPU ({machine}, {when}, emu {program_version()})."
    if not quick:
        return f"Made by `make provisioning`: {said}"
    warning = (
        "**These are the quick tables**, at a quarter of the paper's size (10 DGX-H100 instead of 40, 17.5 requests/s "
        "instead of 70), with one seed of 20 s: a machine more or less is up to 10 % of a cluster, a percentile "
        "rests on a few hundred requests, and there are no intervals. `make provisioning` makes the full ones."
    )
    return f"{warning}\n\nMade by `make provisioning-quick`: {said}"
