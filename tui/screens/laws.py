"""Laws: which are checked, which this run broke, and the moment of each violation."""

from __future__ import annotations

from typing import Final

from tui.glyphs import Line, Span, Target, clock, cut, fit
from tui.scene import Intent, LawView, Scene
from tui.screens.page import LISTED, Cursor, Page, chosen, heading, wrapped

NAME: Final = 26  # the longest has 25


class Laws(Page):
    """Broken ones first. Enter goes to the first violation."""

    name = "laws"
    hints = (("↑↓", "law"), ("⏎", "go to its first violation"))
    keys = LISTED

    def __init__(self) -> None:
        self._cursor = Cursor()

    def draw(self, scene: Scene, width: int, height: int) -> list[Line]:
        laws = _ordered(scene)
        broken = sum(1 for law in laws if law.broken)
        said = f"{broken} broken" if broken else "none broken so far" if not scene.clock.over else "none broken"
        lines: list[Line] = [heading(f"{len(laws)} laws", said)]
        detail = self._detail(laws, width) if laws else []
        rows = self._cursor.window(len(laws), max(1, height - 1 - len(detail)))
        for number in rows:
            law = laws[number]
            line: Line = (
                Span("  ✗ " if law.broken else "  ✓ ", "bad" if law.broken else "good"),
                Span(fit(law.name, NAME), "bad" if law.broken else "text"),
                Span(cut(law.statement, width - NAME - 5), "dim"),
            )
            lines.append(chosen(line, width) if number == self._cursor.place else line)
        lines += [()] * max(0, height - len(lines) - len(detail))
        return [*lines, *detail][:height]

    def _detail(self, laws: list[LawView], width: int) -> list[Line]:
        law = laws[min(self._cursor.place, len(laws) - 1)]
        lines: list[Line] = [(), (Span(law.name, "title"),)]
        lines += [(Span(words, "text"),) for words in wrapped(law.statement, width)]
        lines += [
            (
                Span(f"  {clock(mark.at_ps):>12}  ", "warn", Target("time", mark.at_ps)),
                Span(cut(mark.words, width - 17), "bad", Target("time", mark.at_ps)),
            )
            for mark in law.broken
        ]
        return lines

    def key(self, key: str, scene: Scene) -> tuple[Intent, ...] | None:
        laws = _ordered(scene)
        if self._cursor.move(key, len(laws)):
            return ()
        if key == "enter" and laws:
            law = laws[min(self._cursor.place, len(laws) - 1)]
            return (Intent("time", law.broken[0].at_ps),) if law.broken else ()
        return None


def _ordered(scene: Scene) -> list[LawView]:
    return sorted(scene.laws, key=lambda law: not law.broken)
