"""Page: what every page of the cockpit has in common, and the cursor of those that are lists."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from attrs import define

from tui.glyphs import Line, Span
from tui.scene import Intent, Scene

UP: Final = {"up": -1, "down": 1, "pageup": -10, "pagedown": 10}
LISTED: Final = frozenset({*UP, "enter"})


class Page(ABC):
    """Draws scenes and takes keys. `hints` are (key, what it does), for the foot of the screen.

    `keys` are all that it takes: for any other key no scene need be made.
    """

    name = ""
    hints: tuple[tuple[str, str], ...] = ()
    keys: frozenset[str] = frozenset()
    filters = False  # whether it shows only what has the words that were typed

    @abstractmethod
    def draw(self, scene: Scene, width: int, height: int) -> list[Line]:
        """At most `height` lines of at most `width` characters."""

    def key(self, key: str, scene: Scene) -> tuple[Intent, ...] | None:  # noqa: ARG002 (a page without keys)
        """What a key leads to; None where it means nothing here."""
        return None

    def filtered(self, text: str) -> None:
        """The user typed a filter; only where `filters`."""
        del text


@define(eq=False)
class Cursor:
    """A place in a list that is longer than its window."""

    place: int = 0
    top: int = 0

    def move(self, key: str, count: int) -> bool:
        """Whether the key was one of ours."""
        if key in UP:
            self.place += UP[key]
        else:
            return False
        self.place = max(0, min(self.place, count - 1))
        return True

    def window(self, count: int, height: int) -> range:
        """Which rows are in sight, the chosen one among them."""
        self.place = max(0, min(self.place, count - 1))
        self.top = max(0, min(self.top, count - height))
        if self.place < self.top:
            self.top = self.place
        elif self.place >= self.top + height:
            self.top = self.place - height + 1
        return range(self.top, min(count, self.top + height))


def chosen(line: Line, width: int) -> Line:
    """A line under the cursor: marked in front, for those who see no colours, and in one role."""
    text = "".join(span.text for span in line)
    target = next((span.target for span in line if span.target is not None), None)
    return (Span(("▶" + text[1:] if text[:1] == " " else text)[:width].ljust(width), "cursor", target),)


def heading(words: str, rest: str = "") -> Line:
    return (Span(words, "title"), Span(f"  {rest}" if rest else "", "dim"))


def wrapped(words: str, width: int) -> list[str]:
    """Lines of at most `width` characters, broken at blanks."""
    lines: list[str] = []
    while len(words) > width:
        space = words.rfind(" ", 1, width + 1)
        end = space if space > 0 else width
        lines.append(words[:end])
        words = words[end:].lstrip()
    return [*lines, words] if words else lines


def centred(lines: Sequence[str], width: int, height: int) -> list[Line]:
    """An empty or an error state: a few words in the middle."""
    above = max(0, (height - len(lines)) // 2)
    return [*([()] * above), *((Span(words.center(width), "dim"),) for words in lines)][:height]
