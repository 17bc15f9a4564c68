"""`emu provisioning`: the command that answers the paper's questions about clusters again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

HELD, RUN_FAILED = 0, 3


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Keep every run and all answers here; the same command goes on from what is there.",
)
@click.option("--write", "page", type=click.Path(path_type=Path), metavar="PAGE", help="Put the tables into this page.")
@click.option("--quick", is_flag=True, help="At a quarter of the size, in minutes instead of hours.")
@click.option("--finished", is_flag=True, help="Make no run: only what those that are there already answer.")
@click.option("--jobs", type=click.IntRange(1, 4096), help="Runs at a time; by default one a CPU.")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", help="Who makes the runs.")
@click.option("--address", metavar="ADDRESS", help="The Ray cluster to join, or auto; none: one of this machine alone.")
def provisioning(
    out: Path, page: Path | None, quick: bool, finished: bool, jobs: int | None, engine: str, address: str | None
) -> int:
    """Answer the Splitwise paper's provisioning questions again, by the search of `emu plan`."""
    if address is not None and engine != "ray":
        raise click.UsageError("--address: expected --engine ray beside it")
    from emu.plan.answer import Workers
    from emu.plan.planner import TrialFailed
    from emu.plan.reproduce import reproduce

    workers = Workers(jobs or os.cpu_count() or 1, engine, address)
    try:
        took = reproduce(out, page, workers, quick=quick, finished=finished, shown=sys.stderr.isatty())
    except TrialFailed as failed:
        click.echo(f"emu: a run failed twice: {failed}", err=True)
        return RUN_FAILED
    click.echo(f"{took.runs} runs, {took.cpu_s:.0f} s of CPU; answers in {out}, to look at in {out}/report.html")
    return HELD
