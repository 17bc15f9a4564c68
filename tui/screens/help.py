"""Help: every key, by what it is for."""

from __future__ import annotations

from typing import Final

from tui.glyphs import Line, Span, beside
from tui.scene import Scene
from tui.screens.page import Page, heading

KEYS: Final = (
    (
        "time",
        (
            ("space", "play, pause"),
            ("n  b", "to the next entry, back to the one before"),
            (".  ,", "100 ms on, back"),
            (">  <", "10 s on, back"),
            ("]  [", "to the next mark, back to the one before"),
            ("+  -  u", "faster, slower, as fast as it goes"),
            ("g", "go to a time: type 12.5 and Enter"),
            ("home  end", "to the start; to the end, and follow"),
        ),
    ),
    (
        "pages",
        (
            ("1 2 3 4", "incident, cluster, requests, events"),
            ("5 6 7 8", "machine, latency, laws, why"),
            ("tab", "the next page"),
            ("arrows", "choose; a click does too"),
            ("enter", "open, or go to its moment"),
            ("A ... E", "incident: to the moment of that finding"),
            ("w", "why does the chosen one wait?"),
            ("/", "filter by words"),
            ("o", "order of a table"),
            ("m", "why: the machine; events: only its own"),
        ),
    ),
    (
        "operate",
        (
            ("x", "strike, heal or act: on the chosen machine or request, or on all"),
            ("a", "arrivals: so many times as dense"),
            ("click", "with the right button, or on a lane: the same for that one"),
            ("s", "save this session as a scenario"),
            ("ctrl+p", "every command, by name"),
        ),
    ),
    (
        "screen",
        (
            ("T", "dark, light, no colours"),
            ("?", "this page; again: back"),
            ("q", "quit; a run that was started here ends"),
        ),
    ),
)

SIGNS: Final = (
    ("P D M · ✖ ‖", "prefill, decode, both, idle, down, paused"),
    ("█ ▓ ▒ ░ ✗ ·", "blocks: running, reserved, held, pinned, orphan, free"),
    ("═ ╌ ─ ┄", "a cache's layers: landed, landed by the last pace (~34/80), not yet; no put yet"),
    ("✓ … ·", "its grant, signal and acknowledgement: done, waited for, later"),
    ("! ▶", "something is wrong with it; the chosen one"),
    ("L F D h l", "marks: law broken, fault, machine dead, back again, attempt or put lost"),
    ("x r c s m p", "marks: failed, rejected, cancelled, SLO miss, pool move, preempted; ! a symptom"),
    ("▁▃▅█", "below the marks: requests that were completed, over the whole run"),
)


class Help(Page):
    """Two columns where there is room."""

    name = "help"

    def draw(self, scene: Scene, width: int, height: int) -> list[Line]:  # noqa: ARG002 (help is always the same)
        blocks: list[list[Line]] = []
        for title, keys in KEYS:
            block: list[Line] = [heading(title)]
            block += [(Span(f"  {key:<10}", "key"), Span(words, "text")) for key, words in keys]
            blocks.append([*block, ()])
        signs: list[Line] = [heading("signs")]
        signs += [(Span(f"  {glyphs:<18}", "key"), Span(words, "text")) for glyphs, words in SIGNS]
        if width >= 130:
            left = [*blocks[0], *blocks[1]]
            return beside(left, [*blocks[2], *blocks[3], *signs], 66, 2)[:height]
        tight = [[line for line in block if line] for block in blocks]
        if sum(map(len, tight)) + len(signs) > height:
            signs = []
        return [line for block in [*tight, signs] for line in block][:height]
