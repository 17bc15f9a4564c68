"""Frame: the whole screen around a page: clock above, timeline and keys below. A scene in, lines out."""

from __future__ import annotations

from itertools import groupby
from math import isinf
from typing import Final

from emu.view.incident import headline
from tui.glyphs import EIGHTHS, EMPTY, MARKS, Line, Span, Target, clock, cut, fit_line, resample, width_of
from tui.scene import Scene
from tui.screens.page import Page, wrapped

_MARK_ROLES: Final = ("bad", "bad", "bad", "good", "warn", "bad", "bad", "warn", "warn", "mixed", "warn", "warn")
LEGEND: Final = (
    "law broken",
    "fault",
    "dead",
    "back",
    "lost",
    "failed",
    "rejected",
    "cancelled",
    "SLO miss",
    "pool move",
    "preempted",
    "symptom",
)
SMALLEST: Final = (40, 10)
SHORT: Final = 30  # columns beside the pages' names, below which all that is said is how much is wrong
MOST_EXACT: Final = 2000  # marks that are drawn one by one


def pace_word(pace: float) -> str:
    """x0.1, x10, or unlimited."""
    return "unlimited" if isinf(pace) else f"x{pace:g}"


def draw_screen(scene: Scene, page: Page, pages: tuple[str, ...], width: int, height: int) -> list[Line]:
    """Exactly `height` lines of exactly `width` characters."""
    if width < SMALLEST[0] or height < SMALLEST[1]:
        words = f"{width}x{height} is too small; {SMALLEST[0]}x{SMALLEST[1]} is enough"
        return [fit_line((Span(cut(words, width), "warn"),), width)] + [fit_line(EMPTY, width)] * (height - 1)
    tabs, untold = _tabs(scene, page, pages, width)
    head = [_clock_line(scene, width), tabs, *(((Span(words, "key"),)) for words in wrapped(untold, width))]
    foot = [*timeline(scene, width), _keys(scene, page, width)]
    body = page.draw(scene, width, height - len(head) - len(foot))
    body = [*body, *([EMPTY] * (height - len(head) - len(foot) - len(body)))]
    return [fit_line(line, width) for line in (*head, *body, *foot)]


def _clock_line(scene: Scene, width: int) -> Line:
    now = scene.clock
    sign = "▶" if now.playing else "‖"
    asked = pace_word(now.pace)
    slow = now.playing and now.reached > 0 and now.reached < 0.95 * now.pace
    speed = f"{asked} (runs at x{now.reached:.3g})" if slow else asked
    if now.live and now.follow and not now.steered:  # somebody else's pace
        speed = f"x{now.reached:.3g}"
    state = "LIVE" if now.live and now.follow else "live, rewound" if now.live else "replay" if now.over else "record"
    if now.live and now.at_ps < now.repeats_ps:
        state = f"REPEATS up to {clock(now.repeats_ps)} s"
    counts = scene.view.counts
    left: Line = (
        Span(f" {sign} ", "bar-key"),
        Span(f"{clock(now.at_ps)} s", "bar"),
        Span(f" / {clock(now.end_ps)}  ", "bar-dim"),
        Span(f"{speed}  ", "bar"),
        Span(f"{state}  ", "bar-good" if now.live else "bar-dim"),
        *((Span(f"read {100 * now.read_share:.0f} %  ", "bar-key"),) if now.read_share < 0.999 else ()),
    )
    failed = counts.rejected + counts.failed + counts.cancelled
    right: Line = (
        Span(f"{scene.view.name}  ", "bar-dim"),
        *((Span(f"arrivals x{scene.view.rate_permille / 1000:g}  ", "bar-key"),) if _hurried(scene) else ()),
        Span(f"open {counts.open:,}  done {counts.completed:,}", "bar"),
        Span(f"  lost {failed:,} ", "bar-bad" if failed else "bar-dim"),
    )
    gap = width - width_of(left) - width_of(right)
    if gap < 1:
        return fit_line((*left, *right[1:]), width, "bar")
    return *left, Span(" " * gap, "bar"), *right


def _hurried(scene: Scene) -> bool:
    return scene.view.rate_permille != 1000


def _tabs(scene: Scene, page: Page, pages: tuple[str, ...], width: int) -> tuple[Line, str]:
    """The pages' names, and whether all is well; what is said besides, where there is no room for it there."""
    short = width < 110
    spans: list[Span] = []
    for number, name in enumerate(pages, 1):
        here = name == page.name
        shown = name if not short or here else name[:4]
        spans.append(Span(f" {number} {shown} ", "cursor" if here else "dim", Target("page", name)))
    room = width - width_of(tuple(spans)) - 3
    if scene.message and len(scene.message) <= room:
        return (*spans, Span("  "), Span(scene.message, "key")), ""
    wrong = len(scene.findings)
    words = headline(scene.view, scene.findings)
    if room < SHORT:
        words = f"{wrong} wrong" if wrong else "all well"
    if room >= len("all well"):
        said = Span(f"{'✗' if wrong else '✓'} {cut(words, room - 2)}", "bad" if wrong else "good")
        spans += [Span("  "), said._replace(target=Target("page", "incident"))]
    return tuple(spans), scene.message


def timeline(scene: Scene, width: int) -> list[Line]:
    """Two lines over the whole record: what is worth jumping to, and the rate of ends, with the playhead in both."""
    now = scene.clock
    end_ps = max(now.end_ps, 1)
    room = width - 2
    here = min(room - 1, now.at_ps * room // end_ps)
    ranks = _mark_ranks(scene, room, end_ps)
    cells = [" " if rank is None else MARKS[rank] for rank in ranks]
    roles = ["dim" if rank is None else _MARK_ROLES[rank] for rank in ranks]
    roles[here] = "playhead"
    if cells[here] == " ":
        cells[here] = "▼"
    values: list[float | None] = [float(each.completed) for each in scene.survey.intervals]
    columns = resample(values, room) or [None] * room
    top = max((value for value in columns if value is not None), default=0.0) or 1.0
    heights = [EIGHTHS[max(1, round(8 * value / top))] if value else "▁" for value in columns]
    passed = ["good"] * here + ["playhead"] + ["ahead"] * (room - here - 1)
    return [_scale(cells, roles, end_ps), _scale(heights, passed, end_ps)]


def _mark_ranks(scene: Scene, room: int, end_ps: int) -> list[int | None]:
    """The worst mark of each column. Where there are very many, or not all were kept, by interval."""
    survey = scene.survey
    ranks: list[int | None] = [None] * room
    if survey.left_out or len(survey.marks) > MOST_EXACT:
        found = (
            (number * survey.interval_ps, next(mark for mark, count in enumerate(interval.marks) if count))
            for number, interval in enumerate(survey.intervals)
            if any(interval.marks)
        )
    else:
        found = ((mark.at_ps, mark.mark) for mark in survey.marks)
    for at_ps, rank in found:
        column = min(room - 1, at_ps * room // end_ps)
        worst = ranks[column]
        if worst is None or rank < worst:
            ranks[column] = rank
    return ranks


def _scale(cells: list[str], roles: list[str], end_ps: int) -> Line:
    """Characters that stand for times from 0 to `end_ps`, in as few spans as there are changes of role."""
    spans: list[Span] = [Span(" ")]
    first = 0
    for role, same in groupby(roles):
        last = first + len(list(same))
        target = Target("times", f"{first * end_ps // len(roles)}:{last * end_ps // len(roles)}")
        spans.append(Span("".join(cells[first:last]), role, target))
        first = last
    return tuple(spans)


def _keys(scene: Scene, page: Page, width: int) -> Line:
    """What keys do here, as many as fit; help and the way out always do."""
    now, steered = scene.clock, scene.clock.steered
    common = (("space", "pause" if now.playing else "play"), ("n", "next"), ("[ ]", "marks"), ("g", "time"))
    hints = [hint for hint in page.hints if steered or hint[0] != "x"]
    last = _key("?", "back" if page.name == "help" else "help") + _key("q", "quit")
    spans: list[Span] = [Span(" ", "bar")]
    for key, words in (*common, *hints, *((("s", "save"),) if steered else ())):
        piece = _key(key, words)
        if width_of((*spans, *piece, *last)) > width:
            break
        spans += piece
    spans += last
    legend = _legend(scene, width - width_of(tuple(spans)))
    return fit_line((*fit_line(tuple(spans), width - width_of(legend), "bar"), *legend), width, "bar")


def _key(key: str, words: str) -> Line:
    target = Target("key", key)
    return Span(f"{key} ", "bar-key", target), Span(f"{words}  ", "bar-dim", target)


def _legend(scene: Scene, room: int) -> Line:
    """What the letters above mean, of the worst marks that there are, as many as fit."""
    spans: list[Span] = []
    for mark in sorted(scene.survey.kinds):
        piece = (Span(f" {MARKS[mark]}", "bar-key"), Span(f" {LEGEND[mark]} ", "bar-dim"))
        if width_of((*spans, *piece)) > room:
            break
        spans += piece
    return tuple(spans)
