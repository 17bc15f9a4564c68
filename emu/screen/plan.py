"""A plan on a terminal: its answer as a table, and its progress while it is sought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from emu.screen.quantities import digits, power


def plan_table(outcome: Mapping[str, Any]) -> Table:
    """A line a design; the best one is bold."""
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="bold")
    for name in ("design", "machines"):
        table.add_column(name, no_wrap=True)
    for name in ("req/s", "$/h", "power", "machines", f"{outcome['unit']}, interval", "holds again", "runs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("decided by", no_wrap=True)
    for design in outcome["designs"]:
        style = "bold" if design["name"] == outcome["best"] else ""
        if design["value"] is None:
            table.add_row(design["name"], cluster(design), "none", *[""] * 4, "", str(design["runs"]), missed(design))
            continue
        deciding = design["deciding"]
        table.add_row(
            Text(design["name"], style=style),
            cluster(design),
            digits(design["rate_rps"]),
            digits(design["cost_per_hour"]),
            power(design["power_w"]),
            str(design["machine_count"]),
            interval(design),
            f"{design['chance']:.0%}" if design["interval"] else "-",
            str(design["runs"]),
            f"{deciding} at {design['limits'][deciding][0]:.2f} of its limit",
        )
    return table


def cluster(design: Mapping[str, Any]) -> str:
    """25 prefill + 15 decode"""
    return " + ".join(f"{group['count']} {group['pool']}" for group in design["machines"])


def interval(design: Mapping[str, Any], scale: float = 1.0) -> str:
    """What other seeds might say, in 1 / `scale` of the plan's unit; one seed knows nothing of others."""
    if design["interval"] is None:
        return "-"
    low, high = design["interval"]
    return f"{digits(low / scale)} to {digits(high / scale)}"


def missed(design: Mapping[str, Any]) -> str:
    """What stands between a design and its SLOs."""
    miss = design["nearest_miss"]
    by = "without end" if miss["ratio"] is None else f"{miss['ratio']:.2f} times its limit"
    return f"at {digits(design['rate_rps'])} req/s {miss['limit']} is {by}"


def progress_table(lines: Sequence[tuple[str, str, str, int, str]], left: str) -> Table:
    """Design, bounds so far, the candidate under way, runs, state; and the time left."""
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="bold")
    for name in ("design", "bounds", "looking at", "runs", left):
        table.add_column(name, no_wrap=True)
    for design, bounds, candidate, runs, state in lines:
        table.add_row(design, bounds, candidate, str(runs), state)
    return table
