"""Machine: one of them whole: its batch, its blocks as a map by owner, its queue, and what transfers hold."""

from __future__ import annotations

from typing import Final, NamedTuple

from emu.view.cluster import MachineView
from emu.view.leases import lease_of, lease_words
from emu.view.rows import Hold
from tui.glyphs import Line, Span, Target, age, beside, cut, thousands
from tui.palette import OWNERS
from tui.scene import Intent, Scene
from tui.screens.cluster import belief_lines, doing_line, legend, memory_line
from tui.screens.page import Page, heading

_SHADES: Final = "█▇▆▅▄▃"


class Owner(NamedTuple):
    """Blocks in one hand: how many, the glyph and role of their cells, whose."""

    blocks: int
    glyph: str
    role: str
    request: int
    words: str


class Machine(Page):
    """Left and right go from machine to machine."""

    name = "machine"
    hints = (("←→", "machine"), ("w", "why"), ("x", "fault"))
    keys = frozenset({"left", "right"})

    def draw(self, scene: Scene, width: int, height: int) -> list[Line]:
        machine = scene.view.machines[min(scene.machine, len(scene.view.machines) - 1)]
        home = "" if machine.pool == machine.home else f", home {machine.home_word}"
        lines: list[Line] = [
            (
                Span(machine.name, "title"),
                Span(f"  {machine.hardware}, {machine.pool_word} pool{home}  ", "dim"),
                *doing_line(scene, machine),
            ),
            memory_line(machine, width),
            legend(machine),
            (),
        ]
        if width >= 100:
            half = width // 2 - 1
            left = [*_batch(scene, machine, half), (), *_queue(scene, machine, half)]
            right = [*_blocks(machine, scene, half, max(4, height // 3)), (), *_loans(scene, machine, half)]
            lines += beside(left, right, half, 2)
        else:
            lines += _blocks(machine, scene, width, max(2, height // 6))
            lines += _batch(scene, machine, width)[: max(3, height // 4)]
            lines += _queue(scene, machine, width)[:3]
            lines += _loans(scene, machine, width)
        return lines[:height]

    def key(self, key: str, scene: Scene) -> tuple[Intent, ...] | None:
        step = {"left": -1, "right": 1}.get(key)
        if step is None:
            return None
        return (Intent("machine", (scene.machine + step) % len(scene.view.machines)),)


def _batch(scene: Scene, machine: MachineView, width: int) -> list[Line]:
    view = scene.view
    lines: list[Line] = [
        heading(
            "batch", f"{len(machine.prefills)} prompts, {machine.sequences} sequences; {machine.steps:,} steps so far"
        )
    ]
    for piece in machine.prefills[:6]:
        words = f"  P r{piece.request:<7} {piece.tokens:>6} tokens  {piece.blocks:>4} blocks"
        lines.append((Span(cut(words, width), "prefill", Target("request", piece.request)),))
    cell = 18
    columns = max(1, (width - 2) // cell)
    rows = list(machine.decoding)
    for first in range(0, min(len(rows), columns * 8), columns):
        spans = [Span("  ")]
        for request in rows[first : first + columns]:
            row = view.requests.get(request)
            tokens = 0 if row is None else row.delivered
            spans.append(Span(f"D r{request} {thousands(tokens)}t".ljust(cell), "decode", Target("request", request)))
        lines.append(tuple(spans))
    if len(rows) > columns * 8:
        lines.append((Span(f"  and {len(rows) - columns * 8} more sequences", "dim"),))
    return lines


def _queue(scene: Scene, machine: MachineView, width: int) -> list[Line]:
    view = scene.view
    lines: list[Line] = [
        heading(
            "queue",
            f"{len(machine.queue)} prompts, {machine.queued_tokens:,} tokens; "
            f"{len(machine.reservations)} reservations wait",
        )
    ]
    for request, _ in machine.queue[:5]:
        row = view.requests.get(request)
        if row is not None:
            words = f"  r{request:<7} {row.prompt_tokens:>6} tokens  waits {age(view.at_ps - row.since_ps)}"
            lines.append((Span(cut(words, width), "warn", Target("request", request)),))
    for request, _ in machine.reservations[:5]:
        row = view.requests.get(request)
        if row is not None:
            words = f"  r{request:<7} wants {row.wants_blocks} blocks  waits {age(view.at_ps - row.asked_ps)}"
            lines.append((Span(cut(words, width), "reserved", Target("request", request)),))
    return [*lines, *belief_lines(scene, machine, width)]


def _loans(scene: Scene, machine: MachineView, width: int) -> list[Line]:
    lines: list[Line] = [heading("lent to transfers", f"{len(machine.loans)} loans")]
    for loan in sorted(machine.loans, key=lambda loan: (not loan.orphan, loan.since_ps))[:12]:
        why = "reserved for" if loan.side is Hold.TARGET else "held for"
        rest = " pinned" if loan.pinned else ""
        rest += " ORPHAN" if loan.orphan else ""
        words = (
            f"  r{loan.request:<7} {loan.blocks:>5} blocks {why} it for {age(scene.view.at_ps - loan.since_ps)}{rest}"
        )
        role = "orphan" if loan.orphan else "reserved" if loan.side is Hold.TARGET else "held"
        target = Target("request", loan.request)
        lease = lease_of(scene.view, machine, loan)
        ends = "" if lease is None else f"  {lease_words(scene.view, lease)}"
        shown = cut(words, width)
        rest_of = Span(cut(ends, width - len(shown)), "warn" if lease is not None and lease.silent else "dim", target)
        lines.append((Span(shown, role, target), rest_of))
    return lines


def owners(machine: MachineView, scene: Scene) -> list[Owner]:
    """Who has how many blocks, as the record tells: sequences by their tokens, loans as they were lent."""
    found: list[Owner] = []
    for place, request in enumerate(machine.decoding):
        row = scene.view.requests.get(request)
        if row is not None:
            blocks = -(-(row.prompt_tokens + row.delivered + 1) // scene.view.block_tokens)
            role = OWNERS[place % len(OWNERS)]
            found.append(Owner(blocks, _SHADES[place % len(_SHADES)], role, request, "runs"))
    for piece in machine.prefills:
        found.append(Owner(piece.blocks, "█", "prefill", piece.request, "is prefilled"))
    prefilling = {piece.request for piece in machine.prefills}
    for loan in machine.loans:
        if loan.request in prefilling:
            continue
        glyph, role = (
            ("✗", "orphan") if loan.orphan else ("▓", "reserved") if loan.side is Hold.TARGET else ("▒", "held")
        )
        found.append(Owner(loan.blocks, glyph, role, loan.request, "transfer"))
    return found


def _blocks(machine: MachineView, scene: Scene, width: int, rows: int) -> list[Line]:
    """A map by amount, not by address: each owner's cells in one piece, free ones behind."""
    cells = max(1, width * rows)
    used = max(1, machine.memory.total - machine.memory.free)
    # a pool that is hardly used is drawn to its own scale
    shown = min(machine.memory.total, max(cells, used * 5 // 4))
    each = shown / cells
    line: list[Span] = []
    filled = 0
    spent = 0.0
    for owner in owners(machine, scene):
        spent += owner.blocks
        stop = min(cells, max(filled + 1, round(spent / each)))
        if stop > filled:
            line.append(Span(owner.glyph * (stop - filled), owner.role, Target("request", owner.request)))
            filled = stop
    line.append(Span("·" * (cells - filled), "empty"))
    lines: list[Line] = [
        heading("blocks", f"by owner, {each:.3g} a cell; {shown:,} of {machine.memory.total:,} drawn, the rest is free")
    ]
    return lines + _wrap(line, width)


def _wrap(spans: list[Span], width: int) -> list[Line]:
    lines: list[Line] = []
    now: list[Span] = []
    left = width
    for span in spans:
        text = span.text
        while text:
            piece, text = text[:left], text[left:]
            now.append(span._replace(text=piece))
            left -= len(piece)
            if not left:
                lines.append(tuple(now))
                now, left = [], width
    if now:
        lines.append(tuple(now))
    return lines
