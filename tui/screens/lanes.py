"""Lanes in lines: one cache on its way, its data plane as an arrow with its layers, its messages beside it."""

from __future__ import annotations

from typing import Final

from emu.view.cluster import counted
from emu.view.lanes import LATE, LaneView, Step, control_steps, layers_words
from emu.view.rows import NEVER
from tui.glyphs import Line, Span, Target, age, cut, fit, width_of
from tui.scene import Scene

_CUTS: Final = {"link_down": "its link is DOWN", "link_slow": "its link is slow", "nic_down": "a card of it is down"}
_STEPS: Final = {Step.LATER: ("·", "dim"), Step.NOW: ("…", "warn"), Step.DONE: ("✓", "good")}
_NAME: Final = 11
_LONGEST: Final = 40  # of an arrow
_WIDE: Final = 136  # columns from which messages are named; below, their signs stand alone


def lane_line(scene: Scene, lane: LaneView, width: int) -> Line:
    """`prefill-0 ═══▶┄┄─── decode-3 r41 ~34/80 layers 335 MB 0.2s data moves  grant ✓ signal · ack ·`."""
    view = scene.view
    what, role = _state(scene, lane)
    wide = width >= _WIDE
    layers = f"{layers_words(lane):>6}{' layers' if wide else ''}"
    data = f"{layers} {lane.posted_bytes / 1e6:>6,.0f} MB" if lane.posted else "no put yet"
    said = f" r{lane.request:<6} {data:<{23 if wide else 16}} {age(view.at_ps - lane.since_ps):>5} "
    tail = Span(said, role, Target("request", lane.request))
    words = Span(what, role, tail.target)
    steps = _control(lane, named=wide)
    room = width - 2 * (_NAME + 1) - len(tail.text) - width_of(steps) - (34 if wide else len(what) + 1)
    if wide:
        words = words._replace(text=fit(what, 32))
    way = Target("link", f"{lane.source}>{lane.target}")
    long = max(4, min(_LONGEST, room))
    line: Line = (
        Span(f"{view.machine_name(lane.source):>{_NAME}} ", "text", Target("machine", lane.source)),
        *_arrow(lane, long, role, way),
        Span(f" {view.machine_name(lane.target):<{_NAME}}", "text", Target("machine", lane.target)),
        tail,
    )
    if wide:
        return *line, words, *steps
    left = width - width_of(line) - width_of(steps) - 1
    return (*line, *steps, words._replace(text=cut(f" {what}", left))) if left > 0 else line


def _arrow(lane: LaneView, long: int, role: str, way: Target) -> Line:
    """What has landed, what has likely landed, and the rest, a character for as many layers."""
    if not lane.posted:
        return (Span("┄" * (long - 1) + "▷", "dim", way),)
    done = lane.landed * (long - 1) // lane.layers
    likely = max(done, lane.likely * (long - 1) // lane.layers)
    return (
        Span("═" * done, role, way),
        Span("╌" * (likely - done) + "▶", role, way),
        Span("─" * (long - 1 - likely), "empty", way),
    )


def _control(lane: LaneView, *, named: bool) -> Line:
    """Grant, signal, acknowledgement: done, waited for, later."""
    spans: list[Span] = []
    for word, step in control_steps(lane):
        glyph, role = _STEPS[step]
        spans.append(Span(f" {word} {glyph}" if named else glyph, role))
    return tuple(spans)


def _state(scene: Scene, lane: LaneView) -> tuple[str, str]:
    """What this cache waits for, on either plane; and its role."""
    view = scene.view
    row = view.requests.get(lane.request)
    cut_off = next((f for f in view.faults if f.kind in _CUTS and _on_way(f.machines, lane)), None)
    if lane.lost:
        return f"{counted(lane.lost, 'put')} LOST", "bad"
    if cut_off is not None and not lane.whole:
        return _CUTS[cut_off.kind], "bad"
    if lane.acknowledge is Step.NOW:
        return "not acknowledged", "bad"
    if lane.whole:
        return "landed, signal on its way", "held"
    if not lane.posted:
        if row is None or row.asked_ps == NEVER:
            return "waits for its grant", "warn"
        waiting = view.machines[lane.target].reservations
        place = f", {waiting.index(row.key) + 1} of {len(waiting)}" if row.key in waiting else ""
        return f"waits for {row.wants_blocks} blocks{place}", "warn"
    if lane.late > LATE:
        return f"LATE: {lane.late:.1f} times as usual", "warn"
    if row is not None and row.first_token_ps == NEVER:
        return "follows its prefill", "prefill"
    return "data moves", "reserved"


def _on_way(machines: tuple[int, ...], lane: LaneView) -> bool:
    return bool(machines) and set(machines) <= {lane.source, lane.target}
