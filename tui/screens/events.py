"""Events: the record as a log, the latest at the bottom; filtered by any words, tied to time and machine."""

from __future__ import annotations

from typing import Final

from emu.record.entries import Entry
from tui.glyphs import Line, Span, Target, clock, cut
from tui.scene import Intent, Scene
from tui.screens.page import LISTED, Cursor, Page, chosen, heading

_BAD: Final = ("FaultStruck", "MachineDown", "MachineDead", "AttemptLost", "LandedNowhere", "StepsCut", "Preempted")
_GOOD: Final = ("FaultHealed", "MachineUp", "MachineBack", "Committed")
_DIM: Final = ("StepStarted", "StepFinished", "Granted", "Queued")


class Events(Page):
    """Words typed behind / must all be in a line."""

    name = "events"
    hints = (("↑↓", "entry"), ("⏎", "go to its time"), ("/", "filter"), ("m", "only the machine"))
    filters = True
    keys = LISTED | {"m"}

    def __init__(self) -> None:
        self._back = Cursor()  # counted from the latest
        self._filter = ""
        self._of_machine = False

    def filtered(self, text: str) -> None:
        self._filter, self._back = text.strip().lower(), Cursor()

    def draw(self, scene: Scene, width: int, height: int) -> list[Line]:
        entries = self._entries(scene)
        wanted = [f"with '{self._filter}'"] if self._filter else []
        if self._of_machine:
            wanted.append(f"of {scene.view.machine_name(scene.machine)}")
        wanted.append(f"up to {clock(scene.view.at_ps)} s, the latest below")
        lines: list[Line] = [heading("events", " ".join(wanted))]
        rows = list(self._back.window(len(entries), height - 1))
        for number in reversed(rows):
            entry = entries[number]
            line = entry_line(scene, entry, width)
            lines.append(chosen(line, width) if number == self._back.place else line)
        if not entries:
            lines.append((Span("  nothing here; / changes the filter", "dim"),))
        return lines[:height]

    def key(self, key: str, scene: Scene) -> tuple[Intent, ...] | None:
        turned = {"up": "down", "down": "up", "pageup": "pagedown", "pagedown": "pageup"}.get(key, key)
        entries = self._entries(scene)
        if self._back.move(turned, len(entries)):
            return ()
        if key == "m":
            self._of_machine = not self._of_machine
            return ()
        if key == "enter" and entries:
            entry = entries[min(self._back.place, len(entries) - 1)]
            intents = [Intent("time", entry[0])]
            request = getattr(entry, "request", None)
            machine = getattr(entry, "machine", None)
            intents += [Intent("request", request)] if request is not None and request >= 0 else []
            intents += [Intent("machine", machine)] if machine is not None and machine >= 0 else []
            self._back = Cursor()
            return tuple(intents)
        return None

    def _entries(self, scene: Scene) -> list[Entry]:
        entries = scene.events()
        words = self._filter.split()
        if self._of_machine:
            words.append(scene.view.machine_name(scene.machine))
        if not words:
            return entries
        found = []
        for entry in entries:
            said = f"{type(entry).__name__} {scene.words.say(entry)}".lower()
            if all(word in said for word in words):
                found.append(entry)
        return found


def entry_line(scene: Scene, entry: Entry, width: int) -> Line:
    """Its time, its kind, and what it says."""
    kind = type(entry).__name__
    role = "bad" if kind in _BAD else "good" if kind in _GOOD else "dim" if kind in _DIM else "text"
    target = Target("time", entry[0])
    return (
        Span(f" {entry[0] / 10**12:13.6f} ", "dim", target),
        Span(f"{kind:<16} ", "key" if role != "bad" else "bad", target),
        Span(cut(scene.words.say(entry), max(0, width - 32)), role, target),
    )
