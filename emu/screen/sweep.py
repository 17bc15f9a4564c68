"""What a sweep came to, on a terminal: a line a run with what was varied and the figures most asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from emu.screen.quantities import digits, seconds

MOST_ROWS = 40
FIGURES = (
    ("ttft p99", "ttft_s.p99", seconds),
    ("tbt p99", "tbt_s.p99", seconds),
    ("e2e p99", "e2e_s.p99", seconds),
    ("req/s", "throughput.requests_per_s", digits),
    ("good/s", "goodput_rps", digits),
    ("$/h", "cost_per_hour", digits),
)


def sweep_table(rows: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> Table:
    """The first rows of a sweep; a run that failed says why."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("run", *varied, "seed", "SLO", *(name for name, _, _ in FIGURES)):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows[:MOST_ROWS]:
        said = [str(row[name]) for name in ("run", *varied, "seed")]
        if row["failure"]:
            table.add_row(*said, Text("failed", style="bold red"), Text(str(row["failure"])))
            continue
        passed = row.get("slo.passed")
        verdict = Text("pass" if passed else "FAIL", style="green" if passed else "bold red")
        table.add_row(*said, verdict, *(shown(row.get(name)) for _, name, shown in FIGURES))
    return table
