"""How the validation writes numbers and tables, in Markdown. Only text comes out of here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column left, the others right."""
    rule = ["---", *("---:" for _ in headings[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (headings, rule, *rows))


def apart(share: float, digits: int = 1) -> str:
    """By how much something is more or less, in per cent; "the same" where no digit shows it."""
    written = f"{100 * share:+.{digits}f} %"
    return "0 %" if float(written[:-2]) == 0 else written


def ms(seconds: float) -> str:
    """Milliseconds with three significant digits, more where they are whole."""
    value = 1000 * seconds
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def percent(share: float) -> str:
    """A share; what is not all never looks as if it were."""
    written = f"{100 * share:.1f} %"
    return "> 99.9 %" if written == "100.0 %" and share < 1 else written
