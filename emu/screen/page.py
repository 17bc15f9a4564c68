"""A summary as text that a terminal or a pipe can take: fits 100 columns, readable without colour, plain ASCII."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emu.screen.lines import written
from emu.screen.report import report


def text(summary: Mapping[str, Any], *, colour: bool) -> str:
    """The report, line by line; `colour` asks for what the terminal in TERM understands."""
    return written(report(summary), colour=colour)
