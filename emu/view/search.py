"""Search: every entry about one request, found in a recording bit by bit.

A life may lie over megabytes: whoever draws reads on for some milliseconds at a time, and what was read once is not
read again. Only lines that may be about the request are decoded. What counts as being about one is `emu.view.life`'s.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from emu.record.entries import Entry, StepStarted
from emu.view.life import About
from emu.view.recording import Recording

CHUNK_BYTES: Final = 1 << 18
_STARTED: Final = b'{"entry":"StepStarted"'
_FINISHED: Final = b'{"entry":"StepFinished"'


class Search:
    """Of `request`, from byte `offset` of a recording on. `found` is in the order of the record."""

    def __init__(self, recording: Recording, request: int, offset: int) -> None:
        self.request = request
        self.start = self.offset = offset
        self.found: list[Entry] = []
        self._recording = recording
        self._about = About(request)
        number = b"%d" % request
        self._needles = tuple(mark % number for mark in (b'"request":%b,', b",%b,", b"[%b,", b",%b]", b"[%b]"))
        self._ends = b""  # how the line of the end of its prefill begins, behind its time

    def advance(self, stop: int, budget_s: float | None = None) -> bool:
        """Read on to byte `stop`, for about so long; whether more is to be read. None: all of it."""
        ends = None if budget_s is None else time.perf_counter() + budget_s
        while self.offset < stop:
            lines = self._recording.lines(self.offset, min(CHUNK_BYTES, stop - self.offset))
            if not lines:
                return False
            self.found += filter(self._about.takes, self._decoded(lines))
            self.offset += len(lines)
            if ends is not None and time.perf_counter() >= ends:
                break
        return self.offset < stop

    def _decoded(self, lines: bytes) -> Iterator[Entry]:
        """Lines that name it, and the end of the step that prefills it."""
        at = 0
        for start in (*_lines_with(lines, self._needles), len(lines)):
            if self._ends and (line := _end_of_step(lines[at:start], self._ends)):
                self._ends = b""
                yield from self._recording.decode(line, self.offset)
            at = lines.find(b"\n", start) + 1 or len(lines)
            line = lines[start:at]
            members = self._needles[1:] if line.startswith(_STARTED) else self._needles[:1]
            if line.startswith(_FINISHED) or not any(needle in line for needle in members):
                at = start
                continue
            (entry,) = self._recording.decode(line, self.offset)
            if isinstance(entry, StepStarted) and any(piece.request == self.request for piece in entry.prefills):
                self._ends = b'"machine":%d,' % entry.machine
            yield entry


def _lines_with(lines: bytes, needles: tuple[bytes, ...]) -> list[int]:
    """Where those lines begin that have any of the needles, in order: sooner found in all at once than line by line."""
    starts = set()
    for needle in needles:
        at = lines.find(needle)
        while at >= 0:
            starts.add(lines.rfind(b"\n", 0, at) + 1)
            at = lines.find(needle, at + 1)
    return sorted(starts)


def _end_of_step(lines: bytes, ends: bytes) -> bytes:
    """The first line that says so of that machine's step, or nothing."""
    at = lines.find(_FINISHED)
    while at >= 0:
        line = lines[at : lines.find(b"\n", at) + 1]
        if ends in line:
            return line
        at = lines.find(_FINISHED, at + 1)
    return b""
