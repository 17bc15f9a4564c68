"""One plan from end to end: searches, pictures, outcome and, if asked for, a folder with the report.

An interrupt keeps every finished run: the same command goes on from there. Nothing here prints but the progress.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from emu.plan.load import load_plan
from emu.plan.outcome import best_of, outcome
from emu.plan.pictures import Pictured, pictured
from emu.plan.planner import Runner, Searching, searches, traces_of
from emu.plan.progress import PlanProgress
from emu.plan.schema import Plan
from emu.plan.trials import run_trial
from emu.refusal import Refusal
from emu.screen.plan import cluster, missed
from emu.sweep.engines import engine
from emu.sweep.journal import JOURNAL, Journal, check_folder
from emu.sweep.making import Making

KINDS = (".svg", ".png", ".json", ".html", ".partial")


@frozen
class Workers:
    """Who makes the runs."""

    jobs: int = 1
    engine: str = "local"
    address: str | None = None


@frozen
class Answered:
    """What came of a plan; `exhaustive` compares it with every point there is, if that was asked."""

    outcome: dict[str, Any]
    searched: Sequence[Searching]


def answer_plan(path: Path, out: Path | None, workers: Workers, *, shown: bool, exhaustive: bool = False) -> Answered:
    """Refusal: a bad plan, before anything is run; or no design meets the SLOs, with the nearest miss.

    TrialFailed: a run failed twice.
    """
    plan = load_plan(path)
    traces = traces_of([plan])
    searched = searches(plan, traces)
    if out is not None:
        _check(out)
    makers = engine(workers.engine, run_trial, traces, workers.jobs, workers.address)
    whole = False
    try:
        with Journal(out) as journal, PlanProgress(searched, shown=shown) as progress:
            runner = Runner(Making(makers, journal), journal)
            runner.run(searched, progress)
            found = outcome(plan, searched)
            refuse_if_none(plan, found)
            if exhaustive:
                from emu.plan.exhaustive import compared

                found["exhaustive"] = compared(runner, plan, searched, progress)
            if out is not None:
                write(out, found, pictured(runner, searched, progress))
        whole = True
    finally:
        makers.close(at_once=not whole)
    return Answered(found, searched)


def write(out: Path, found: dict[str, Any], pictures: list[Pictured]) -> None:
    """The report and its plots. Refusal: the folder cannot be written."""
    from emu.plan.plots import plots
    from emu.plan.report import write_report

    try:
        write_report(out, found, plots(found, pictures))
    except OSError as error:
        raise Refusal(f"--out {out}", f"expected a place to write to; {error.strerror}") from None


def refuse_if_none(plan: Plan, found: dict[str, Any]) -> None:
    """Nothing meets the SLOs: say what comes nearest."""
    if best_of(plan.objective, found["designs"]) is None:
        misses = [design for design in found["designs"] if design["nearest_miss"]["ratio"] is not None]
        nearest = min(misses or found["designs"], key=lambda design: design["nearest_miss"]["ratio"] or float("inf"))
        said = f"{nearest['name']} with {cluster(nearest)}, {missed(nearest)}"
        raise Refusal(str(plan.path), f"expected SLOs that some design can meet; the nearest miss: {said}")


def _check(out: Path) -> None:
    """A folder of plots and a journal is ours, whatever designs they are named for."""
    there = {path.name for path in out.iterdir()} if out.is_dir() else set()
    check_folder(out, frozenset({JOURNAL, *(name for name in there if name.endswith(KINDS) and JOURNAL in there)}))
