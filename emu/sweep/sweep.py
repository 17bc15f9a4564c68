"""One sweep from end to end: the grid, the runs that are missing, the table. Nothing here prints but the bar.

An interrupt ends the making, never the keeping: whatever is finished is in the journal and in the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from emu.refusal import Refusal
from emu.screen.bar import RunsBar
from emu.sweep import table
from emu.sweep.axes import parse_axes
from emu.sweep.engines import engine
from emu.sweep.grid import GridRun, grid
from emu.sweep.jobs import whole_traces
from emu.sweep.journal import Journal, check_folder
from emu.sweep.making import Making, whole_run
from emu.sweep.rows import Cell


@frozen
class Order:
    """What a sweep is asked to do, as its command line says it."""

    scenario: Path
    varied: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    seeds: int = 1
    jobs: int = 1
    engine: str = "local"
    address: str | None = None
    out: Path | None = None


@frozen
class Swept:
    """What came of it."""

    rows: list[dict[str, Cell]]
    varied: tuple[str, ...]
    total: int
    made: int
    there: int
    interrupted: bool

    @property
    def missing(self) -> int:
        return self.total - len(self.rows)

    @property
    def failed(self) -> int:
        return sum(1 for row in self.rows if row["status"] == table.FAILED)

    @property
    def broken(self) -> int:
        """Runs in which a law was broken."""
        return sum(1 for row in self.rows if row.get("laws.broken"))


def swept(order: Order, *, shown: bool = False) -> Swept:
    """Make what is missing and write the table. Refusal: bad input, before any run is made or anything is written."""
    axes = parse_axes(order.varied)
    runs = grid(order.scenario, axes, order.overrides, order.seeds)
    traces = whole_traces(run.job.scenario for run in runs)
    if order.out is not None:
        check_folder(order.out, table.FILES)
    makers = engine(order.engine, whole_run, traces, order.jobs, order.address)
    with Journal(order.out) as journal:
        wanted = {run.job.key for run in runs}
        there = len(wanted & journal.results.keys())
        with RunsBar(len(wanted), there, shown=shown) as bar:
            making = Making(makers, journal, lambda _: bar.ended())
            interrupted = _make(making, runs)
        makers.close(at_once=interrupted)
        found = table.rows(runs, axes, journal.results)
        if order.out is not None:
            _write(order.out, found, table.costs(runs, journal.results))
        made = len(wanted & journal.results.keys()) - there
    return Swept(found, tuple(axis.key for axis in axes), len(runs), made, there, interrupted)


def _make(making: Making, runs: Sequence[GridRun]) -> bool:
    """Whether it was interrupted."""
    making.want(run.job for run in runs)
    try:
        while making.step() is not None:
            pass
    except KeyboardInterrupt:
        return True
    return False


def _write(out: Path, found: list[dict[str, Cell]], cost: list[dict[str, Cell]]) -> None:
    try:
        table.write(out, found, cost)
    except OSError as error:
        raise Refusal(f"--out {out}", f"expected a place to write to; {error.strerror}") from None
