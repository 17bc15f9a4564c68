"""Messages: what widgets tell the app. Up go messages, down go lines; no widget knows a reader or a run."""

from __future__ import annotations

from textual.message import Message

from tui.glyphs import Target


class Pointed(Message):
    """A span of the canvas was clicked, and it leads somewhere. `menu`: to what can be done to it."""

    def __init__(self, target: Target, *, menu: bool = False) -> None:
        super().__init__()
        self.target = target
        self.menu = menu


class Sized(Message):
    """The canvas has another size."""
