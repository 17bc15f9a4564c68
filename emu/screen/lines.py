"""Lines of styled words: all that a report is made of, so that drawing one needs no library of terminals.

A line fits `COLUMNS`; what is longer goes on below itself. What the words say, and how numbers are written, is decided
elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

COLUMNS: Final = 100
LABEL_WIDTH: Final = 15
GAP: Final = "   "
_CODES: Final = {"bold": "1", "dim": "2", "green": "32", "bold red": "1;31"}
_COLOURLESS: Final = ("", "dumb", "unknown")


class Said(NamedTuple):
    """Some words in one style: "bold", "dim", "green", "bold red", or "" for none."""

    words: str
    style: str = ""


Line: TypeAlias = tuple[Said, ...]
BLANK: Final[Line] = ()


def written(lines: Iterable[Line], *, colour: bool) -> str:
    """The lines as text; `colour` asks for what the terminal in TERM understands."""
    coloured = colour and os.environ.get("TERM", "") not in _COLOURLESS
    return "".join(f"{_line(line, coloured).rstrip()}\n" for line in lines)


def labelled(facts: Iterable[tuple[str, str | Said]]) -> Iterator[Line]:
    """Labels in a column of their own, and what is said of each beside it."""
    for label, said in facts:
        words, style = said if isinstance(said, Said) else Said(said)
        beside = Said(label.ljust(LABEL_WIDTH), "dim")
        for part in folded(words, COLUMNS - LABEL_WIDTH):
            yield (beside, Said(part, style))
            beside = Said(" " * LABEL_WIDTH)


def table(head: Sequence[str], rows: Iterable[Sequence[str | Said]]) -> Iterator[Line]:
    """No lines: the columns' alignment is enough. Columns without a heading, and the first, are set to the left."""
    cells = [[Said(words, "bold") for words in head]]
    cells += [[cell if isinstance(cell, Said) else Said(cell) for cell in row] for row in rows]
    widths = [max(width_of(row[column].words) for row in cells) for column in range(len(head))]
    widths[0] = max(widths[0], 11)
    for row in cells:
        yield tuple(
            Said(_set(cell.words, width, left=column == 0 or not head[column]) + GAP, cell.style)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )


def folded(words: str, columns: int) -> Iterator[str]:
    """`words` in lines of at most so many columns, cut at blanks, and inside a word only where one fills a line."""
    if width_of(words) <= columns:
        yield words
        return
    line = ""
    for word in words.split(" "):
        longer = f"{line} {word}" if line else word
        if width_of(longer) <= columns:
            line = longer
            continue
        if line:
            yield line
        line = word
        while width_of(line) > columns:
            first = next(end for end in range(columns, 0, -1) if width_of(line[:end]) <= columns)
            yield line[:first]
            line = line[first:]
    yield line


def width_of(words: str) -> int:
    """The columns that a terminal takes for these words: two for a wide character, none for a combining one."""
    if words.isascii():
        return len(words)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in words)


def _set(words: str, width: int, *, left: bool) -> str:
    blanks = " " * (width - width_of(words))
    return words + blanks if left else blanks + words


def _line(line: Line, coloured: bool) -> str:
    if not coloured:
        return "".join(said.words for said in line)
    return "".join(f"\x1b[{_CODES[said.style]}m{said.words}\x1b[0m" if said.style else said.words for said in line)
