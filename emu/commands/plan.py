"""`emu plan`: the command. It reads its options, has the plan answered, and says what came of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

HELD, LAW_BROKEN, RUN_FAILED, INTERRUPTED = 0, 1, 3, 130

_STATUSES = """\b
Status:
  0    answered, and every law held in every run
  1    answered, but a law was broken in some run
  2    the plan was refused, or no design meets its SLOs: one line on stderr says why, or what comes nearest
  3    a run failed twice
  130  interrupted: with --out, finished runs are kept, and the same command goes on from there
"""


@click.command(epilog=_STATUSES)
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep plan.json, report.html and its plots here. Runs that are there already are not made again.",
)
@click.option("--jobs", type=click.IntRange(1, 4096), help="Runs at a time; by default one a CPU.")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", help="Who makes the runs.")
@click.option("--address", metavar="ADDRESS", help="The Ray cluster to join, or auto; none: one of this machine alone.")
@click.option("--exhaustive", is_flag=True, help="Run every point of the grid too, and say what the search missed.")
@click.option("--json", "as_json", is_flag=True, help="Print plan.json, and nothing else.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def plan(
    plan_file: Path,
    out: Path | None,
    jobs: int | None,
    engine: str,
    address: str | None,
    exhaustive: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Find the best clusters for PLAN.toml: most throughput, least cost or least power within all SLOs."""
    if address is not None and engine != "ray":
        raise click.UsageError("--address: expected --engine ray beside it")
    from emu.plan.answer import Workers, answer_plan
    from emu.plan.planner import TrialFailed

    workers = Workers(jobs or os.cpu_count() or 1, engine, address)
    shown = not (quiet or as_json) and sys.stderr.isatty()
    try:
        answered = answer_plan(plan_file, out, workers, shown=shown, exhaustive=exhaustive)
    except TrialFailed as failed:
        click.echo(f"emu: a run failed twice: {failed}", err=True)
        return RUN_FAILED
    if as_json:
        from emu.plan.report import plan_json

        click.echo(plan_json(answered.outcome), nl=False)
    elif not quiet:
        _say(answered.outcome, out)
    broken = sorted({law for design in answered.outcome["designs"] for law in design["laws_broken"]})
    if broken:
        click.echo(f"emu: laws were broken: {', '.join(broken)}", err=True)
        return LAW_BROKEN
    return HELD


def _say(outcome: dict[str, Any], out: Path | None) -> None:
    from emu.screen.plan import plan_table
    from emu.screen.wide import table_console

    console = table_console()
    console.print(plan_table(outcome))
    for one in outcome.get("exhaustive", ()):
        regret = "-" if one["regret"] is None else f"{one['regret']:.1%}"
        found = "none" if one["value"] is None else f"{one['value']:g} {outcome['unit']} by {one['counts']}"
        said = f"every point: {one['design']}: {found}; regret {regret}; {one['runs']} of {one['all_runs']} runs"
        console.print(said)
    if out is not None:
        console.print(f"{out}/report.html")
