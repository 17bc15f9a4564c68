"""Picture: one screen as SVG, without a terminal; the same scene gives the same bytes."""

from __future__ import annotations

import io

from rich.console import Console
from rich.segment import Segment, Segments
from rich.terminal_theme import DIMMED_MONOKAI, TerminalTheme

from tui.deck import Deck
from tui.palette import Palette

_LIGHT = TerminalTheme((250, 250, 252), (43, 48, 59), [(0, 0, 0)] * 8, [(60, 60, 60)] * 8)


def svg(deck: Deck, width: int, height: int, theme: str = "dark") -> str:
    """The scene at the playhead."""
    palette = Palette(theme)
    console = Console(
        width=width, height=height, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for line in deck.draw(deck.scene(), width, height):
        console.print(
            Segments([*(Segment(span.text, palette.style(span.role)) for span in line), Segment.line()]),
            end="",
            no_wrap=True,
            crop=True,
        )
    title = f"emu: {deck.player.reader.started.name}"
    colours = _LIGHT if theme == "light" else DIMMED_MONOKAI
    return console.export_svg(title=title, theme=colours, unique_id="emu")
