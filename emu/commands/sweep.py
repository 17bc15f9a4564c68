"""`emu sweep`: the command. It reads its options, has the runs made, and says what came of them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from emu.sweep.sweep import Swept

HELD, LAW_BROKEN, RUN_FAILED, INTERRUPTED = 0, 1, 3, 130

_STATUSES = """\b
Status:
  0    every run of the grid is there, and every law held
  1    a law was broken in some run: column laws.broken
  2    the input was refused: one line on stderr says why, and no run was made
  3    a run failed twice: its row says why
  130  interrupted: what was finished is kept, and the same command makes the rest
"""


@click.command(epilog=_STATUSES)
@click.argument("scenario", type=click.Path(path_type=Path))
@click.option(
    "--vary",
    "varied",
    multiple=True,
    metavar="KEY=VALUES",
    help="A key of the scenario and its values: KEY=A,B,C or KEY=LO:HI:STEP. Repeated, every combination is run.",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one key in every run.")
@click.option("--seeds", type=click.IntRange(1, 10_000), default=1, help="Run each point under so many seeds.")
@click.option("--jobs", type=click.IntRange(1, 4096), help="Runs at a time; by default one a CPU.")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", help="Who makes the runs.")
@click.option("--address", metavar="ADDRESS", help="The Ray cluster to join, or auto; none: one of this machine alone.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep runs.csv, runs.parquet and making.csv here. What is there already is not made again.",
)
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def sweep(
    scenario: Path,
    varied: tuple[str, ...],
    overrides: tuple[str, ...],
    seeds: int,
    jobs: int | None,
    engine: str,
    address: str | None,
    out: Path | None,
    quiet: bool,
) -> int:
    """Run SCENARIO.toml once for every combination of values and seeds, and make one table of it."""
    if address is not None and engine != "ray":
        raise click.UsageError("--address: expected --engine ray beside it")
    from emu.sweep.sweep import Order, swept

    order = Order(scenario, varied, overrides, seeds, jobs or os.cpu_count() or 1, engine, address, out)
    shown = not quiet and sys.stderr.isatty()
    found = swept(order, shown=shown)
    if not quiet:
        _say(found, out)
    if found.interrupted:
        click.echo(f"emu: interrupted with {found.missing} runs missing", err=True)
        return INTERRUPTED
    if found.failed:
        click.echo(f"emu: {found.failed} of {found.total} runs failed: see column failure", err=True)
        return RUN_FAILED
    return LAW_BROKEN if found.broken else HELD


def _say(found: Swept, out: Path | None) -> None:
    from emu.screen.sweep import MOST_ROWS, sweep_table
    from emu.screen.wide import table_console

    console = table_console()
    console.print(sweep_table(found.rows, found.varied))
    if len(found.rows) > MOST_ROWS:
        console.print(f"and {len(found.rows) - MOST_ROWS} more")
    kept = "" if out is None else f"; {out}/runs.csv and runs.parquet hold every figure"
    console.print(f"{found.made} runs made, {found.there} there from before{kept}")
