"""Cluster: every machine at once, as cards, tiles or a heat map, whatever fits; and the caches on their way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from emu.view.cluster import POOL_WORDS, ClusterView, MachineView
from emu.view.lanes import LaneView, lanes
from emu.view.rows import NEVER
from emu.view.why import waits_for, why_machine
from tui.glyphs import Line, Span, Target, age, bar, box, cut, fit, fit_line, stacked, thousands
from tui.scene import Intent, Scene
from tui.screens.lanes import lane_line
from tui.screens.page import Page
from tui.screens.why import chain_lines

CARD: Final = (26, 6)
SLIM: Final = (24, 4)
TILE: Final = (20, 2)
CELLS: Final = (5, 3)  # of the heat map: with room for a mark in front and one for queues, or without
NUMBER: Final = 4  # characters before each row of it: which machine of its pool comes first
LANES: Final = 4  # lines for transfers, at least
GLYPHS: Final = {"prefill": "P", "decode": "D", "mixed": "M", "idle": "·", "down": "✖", "paused": "‖", "away": "-"}


Draw: TypeAlias = Callable[[Scene, MachineView, int, float], list[Line]]


class Cluster(Page):
    """Arrows choose a machine, Enter opens it."""

    name = "cluster"
    hints = (("↑↓←→", "machine"), ("⏎", "open"), ("x", "fault"))
    keys = frozenset({"left", "right", "up", "down", "enter"})

    def __init__(self) -> None:
        self._columns = 1

    def draw(self, scene: Scene, width: int, height: int) -> list[Line]:
        view = scene.view
        room = max(1, height - 1 - LANES)
        scale = scale_of(scene)
        for size, draw in ((CARD, card), (SLIM, slim), (TILE, tile)):
            columns = max(1, (width + 1) // (size[0] + 1))
            if sum(-(-len(group) // columns) for group in _groups(view)) * size[1] + _pools(view) <= room:
                self._columns = columns
                lines = _grid(scene, columns, (width - columns + 1) // columns, draw, scale)
                break
        else:
            for cell in CELLS:
                self._columns = max(1, (width - NUMBER) // cell)
                lines = _heat(scene, self._columns, scale, cell)
                if len(lines) <= room:
                    break
        lines = lines[:room]
        moving = lanes(view)
        below = _lanes(scene, moving, width, min(height - len(lines) - 1, max(LANES, len(moving) + 1)))
        spare = height - len(lines) - len(below) - 1
        detail = [(), *_chosen(scene, width)][:spare] if spare >= 4 else []
        return [*lines, *below, *detail][:height]

    def key(self, key: str, scene: Scene) -> tuple[Intent, ...] | None:
        step = {"left": -1, "right": 1, "up": -self._columns, "down": self._columns}.get(key)
        if step is not None:
            place = max(0, min(len(scene.view.machines) - 1, scene.machine + step))
            return (Intent("machine", place),)
        if key == "enter":
            return (Intent("page", "machine"),)
        return None


def _groups(view: ClusterView) -> list[list[MachineView]]:
    """Machines by home pool, in the order of pools."""
    groups = [[machine for machine in view.machines if machine.home == pool] for pool in range(len(POOL_WORDS))]
    return [group for group in groups if group]


def _pools(view: ClusterView) -> int:
    return len(_groups(view))


def _pool_line(group: Sequence[MachineView], scale: float) -> Line:
    pool = group[0].home_word
    busy = sum(machine.busy for machine in group)
    queued = sum(len(machine.queue) for machine in group)
    used = sum(machine.memory.total - machine.memory.free for machine in group)
    total = max(1, sum(machine.memory.total for machine in group))
    away = sum(machine.pool != machine.home for machine in group)
    down = sum(machine.down_ps != NEVER and not machine.away for machine in group)
    machines = "1 machine" if len(group) == 1 else f"{len(group)} machines"
    rest = f" {machines}, {busy} busy, {queued} queued, KV {100 * used / total:.0f} %"
    rest += f" (bars end at {100 * scale:.0f} %)" if scale < 1 else ""
    rest += f", {away} moved away" if away else ""
    line: Line = (Span(pool, pool if pool in GLYPHS else "title"), Span(rest, "dim"))
    return (*line, Span(f" {down} DOWN", "bad")) if down else line


def _grid(scene: Scene, columns: int, width: int, draw: Draw, scale: float) -> list[Line]:
    lines: list[Line] = []
    for group in _groups(scene.view):
        lines.append(_pool_line(group, scale))
        for first in range(0, len(group), columns):
            blocks = [draw(scene, machine, width, scale) for machine in group[first : first + columns]]
            for row in range(len(blocks[0])):
                spans: list[Span] = []
                for block in blocks:
                    spans += [*block[row], Span(" ")]
                lines.append(tuple(spans))
    return lines


def doing_line(scene: Scene, machine: MachineView) -> Line:
    """What its worker does: glyph, word, batch, for how long."""
    state = machine.doing
    since_ps = machine.down_ps if machine.down_ps != NEVER else machine.since_ps
    if state == "paused":
        since_ps = max(f.at_ps for f in scene.view.faults if machine.number in f.machines)
    long = age(scene.view.at_ps - since_ps)
    parts = [Span(f"{GLYPHS.get(state, '?')} {state:<8}", state)]
    if machine.prefills:
        tokens = sum(piece.tokens for piece in machine.prefills)
        parts.append(Span(f"{thousands(tokens)}t ", "prefill"))
    if machine.sequences:
        parts.append(Span(f"x{machine.sequences} ", "decode"))
    parts.append(Span(long, "dim"))
    return tuple(parts)


def memory_line(machine: MachineView, width: int, scale: float = 1.0) -> Line:
    """KV blocks stacked by reason, full at `scale` of all blocks, and how full it really is."""
    memory = machine.memory
    share = f"{100 * (memory.total - memory.free) / max(1, memory.total):4.0f}%"
    parts = (
        (float(memory.running), "█", "decode" if not machine.prefills else "prefill"),
        (float(memory.reserved), "▓", "reserved"),
        (float(memory.held - memory.pinned), "▒", "held"),
        (float(memory.pinned), "░", "pinned"),
        (float(memory.orphan), "✗", "orphan"),
    )
    return *stacked(parts, memory.total * scale, max(1, width - 5)), Span(share, "text")


def card(scene: Scene, machine: MachineView, width: int, scale: float) -> list[Line]:
    """Six lines: name and pools, what it does, queue and transfers, memory, what the router believes."""
    target = Target("machine", machine.number)
    marked = machine.number == scene.machine
    role = "title" if marked else "frame"
    away = f" →{machine.pool_word}" if machine.pool != machine.home else ""
    flags = " dead?" if machine.dead_ps != NEVER else ""
    title: Line = (
        Span(("▶" if marked else "") + machine.name, "title" if marked else "text", target),
        Span(away, "warn"),
        Span(flags, "bad"),
        *((Span(" !", "bad"),) if machine.faults else ()),
    )
    belief = machine.belief
    believed = (
        f"q {thousands(belief.tokens)}t {age(scene.view.at_ps - belief.tokens_ps)} ago"
        if belief.tokens_ps >= belief.free_ps and belief.tokens_ps != NEVER
        else f"free {thousands(belief.free_blocks)} {age(scene.view.at_ps - belief.free_ps)} ago"
        if belief.free_ps != NEVER
        else "nothing yet"
    )
    queued = f"queue {len(machine.queue)} {thousands(machine.queued_tokens)}t"
    lines: list[Line] = [
        doing_line(scene, machine),
        (
            Span(f"{queued:<13} ", "warn" if len(machine.queue) > 4 else "text"),
            Span(
                f"in {machine.incoming} out {machine.outgoing}",
                "text" if machine.incoming + machine.outgoing else "dim",
            ),
        ),
        memory_line(machine, width - 2, scale),
        (Span(cut(f"believed {believed}", width - 2), "dim"),),
    ]
    if marked and scene.clock.steered:
        title = (*title, Span(" [x]", "key", Target("key", "x")))
    return [
        tuple([Span(span.text, span.role, span.target or target) for span in line])
        for line in box(lines, width, title, role)
    ]


def slim(scene: Scene, machine: MachineView, width: int, scale: float) -> list[Line]:
    """Four lines without a frame: name, what it does, queue and transfers, memory."""
    target = Target("machine", machine.number)
    marked = machine.number == scene.machine
    wrong = machine.dead_ps != NEVER or bool(machine.faults)
    away = f" →{machine.pool_word}" if machine.pool != machine.home else ""
    name = ("▶" if marked else " ") + machine.name + away + (" !" if wrong else "")
    queued = f" q {len(machine.queue)} {thousands(machine.queued_tokens)}t"
    moving = machine.incoming + machine.outgoing
    lines: list[Line] = [
        (Span(fit(name, width), "cursor" if marked else "bad" if wrong else "title"),),
        (Span(" "), *doing_line(scene, machine)),
        (
            Span(f"{queued:<12}", "warn" if len(machine.queue) > 4 else "text" if machine.queue else "dim"),
            Span(f"in {machine.incoming} out {machine.outgoing}", "text" if moving else "dim"),
        ),
        (Span(" "), *memory_line(machine, width - 1, scale)),
    ]
    return [fit_line(tuple([Span(span.text, span.role, target) for span in line]), width) for line in lines]


def scale_of(scene: Scene) -> float:
    """The share of its blocks at which a bar is full, so that a hardly used cluster is seen too."""
    most = max((1 - machine.memory.free / max(1, machine.memory.total) for machine in scene.view.machines), default=1.0)
    return next((scale for scale in (0.05, 0.1, 0.25, 0.5) if most <= scale), 1.0)


def tile(scene: Scene, machine: MachineView, width: int, scale: float) -> list[Line]:
    """Two lines: name and what it does; memory."""
    target = Target("machine", machine.number)
    marked = machine.number == scene.machine
    state = machine.doing
    wrong = machine.dead_ps != NEVER or bool(machine.faults)
    name = ("▶" if marked else " ") + machine.name + ("!" if wrong else "")
    batch = f"{GLYPHS.get(state, '?')}{machine.sequences + len(machine.prefills) or ''}"
    queue = f" q{len(machine.queue)}" if machine.queue else ""
    label = fit(name, max(1, width - len(batch) - len(queue) - 1))
    role = "cursor" if marked else "bad" if wrong else "text"
    return [
        (
            Span(label, role, target),
            Span(" " + batch, state, target),
            Span(queue, "warn", target),
        ),
        (
            Span(" ", "text", target),
            *(Span(s.text, s.role, target) for s in memory_line(machine, width - 1, scale)),
        ),
    ]


def _chosen(scene: Scene, width: int) -> list[Line]:
    """Where there is room: the chosen machine in words, and who waits there."""
    view = scene.view
    machine = view.machines[min(scene.machine, len(view.machines) - 1)]
    lines: list[Line] = [
        (Span(f"▶ {machine.name}", "title"), Span(f"  {machine.hardware}, {machine.pool_word} pool", "dim")),
        *chain_lines(why_machine(view, machine.number), width),
        memory_line(machine, min(width, 80)),
        legend(machine),
        *belief_lines(scene, machine, width),
    ]
    here = [row for row in view.waiting() if row.machine == machine.number]
    for row in sorted(here, key=lambda row: (row.since_ps, row.request))[:6]:
        target = Target("request", row.request)
        lines.append((Span(cut(f"  {waits_for(view, row.request)}", width), "warn", target),))
    return lines


def legend(machine: MachineView) -> Line:
    """Blocks by reason, in numbers."""
    memory = machine.memory
    return (
        Span(f"█ running {memory.running:,}  ", "decode"),
        Span(f"▓ reserved {memory.reserved:,}  ", "reserved"),
        Span(f"▒ held {memory.held:,}  ", "held"),
        Span(f"░ pinned {memory.pinned:,}  ", "pinned"),
        Span(f"✗ orphan {memory.orphan:,}  ", "orphan" if memory.orphan else "dim"),
        Span(f"· free {memory.free:,} of {memory.total:,}", "dim"),
    )


def belief_lines(scene: Scene, machine: MachineView, width: int) -> list[Line]:
    """What the router believed when it last chose this machine, beside what is."""
    belief = machine.belief
    lines: list[Line] = []
    for at_ps, believed, what, now in (
        (belief.tokens_ps, belief.tokens, "queued tokens", machine.queued_tokens),
        (belief.free_ps, belief.free_blocks, "free blocks", machine.memory.free),
    ):
        if at_ps != NEVER:
            words = f"  the router believed {believed:,} {what} {age(scene.view.at_ps - at_ps)} ago; it is {now:,}"
            lines.append((Span(cut(words, width), "dim"),))
    return lines


def _heat(scene: Scene, columns: int, scale: float, cell_width: int) -> list[Line]:
    """A cell a machine: what it does, and how full and how long its queue is, as heights."""
    lines: list[Line] = []
    for group in _groups(scene.view):
        lines.append(_pool_line(group, scale))
        for first in range(0, len(group), columns):
            spans: list[Span] = [Span(f"{first:>{NUMBER - 1}} ", "dim")]
            for machine in group[first : first + columns]:
                state = machine.doing
                memory = machine.memory
                used = (memory.total - memory.free) / max(1, memory.total)
                wrong = machine.dead_ps != NEVER or machine.faults or memory.orphan
                cell = GLYPHS.get(state, "?") + "".join(span.text for span in bar(used / scale, 1))
                marked = machine.number == scene.machine
                sign = "!" if wrong else "q" if machine.queue else " "
                if cell_width == CELLS[0]:
                    cell = ("▶" if marked else " ") + cell + sign + " "
                else:
                    cell += "◀" if marked else sign
                role = "cursor" if marked else "bad" if wrong else state
                spans.append(Span(cell, role, Target("machine", machine.number)))
            lines.append(tuple(spans))
    chosen = scene.view.machines[min(scene.machine, len(scene.view.machines) - 1)]
    lines.append(
        (Span(f"▶ {chosen.name}  ", "title"), *doing_line(scene, chosen), Span("  "), *memory_line(chosen, 30))
    )
    return lines


def _lanes(scene: Scene, moving: list[LaneView], width: int, height: int) -> list[Line]:
    """Caches on their way, the oldest first: who, whence, whither, how far."""
    if height < 2:
        return []
    more = f", the oldest {height - 1}" if len(moving) > height - 1 else ""
    wait = sum(not lane.posted for lane in moving)
    waiting = f", {wait} of them before their put" if wait else ""
    lines: list[Line] = [(Span("transfers", "title"), Span(f" {len(moving)} on their way{waiting}{more}", "dim"))]
    lines += [lane_line(scene, lane, width) for lane in moving[: height - 1]]
    if not moving:
        lines.append((Span("  no cache is moving", "dim"),))
    return lines
