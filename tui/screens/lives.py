"""One request's life as lines: a Gantt line over its machines, and the messages of its transfer."""

from __future__ import annotations

from typing import Final

from emu.record.entries import Entry
from emu.view.life import stages
from emu.view.rows import NEVER
from tui.glyphs import Line, Span, Target, age, cut
from tui.scene import Scene
from tui.screens.page import heading

LIFE_LINES: Final = 10
WHOLE_LINES: Final = 22  # where there is room: enough for each message of a life without a fault
ROLES: Final = {"prefill": "prefill", "decode": "decode", "transfer": "reserved", "ready": "held", "queued": "warn"}
_GANTT: Final = {"prefill": "█", "decode": "▆", "transfer": "═", "ready": "─", "queued": "░", "lost": "✗"}


def life_lines(
    scene: Scene, request: int, entries: list[Entry] | None, width: int, most: int = LIFE_LINES
) -> list[Line]:
    """Its phases as a Gantt line over machines, and the messages of its transfer; `entries` are its life so far."""
    if entries is None:
        return [heading(f"r{request}", "its life is being read")]
    if not entries:
        return []
    found = list(stages(entries, request))
    first_ps, last_ps = entries[0][0], max(scene.view.at_ps, entries[-1][0] + 1)
    if found and request in scene.view.requests:  # the phase under way lasts until now
        word, machine, since_ps, _ = found[-1]
        found[-1] = (word, machine, since_ps, last_ps)
    else:
        last_ps = entries[-1][0] + 1
    room = max(10, width - 14)
    lines: list[Line] = [heading(f"r{request}", f"{age(last_ps - first_ps)} from arrival; each line a machine")]
    for machine in dict.fromkeys(machine for _, machine, _, _ in found):
        cells: list[Span] = []
        reached = 0
        for word, on, since_ps, until_ps in found:
            if on != machine:
                continue
            start = (since_ps - first_ps) * room // (last_ps - first_ps)
            stop = max(start + 1, (until_ps - first_ps) * room // (last_ps - first_ps))
            start = max(start, reached)
            cells.append(Span(" " * (start - reached), "empty"))
            cells.append(Span(_GANTT.get(word, "·") * max(0, stop - start), ROLES.get(word, "dim")))
            reached = max(reached, stop)
        name = scene.view.machine_name(machine) if machine != NEVER else "router"
        lines.append((Span(f"  {cut(name, 11):<11} ", "dim"), *cells))
    words = ", ".join(f"{word} {age(until_ps - since_ps)}" for word, _, since_ps, until_ps in found)
    lines.append((Span(cut(f"  {words}", width), "text"),))
    for entry in entries[-max(1, most - len(lines)) :]:
        lines.append(
            (
                Span(f"  +{(entry[0] - first_ps) / 10**12:<10.6f} ", "dim", Target("time", entry[0])),
                Span(cut(scene.words.say(entry), width - 15), "text", Target("time", entry[0])),
            )
        )
    return lines
