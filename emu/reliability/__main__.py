"""`python -m emu.reliability`: count the table, draw the plans, run the clusters, and write docs/reliability.md."""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

from attrs import evolve

from emu.reliability.cells import Cell, table
from emu.reliability.matrix import Matrix, fill
from emu.reliability.page import page
from emu.reliability.plans import Tally, drawn
from emu.reliability.rolling import Curve, crash_of_a_tenth, measured, rolling_restart, shipped, surge
from emu.reliability.trial import Trials
from emu.scenario.draw import KINDS


def overloads() -> list[Curve]:
    """Two and two machines at their peak, at twice that, and after a surge of three times that."""
    small = shipped("overload.toml")
    at = "of 24 requests a second, where the goodput of overload.toml's machines peaks"
    peak, twice = (
        measured(f"{what} {at}", evolve(small, workload=evolve(small.workload, rate_rps=rate)))
        for what, rate in (("At the rate", 24.0), ("At twice the rate", 48.0))
    )
    storm = surge(small, 16.0, 72.0, 60.0, 90.0, 180.0)
    three = measured("Thirty seconds at three times that rate, then 16 again; clients retry", storm, (60, 90))
    return [peak, twice, three]


def counted(direction: str, processes: int) -> dict[tuple[str, str], Cell]:
    """The table of one direction, a process a kind."""
    cells: dict[tuple[str, str], Cell] = {}
    with ProcessPoolExecutor(processes) as pool:
        for found in pool.map(_of_kind, repeat(direction), KINDS):
            cells |= found
            sys.stderr.write(f"\rtable: {len({kind for kind, _ in cells})} kinds")
    return cells


def _of_kind(direction: str, kind: str) -> dict[tuple[str, str], Cell]:
    return table(Trials(), direction, (kind,), aimed_at=3)


def filled(worlds: int, processes: int) -> Matrix:
    """The matrix of moves, from so many worlds."""
    matrix = Matrix()
    with ProcessPoolExecutor(processes) as pool:
        for part in pool.map(fill, [range(first, worlds, processes) for first in range(processes)]):
            matrix.add(part)
    return matrix


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m emu.reliability", description=__doc__)
    parser.add_argument("--plans", type=int, default=10_000, help="how many plans are drawn")
    parser.add_argument("--worlds", type=int, default=600, help="that the moves' faults are aimed in")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=120.0, help="of arrivals in each whole cluster")
    parser.add_argument("--out", type=Path, default=Path("docs/reliability.md"))
    arguments = parser.parse_args()

    def tell(tally: Tally) -> None:
        sys.stderr.write(f"\r{tally.plans} plans, {len(tally.bad)} broke something")

    tables = {direction: counted(direction, arguments.processes) for direction in ("put", "get")}
    matrix = filled(arguments.worlds, arguments.processes)
    tally = drawn(0, arguments.plans, arguments.processes, tell)
    whole = shipped("splitwise_hh.toml")
    whole = evolve(whole, workload=evolve(whole.workload, duration_s=arguments.seconds))
    curves = [
        measured("A tenth of the machines crash at once (splitwise_hh, 70 RPS)", crash_of_a_tenth(whole, 40.0)),
        measured("A rolling restart of all machines (splitwise_hh, 70 RPS)", rolling_restart(whole, 30.0, 1.5)),
    ]
    curves += overloads()
    asked = f"--plans {arguments.plans} --worlds {arguments.worlds} --seconds {arguments.seconds:g}"
    command = f"python -m emu.reliability {asked}"
    arguments.out.write_text(page(tables, KINDS, matrix, tally, curves, command))
    bad = any(cell.bad for cells in tables.values() for cell in cells.values())
    return int(bad or bool(matrix.broken or tally.bad) or any(curve.broken for curve in curves))


if __name__ == "__main__":
    sys.exit(main())
