"""A summary as text that a terminal or a pipe can take: fits 100 columns, readable without colour, plain ASCII."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from emu.screen.report import report

COLUMNS = 100


def text(summary: Mapping[str, Any], *, colour: bool) -> str:
    """The report, line by line; `colour` asks for what the terminal in TERM understands."""
    page = io.StringIO()
    console = Console(
        file=page,
        width=COLUMNS,
        force_terminal=colour,
        no_color=not colour,
        markup=False,
        highlight=False,
        emoji=False,
    )
    for part in report(summary):
        console.print(part)
    return "".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines())
