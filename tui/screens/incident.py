"""Incident: is anything wrong, since when, and where to look; one line where all is well."""

from __future__ import annotations

from typing import Final

from emu.view.cluster import counted
from emu.view.incident import BEFORE_S, NOW_S, Burn, burn, headline, marks_between, oldest_by_phase, symptoms_since
from emu.view.rows import NEVER
from emu.view.survey import PS_PER_S, Mark
from emu.view.why import waits_for
from tui.glyphs import MARKS, Line, Span, Target, age, clock, cut, fit
from tui.scene import Intent, Scene
from tui.screens.page import LISTED, Cursor, Page, chosen, heading

KIND_WORDS: Final = {
    "law": "law broken",
    "router": "router gone",
    "down": "machine down",
    "silent": "machine silent",
    "mute": "machine takes nothing",
    "slow steps": "machine slow",
    "stuck": "request stuck",
    "deadlock": "deadlock",
    "pair": "pair carries nothing",
    "orphans": "orphan blocks",
    "lease": "lease not renewed",
    "queue": "queue only grows",
}
LETTERS: Final = "ABCDE"
MARK_WORDS: Final = (
    ("law broken", "laws broken"),
    ("fault", "faults"),
    ("machine gone", "times a machine gone"),
    ("back again", "back again"),
    ("attempt or put lost", "attempts or puts lost"),
    ("failed", "failed"),
    ("rejected", "rejected"),
    ("cancelled", "cancelled"),
    ("SLO miss", "SLO misses"),
    ("pool move", "pool moves"),
    ("preempted", "preempted"),
    ("symptom", "symptoms"),
)
"""Of one, and of several."""


class Incident(Page):
    """A letter goes to its finding's moment; so does Enter, to the one that was chosen."""

    name = "incident"
    hints = (("A-E", "go to its moment"), ("↑↓", "finding"), ("⏎", "go there"), ("w", "why"))
    keys = LISTED | set(LETTERS)

    def __init__(self) -> None:
        self._cursor = Cursor()

    def draw(self, scene: Scene, width: int, height: int) -> list[Line]:
        found = scene.findings
        lines: list[Line] = [
            (
                Span("✗ " if found else "✓ ", "bad" if found else "good"),
                Span(cut(headline(scene.view, found), width - 2), "bad" if found else "good"),
            ),
            (),
        ]
        lines += self._worst(scene, width)
        lines += _burns(scene, width, 3 if height >= 30 else 1)
        lines += _lately(scene, width, 6 if height >= 30 else 2)
        lines += _oldest(scene, width)
        return lines[:height]

    def _worst(self, scene: Scene, width: int) -> list[Line]:
        found = scene.findings
        if not found:
            return []
        lines: list[Line] = [heading("worst first", "a letter goes to where it began")]
        rows = self._cursor.window(len(found), 5)
        for number in rows:
            finding = found[number]
            word = KIND_WORDS.get(finding.kind, finding.kind.replace("_", " "))
            target = (
                Target("request", finding.request) if finding.request != NEVER else Target("machine", finding.machine)
            )
            line: Line = (
                Span(f"  {LETTERS[number]} {fit(word, 21)}", "bad", target),
                Span(f"{age(scene.view.at_ps - finding.since_ps):>6}  ", "warn"),
                Span(cut(finding.words, width - 33), "text", target),
            )
            lines.append(chosen(line, width) if number == self._cursor.place else line)
        return [*lines, ()]

    def key(self, key: str, scene: Scene) -> tuple[Intent, ...] | None:
        if self._cursor.move(key, len(scene.findings)):
            return ()
        number = LETTERS.index(key) if key in LETTERS else self._cursor.place
        if (key == "enter" or key in LETTERS) and number < len(scene.findings):
            finding = scene.findings[number]
            intents = [Intent("time", finding.since_ps)]
            if finding.machine != NEVER:
                intents.append(Intent("machine", finding.machine))
            if finding.request != NEVER:
                intents.append(Intent("request", finding.request))
            return tuple(intents)
        return None


def _burns(scene: Scene, width: int, most: int) -> list[Line]:
    at_ps = scene.view.at_ps
    edge_ps = max(0, at_ps - NOW_S * PS_PER_S)
    now, before = burn(scene.survey, edge_ps, at_ps), burn(scene.survey, edge_ps - BEFORE_S * PS_PER_S, edge_ps)
    lines: list[Line] = [heading("goodput and SLO misses")]
    for words, span in ((f"last {NOW_S} s", now), (f"{BEFORE_S} s before", before)):
        lines.append(_burn_line(words, span))
    marks = marks_between(scene.survey, edge_ps, at_ps)
    if marks:
        counts = [sum(1 for mark in marks if mark.mark == kind) for kind in Mark]
        said = ", ".join(
            f"{count:,} {MARK_WORDS[kind][count > 1]} ({MARKS[kind]})" for kind, count in enumerate(counts) if count
        )
        lines.append((Span(f"  marks in the last {NOW_S} s: ", "dim"), Span(cut(said, width - 28), "warn")))
        lines += [
            (
                Span(f"    {clock(mark.at_ps):>12}  ", "dim", Target("time", mark.at_ps)),
                Span(cut(mark.words, width - 20), "text", Target("time", mark.at_ps)),
            )
            for mark in marks[:most]
        ]
    return [*lines, ()]


def _lately(scene: Scene, width: int, most: int) -> list[Line]:
    """What was wrong within the last minute and is not any more: it may have hurt who misses an SLO now."""
    at_ps = scene.view.at_ps
    now = {(finding.kind, finding.machine) for finding in scene.findings}
    past = [
        symptom
        for symptom in symptoms_since(scene.survey, at_ps - BEFORE_S * PS_PER_S, at_ps)
        if (symptom.kind, symptom.machine) not in now
    ]
    if not past:
        return []
    lines: list[Line] = [heading("seen in the last minute", "and not now")]
    for symptom in past[:most]:
        target = Target("time", symptom.began_ps)
        span = f"{clock(symptom.began_ps)} to {clock(min(at_ps, symptom.last_ps))}"
        said = f"{KIND_WORDS.get(symptom.kind, symptom.kind)}: {symptom.words}"
        lines.append((Span(f"  {span:>22}  ", "dim", target), Span(cut(said, width - 26), "warn", target)))
    if len(past) > most:
        lines.append((Span(f"  and {len(past) - most} more", "dim"),))
    return [*lines, ()]


def _burn_line(words: str, span: Burn) -> Line:
    missed = "nothing ended" if span.missed_share is None else f"{100 * span.missed_share:.1f} % missed their SLOs"
    role = "dim" if span.missed_share is None else "good" if span.missed_share < 0.01 else "bad"
    return Span(f"  {words:<14}", "dim"), Span(f"{span.goodput_rps:8.1f} good requests/s  ", "text"), Span(missed, role)


def _oldest(scene: Scene, width: int) -> list[Line]:
    lines: list[Line] = [heading("the oldest of each phase", f"{counted(scene.view.counts.open, 'request')} open")]
    for row in oldest_by_phase(scene.view):
        target = Target("request", row.request)
        long_ps = scene.view.at_ps - row.since_ps
        role = "bad" if long_ps > 10 * PS_PER_S and row.phase_word not in ("decode", "prefill") else "text"
        lines.append(
            (
                Span(f"  {row.phase_word:<14}", "dim", target),
                Span(f"{age(long_ps):>6}  ", role, target),
                Span(cut(waits_for(scene.view, row.request), width - 24), "text", target),
            )
        )
    if len(lines) == 1:
        lines.append((Span("  no request is open", "dim"),))
    return lines
