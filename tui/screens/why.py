"""Why: the chain of waits from a request or a machine to its root, link by link."""

from __future__ import annotations

from emu.view.life import longest_wait
from emu.view.rows import NEVER
from emu.view.why import Chain, why_machine, why_request
from tui.glyphs import Line, Span, Target, age, cut
from tui.scene import Intent, Scene
from tui.screens.lives import LIFE_LINES, WHOLE_LINES, life_lines
from tui.screens.page import LISTED, Cursor, Page, chosen, heading, wrapped

WAITERS = 12


class Why(Page):
    """The chosen request's chain; below it, who waits the longest, to choose from."""

    name = "why"
    hints = (("↑↓", "who waits"), ("⏎", "ask about it"), ("m", "the machine"))
    keys = LISTED | {"m"}

    def __init__(self) -> None:
        self._cursor = Cursor()
        self._machine = False
        self._chosen = False  # the cursor was moved

    def draw(self, scene: Scene, width: int, height: int) -> list[Line]:
        view = scene.view
        lines: list[Line]
        if self._machine:
            machine = view.machines[min(scene.machine, len(view.machines) - 1)]
            lines = [heading(f"why {machine.name}?"), *chain_lines(why_machine(view, machine.number), width)]
        elif scene.request in view.requests:
            lines = [heading(f"why r{scene.request}?"), *chain_lines(why_request(view, scene.request), width)]
        elif scene.request != NEVER:
            lines = [heading(f"why r{scene.request}?", "it is not open at this moment"), *_past(scene, width, height)]
        else:
            lines = [heading("why?", "choose who waits, and press Enter")]
        lines.append(())
        waiting = _waiting(scene)
        rows = self._cursor.window(len(waiting), max(1, min(WAITERS, height - len(lines) - 1)))
        lines.append(
            heading(
                "who waits the longest",
                f"{len(waiting):,} of {len(view.requests):,} open requests neither compute nor decode",
            )
        )
        for number in rows:
            row = view.requests[waiting[number]]
            line: Line = (
                Span(f"  r{row.request:<8}", "text", Target("request", row.request)),
                Span(f"{age(view.at_ps - row.since_ps):>6}  ", "warn"),
                Span(f"{row.phase_word:<14}", "dim"),
                Span(view.machine_name(row.machine) if row.machine != NEVER else "the router", "text"),
            )
            lines.append(chosen(line, min(width, 60)) if number == self._cursor.place else line)
        if not waiting:
            lines.append((Span("  nobody", "dim"),))
        return lines[:height]

    def key(self, key: str, scene: Scene) -> tuple[Intent, ...] | None:
        waiting = _waiting(scene)
        if self._cursor.move(key, len(waiting)):
            self._chosen = True
            return ()
        if key == "enter" and not self._chosen and scene.request != NEVER and scene.request not in scene.view.requests:
            found = longest_wait(scene.life(scene.request) or (), scene.request)
            if found is not None:
                return (Intent("time", (found[2] + found[3]) // 2),)
        if key == "enter" and waiting:
            self._machine = self._chosen = False
            return (Intent("request", waiting[min(self._cursor.place, len(waiting) - 1)]),)
        if key == "m":
            self._machine = not self._machine
            return ()
        return None


def _past(scene: Scene, width: int, height: int) -> list[Line]:
    """Of a request that is over: its life, and where it waited the longest."""
    entries = scene.life(scene.request)
    found = longest_wait(entries or (), scene.request)
    if found is None:
        return life_lines(scene, scene.request, entries, width)
    word, machine, began_ps, ended_ps = found
    middle = Target("time", (began_ps + ended_ps) // 2)
    name = scene.view.machine_name(machine) if machine != NEVER else "the router"
    ended = next((each for each in reversed(scene.view.ended) if each.request == scene.request), None)
    if word == "transfer" and ended is not None:
        name = f"{name} to {scene.view.machine_name(ended.decode_machine)}"
    words = f"it waited the longest in {word} ({age(ended_ps - began_ps)}, {name}); Enter goes there and asks why"
    most = WHOLE_LINES if height >= 40 else LIFE_LINES
    return [*life_lines(scene, scene.request, entries, width, most), (Span(cut(words, width), "warn", middle),)]


def _waiting(scene: Scene) -> list[int]:
    return [row.request for row in sorted(scene.view.waiting(), key=lambda row: (row.since_ps, row.request))]


def chain_lines(chain: Chain, width: int) -> list[Line]:
    """A link a line, each further to the right; the root and a deadlock stand out."""
    lines: list[Line] = []
    for depth, link in enumerate(chain.links):
        target = (
            Target("request", link.request)
            if link.request != NEVER
            else Target("machine", link.machine)
            if link.machine != NEVER
            else None
        )
        lead = "  " * min(depth, 8) + ("└ " if depth else "")
        role = "title" if not depth else "warn" if depth == len(chain.links) - 1 else "text"
        for number, piece in enumerate(wrapped(link.words, max(20, width - len(lead)))):
            lines.append((Span(" " * len(lead) if number else lead, "dim"), Span(piece, role, target)))
    if chain.deadlock:
        lines.append((Span(cut("DEADLOCK: the chain leads back to itself, and nothing in it can move", width), "bad"),))
    return lines
