"""The table of a sweep: a row a run in the order of the grid, as CSV and as Parquet, and beside it what making it cost.

Both files are written whole or not at all. The same runs give the same bytes of runs.csv and the same Parquet table.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emu.sweep.axes import Axis
from emu.sweep.grid import GridRun
from emu.sweep.journal import JOURNAL
from emu.sweep.rows import Cell, cells, columns, making

RUNS_CSV, RUNS_PARQUET, MAKING_CSV = "runs.csv", "runs.parquet", "making.csv"
FILES = frozenset(
    {JOURNAL, *(name + part for name in (RUNS_CSV, RUNS_PARQUET, MAKING_CSV) for part in ("", ".partial"))}
)
MADE, FAILED = "made", "failed"


def rows(
    runs: Sequence[GridRun], axes: Sequence[Axis], results: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Cell]]:
    """One a run that is over: its number in the grid, what was varied, how it ended, then its summary's figures."""
    found = []
    for number, run in enumerate(runs):
        result = results.get(run.job.key)
        if result is None:
            continue
        row: dict[str, Cell] = {"run": number}
        row |= {axis.key: _cell(value) for axis, value in zip(axes, run.values, strict=True)}
        row |= {"seed": run.seed, "key": run.job.key}
        row |= {"status": FAILED if "failure" in result else MADE, "failure": result.get("failure", "")}
        figures = cells(result["summary"]) if "summary" in result else {}
        found.append(row | {name: value for name, value in figures.items() if name not in row})
    return found


def costs(runs: Sequence[GridRun], results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Cell]]:
    """What each run that is there cost to make."""
    return [
        {"run": number, "key": run.job.key, **making(results[run.job.key]["summary"])}
        for number, run in enumerate(runs)
        if "summary" in results.get(run.job.key, ())
    ]


def write(folder: Path, found: Sequence[Mapping[str, Cell]], cost: Sequence[Mapping[str, Cell]]) -> None:
    """OSError: the folder cannot be written."""
    _replace(folder / RUNS_CSV, as_csv(found).encode())
    _replace(folder / RUNS_PARQUET, as_parquet(found))
    _replace(folder / MAKING_CSV, as_csv(cost).encode())


def as_csv(found: Sequence[Mapping[str, Cell]]) -> str:
    """Nothing where a run has no such figure; true and false in small letters."""
    page = io.StringIO()
    names = columns(found)
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow(names)
    for row in found:
        writer.writerow([_written(row.get(name)) for name in names])
    return page.getvalue()


def as_parquet(found: Sequence[Mapping[str, Cell]]) -> bytes:
    """Types follow the values: a column of whole and other numbers has floats, one of mixed kinds has text."""
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({name: _column([row.get(name) for row in found]) for name in columns(found)})
    page = io.BytesIO()
    parquet.write_table(table, page)
    return page.getvalue()


def _column(values: list[Cell]) -> list[Cell]:
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2:
        return values
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    return [None if value is None else str(_written(value)) for value in values]


def _cell(value: str) -> Cell:
    """A varied value as a number where it is one, so that tables can be sorted by it."""
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _written(value: Cell) -> Cell:
    return str(value).lower() if isinstance(value, bool) else value


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, path)
