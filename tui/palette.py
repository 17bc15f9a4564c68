"""Palettes: which colour a role has on a dark and on a light terminal, and none at all. Only Rich is known here."""

from __future__ import annotations

from typing import Final

from rich.style import Style

_DARK: Final = {
    "text": "#d0d4dc",
    "dim": "#7c8494",
    "frame": "#4a5160",
    "empty": "#3a404c",
    "title": "bold #f0f2f6",
    "key": "bold #e5c07b",
    "prefill": "#61afef",
    "decode": "#7fc379",
    "mixed": "#c98be8",
    "idle": "#7c8494",
    "away": "#7c8494",
    "paused": "bold #d19a66",
    "down": "bold #1b1d23 on #e06c75",
    "reserved": "#e5c07b",
    "held": "#56b6c2",
    "pinned": "#d19a66",
    "orphan": "bold #e06c75",
    "good": "#7fc379",
    "warn": "#e5c07b",
    "bad": "bold #e06c75",
    "cursor": "bold #f0f2f6 on #3a4254",
    "bar": "#f0f2f6 on #272b33",
    "bar-dim": "#98a0b0 on #272b33",
    "bar-key": "bold #e5c07b on #272b33",
    "bar-good": "bold #7fc379 on #272b33",
    "bar-bad": "bold #1b1d23 on #e06c75",
    "playhead": "bold #1b1d23 on #e5c07b",
    "ahead": "#4a5160",
}
_LIGHT: Final = {
    "text": "#2b303b",
    "dim": "#6b7280",
    "frame": "#b4bac6",
    "empty": "#c8cdd8",
    "title": "bold #111318",
    "key": "bold #8a5a00",
    "prefill": "#0b61a4",
    "decode": "#1f7a2e",
    "mixed": "#7a2fa0",
    "idle": "#6b7280",
    "away": "#6b7280",
    "paused": "bold #9a4a00",
    "down": "bold #ffffff on #b3202c",
    "reserved": "#8a5a00",
    "held": "#0b6e7a",
    "pinned": "#9a4a00",
    "orphan": "bold #b3202c",
    "good": "#1f7a2e",
    "warn": "#8a5a00",
    "bad": "bold #b3202c",
    "cursor": "bold #111318 on #d5dcea",
    "bar": "#111318 on #e3e7ee",
    "bar-dim": "#5b6270 on #e3e7ee",
    "bar-key": "bold #8a5a00 on #e3e7ee",
    "bar-good": "bold #1f7a2e on #e3e7ee",
    "bar-bad": "bold #ffffff on #b3202c",
    "playhead": "bold #ffffff on #8a5a00",
    "ahead": "#b4bac6",
}
_MONO: Final = {
    "title": "bold",
    "key": "bold",
    "dim": "dim",
    "frame": "dim",
    "empty": "dim",
    "down": "reverse bold",
    "orphan": "bold",
    "bad": "bold underline",
    "cursor": "reverse",
    "bar": "reverse",
    "bar-dim": "reverse",
    "bar-key": "reverse bold",
    "bar-good": "reverse bold",
    "bar-bad": "bold underline",
    "playhead": "reverse bold",
    "ahead": "dim",
}
OWNERS: Final = ("prefill", "decode", "mixed", "reserved", "held", "pinned")
"""Roles that owners of blocks take in turn."""

NAMES: Final = ("dark", "light", "mono")


class Palette:
    """Styles by role."""

    def __init__(self, name: str) -> None:
        """Raises KeyError."""
        chosen = {"dark": _DARK, "light": _LIGHT, "mono": _MONO}[name]
        self.name = name
        self._styles = {role: Style.parse(colour) for role, colour in chosen.items()}
        self._text = self._styles.get("text", Style())

    def style(self, role: str) -> Style:
        """Of a role; one that has no colour of its own looks like text."""
        return self._styles.get(role, self._text)
