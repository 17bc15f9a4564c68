"""Canvas: lines of spans on the terminal. It redraws the lines that changed, and tells which span was clicked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from rich.segment import Segment
from textual import events
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.glyphs import Line, Target, pointed
from tui.messages import Pointed, Sized
from tui.palette import Palette

_LEFT: Final = 1  # button of a mouse
_NARROW: Final = frozenset("".join(map(chr, range(32, 127))) + "·→←↑↓…⏎►─│╭╮╯╰├└╌┄═▁▂▃▄▅▆▇█▉▊▋▌▍▎▏░▒▓▶▷◀▼‖✓✗✖")
"""Characters of one cell that are drawn here."""


class Canvas(Widget, can_focus=True):
    """Shows `lines`, which `show` was given last."""

    def __init__(self, palette: Palette) -> None:
        super().__init__()
        self._palette = palette
        self.lines: tuple[Line, ...] = ()
        self._strips: dict[int, Strip] = {}

    def show(self, lines: Sequence[Line]) -> None:
        """These lines, from the top."""
        old, self.lines = self.lines, tuple(lines)
        for row, (before, now) in enumerate(zip_longest(old, self.lines)):
            if before != now:
                self._strips.pop(row, None)
                self.refresh(Region(0, row, self.size.width, 1))

    def repaint(self, palette: Palette) -> None:
        """The same lines in other colours."""
        self._palette = palette
        self._strips.clear()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        strip = self._strips.get(y)
        if strip is None:
            line = self.lines[y] if y < len(self.lines) else ()
            style = self._palette.style
            segments = [Segment(span.text, style(span.role)) for span in line]
            strip = self._strips[y] = self._strip(segments)
        return strip

    def _strip(self, segments: list[Segment]) -> Strip:
        """What is drawn here is as wide as it is long; names that a user chose may not be."""
        width, text = self.size.width, "".join([segment.text for segment in segments])
        if len(text) == width and (text.isascii() or _NARROW.issuperset(text)):
            return Strip(segments, width)
        return Strip(segments).adjust_cell_length(width)

    def render_lines(self, crop: Region) -> list[Strip]:
        """As a widget without border, padding and background does it, at a third of the cost."""
        whole = crop.x == 0 and crop.width == self.size.width
        strips = [self.render_line(y) for y in range(crop.y, crop.bottom)]
        return strips if whole else [strip.crop(crop.x, crop.right) for strip in strips]

    def target_at(self, x: int, y: int) -> Target | None:
        """Where a click there leads."""
        if not 0 <= y < len(self.lines):
            return None
        column = 0
        for span in self.lines[y]:
            long = len(span.text)
            if x < column + long:
                return pointed(span, x - column)
            column += long
        return None

    def on_click(self, event: events.Click) -> None:
        target = self.target_at(event.x, event.y)
        if target is not None:
            self.post_message(Pointed(target, menu=event.button != _LEFT or target.kind == "link"))

    def on_resize(self, _: events.Resize) -> None:
        self._strips.clear()
        self.post_message(Sized())
