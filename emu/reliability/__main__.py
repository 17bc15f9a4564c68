"""`python -m emu.reliability`: count the table, aim at the moves, draw the plans, run the clusters, write the page.

What is made is kept as it comes: stopped, the same command goes on. A program that has changed takes nothing over; it
only writes the page of what another has made, if it is asked to.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from emu.refusal import Refusal
from emu.reliability.page import page
from emu.reliability.parts import BUILT_FOR, PLANS, Size, curves, made, matrix, names, others, tables, tally
from emu.sweep.journal import Journal
from emu.sweep.version import program_version


def make(size: Size, journal: Journal, jobs: int, until_s: float, only: str = "") -> bool:
    """Make all pieces that are not kept yet, `jobs` at a time; false where any is still missing at the end."""
    with ProcessPoolExecutor(jobs) as pool:
        for stage in names(size):
            missing = iter([name for name in stage if name not in journal.results and name.startswith(only)])
            full = matrix(journal.results).done()
            running: dict[Future[dict[str, Any]], str] = {}
            try:
                while _start(pool, missing, running, size, full, jobs if time.monotonic() < until_s else 0) or running:
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        name = running.pop(future)
                        journal.add(name, future.result())
                        sys.stderr.write(f"\r{len(journal.results)} pieces; {name}          ")
            except KeyboardInterrupt:
                pool.shutdown(cancel_futures=True)
                raise
            if any(name not in journal.results for name in stage) and not only:
                return False
    return all(name in journal.results for stage in names(size) for name in stage)


def _start(
    pool: ProcessPoolExecutor,
    missing: Iterator[str],
    running: dict[Future[dict[str, Any]], str],
    size: Size,
    full: frozenset[Any],
    jobs: int,
) -> bool:
    """Keep `jobs` pieces under way; whether any was begun."""
    began = False
    while len(running) < jobs and (name := next(missing, None)) is not None:
        running[pool.submit(made, name, size, full)] = name
        began = True
    return began


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m emu.reliability", description=__doc__)
    parser.add_argument("--plans", type=int, default=10_000, help="how many plans are drawn")
    parser.add_argument("--worlds", type=int, default=400, help="that the moves' faults are aimed in")
    parser.add_argument("--seconds", type=float, default=120.0, help="of arrivals in each whole cluster")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="pieces that are made at once")
    parser.add_argument("--minutes", type=float, help="after which the page is made of what there is; 0: at once")
    parser.add_argument(
        "--only", choices=(BUILT_FOR, PLANS), default="", help="these pieces, whoever has made the others"
    )
    parser.add_argument("--keep", type=Path, help="where pieces are kept [results/reliability/PROGRAM]")
    parser.add_argument("--out", type=Path, default=Path("docs/reliability.md"))
    arguments = parser.parse_args()
    size = Size(arguments.plans, arguments.worlds, arguments.seconds)
    program = program_version()
    keep = arguments.keep or Path("results/reliability") / program
    until_s = float("inf") if arguments.minutes is None else time.monotonic() + 60 * arguments.minutes
    try:
        with Journal(keep) as journal:
            made_by = journal.results.get("program", {}).get("program")
            if made_by is None:
                journal.add("program", {"program": program})
            elif made_by != program and arguments.minutes != 0 and not arguments.only:
                raise Refusal(f"--keep {keep}", f"expected pieces of this program, {program}, or --minutes 0")
            complete = make(size, journal, arguments.jobs, until_s, arguments.only)
            kept = journal.results
    except Refusal as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; the same command goes on from here\n")
        return 130
    cells, moves, plans, runs = tables(kept), matrix(kept), tally(kept), curves(kept)
    arguments.out.write_text(
        page(
            cells,
            moves,
            plans,
            runs,
            size,
            kept["program"]["program"],
            complete=complete,
            built=others(kept, BUILT_FOR),
            drew=others(kept, PLANS),
        )
    )
    bad = any(cell.bad for found in cells.values() for cell in found.values())
    return int(bad or bool(moves.broken or plans.bad) or any(curve.broken for curve in runs))


if __name__ == "__main__":
    sys.exit(main())
