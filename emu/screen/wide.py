"""A console for tables, wide enough that no figure is cut: a narrow terminal folds lines."""

from __future__ import annotations

from typing import IO, Final

from rich.console import Console

LEAST_COLUMNS: Final = 160


def table_console(file: IO[str] | None = None) -> Console:
    """On standard output, or `file`. rich takes a pipe for a terminal of 80 columns."""
    console = Console(file=file, highlight=False, markup=False)
    console.width = max(console.width, LEAST_COLUMNS)
    return console
