"""Requests: who is open, sortable and filterable; and the life of one as a Gantt line over machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from emu.view.cluster import RequestView
from emu.view.rows import NEVER
from emu.view.words import STATUS_WORDS
from tui.glyphs import Line, Span, Target, age, fit
from tui.scene import Intent, Scene
from tui.screens.lives import LIFE_LINES, ROLES, WHOLE_LINES, life_lines
from tui.screens.page import LISTED, Cursor, Page, chosen, heading

_SORTS: Final[tuple[tuple[str, Callable[[RequestView], Any]], ...]] = (
    ("longest in its phase", lambda row: (row.since_ps, row.request)),
    ("oldest", lambda row: (row.arrived_ps, row.request)),
    ("phase", lambda row: (row.phase, row.since_ps)),
    ("longest prompt", lambda row: (-row.prompt_tokens, row.request)),
    ("most tokens", lambda row: (-row.delivered, row.request)),
    ("most attempts", lambda row: (-row.tries, -row.preemptions, row.since_ps)),
    ("machine", lambda row: (row.machine, row.since_ps)),
)


class Requests(Page):
    """o changes the order, / filters by words: phases, machines, r41, ended."""

    name = "requests"
    hints = (("↑↓", "request"), ("⏎", "why"), ("o", "order"), ("/", "filter"))
    filters = True
    keys = LISTED | {"o"}

    def __init__(self) -> None:
        self._cursor = Cursor()
        self._sort = 0
        self._filter = ""

    def filtered(self, text: str) -> None:
        self._filter, self._cursor = text.strip().lower(), Cursor()

    def draw(self, scene: Scene, width: int, height: int) -> list[Line]:
        if "ended" in self._filter.split():
            return self._ended(scene, width, height)
        found = self._rows(scene)
        said = f"{len(found):,} of {len(scene.view.requests):,} open, {_SORTS[self._sort][0]} first"
        said += f", with '{self._filter}'" if self._filter else ""
        head = "  request  phase         in it    age  prompt tokens prefill on  decode on   try"
        lines: list[Line] = [heading("requests", said), (Span(fit(head, width), "dim"),)]
        below = WHOLE_LINES if height >= 40 else LIFE_LINES if height >= 20 else 4 if height >= 12 else 0
        for number in self._cursor.window(len(found), max(1, height - 2 - below)):
            line = _row(scene, found[number])
            lines.append(chosen(line, min(width, len(head) + 4)) if number == self._cursor.place else line)
        if not found:
            lines.append((Span("  nobody; / changes the filter, and 'ended' lists those that are over", "dim"),))
        if found and below:
            lines += [()] * max(0, height - below - len(lines))
            request = found[min(self._cursor.place, len(found) - 1)].request
            lines += life_lines(scene, request, scene.life(request), width, below)[:below]
        return lines[:height]

    def key(self, key: str, scene: Scene) -> tuple[Intent, ...] | None:
        ended = "ended" in self._filter.split()
        rows = [row.request for row in (scene.view.ended[::-1] if ended else self._rows(scene))]
        if self._cursor.move(key, len(rows)):
            return (Intent("request", rows[self._cursor.place]),) if rows else ()
        if key == "o":
            self._sort = (self._sort + 1) % len(_SORTS)
            return ()
        if key == "enter" and rows:
            request = rows[min(self._cursor.place, len(rows) - 1)]
            return Intent("request", request), Intent("page", "why")
        return None

    def _rows(self, scene: Scene) -> list[RequestView]:
        words = self._filter.split()
        rows = [
            row for row in scene.view.requests.values() if not words or all(word in _text(scene, row) for word in words)
        ]
        return sorted(rows, key=_SORTS[self._sort][1])

    def _ended(self, scene: Scene, width: int, height: int) -> list[Line]:
        words = [word for word in self._filter.split() if word != "ended"]
        rows = [
            row
            for row in reversed(scene.view.ended)
            if all(word in f"r{row.request} {STATUS_WORDS[row.status]}" for word in words)
        ]
        lines: list[Line] = [
            heading("requests that ended", f"the latest {len(rows)}"),
            (Span(fit("  request  status      at          TTFT     E2E  prompt tokens", width), "dim"),),
        ]
        for number in self._cursor.window(len(rows), max(1, height - 2)):
            row = rows[number]
            line: Line = (
                Span(f"  r{row.request:<7} ", "text", Target("request", row.request)),
                Span(f"{STATUS_WORDS[row.status]:<11}", "good" if not row.status else "bad"),
                Span(f"{row.at_ps / 10**12:9.3f} ", "dim"),
                Span(f"{age(row.ttft_ps):>7} {age(row.e2e_ps):>7} {row.prompt_tokens:>7} {row.output_tokens:>6}"),
            )
            lines.append(chosen(line, min(width, 70)) if number == self._cursor.place else line)
        return lines[:height]


def _text(scene: Scene, row: RequestView) -> str:
    view = scene.view
    names = f"{view.machine_name(row.prefill_machine)} {view.machine_name(row.decode_machine)}"
    return f"r{row.request} {row.phase_word} {names}"


def _row(scene: Scene, row: RequestView) -> Line:
    view = scene.view
    target = Target("request", row.request)
    attempt = f"{row.tries}" + (f" ({row.preemptions} preempted)" if row.preemptions else "")
    return (
        Span(f"  r{row.request:<7} ", "text", target),
        Span(f"{row.phase_word:<13}", ROLES.get(row.phase_word, "text"), target),
        Span(f"{age(view.at_ps - row.since_ps):>6} {age(view.at_ps - row.arrived_ps):>6}", "text", target),
        Span(f"{row.prompt_tokens:>8}{row.delivered:>7} ", "dim", target),
        Span(
            f"{view.machine_name(row.prefill_machine) if row.prefill_machine != NEVER else '-':<12}", "prefill", target
        ),
        Span(f"{view.machine_name(row.decode_machine) if row.decode_machine != NEVER else '-':<12}", "decode", target),
        Span(attempt, "warn" if row.tries > 1 or row.preemptions else "dim"),
    )
