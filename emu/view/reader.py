"""Reader: any moment of a record, forwards, backwards, and at its growing end.

Its front folds every entry once, as they come, and leaves snapshots behind; a cursor of its own goes wherever a moment
of the past is asked for. Both live and replay read through it. Nothing here draws, and nothing here waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from attrs import asdict, define, field, fields

from emu.record.entries import Entry, StepStarted
from emu.record.slo import Limit
from emu.record.start import RunStarted
from emu.view import snapshot
from emu.view.cluster import ClusterView
from emu.view.freeze import freeze
from emu.view.index import EVERY_ENTRIES, Index
from emu.view.life import about
from emu.view.recording import PIECE_BYTES, Recording
from emu.view.state import ClusterState
from emu.view.survey import Interval, Limits, Mark, MarkView, Survey, Symptom
from emu.view.symptoms import Watcher

INDEX: Final = "record.index"
_STARTED: Final = b'{"entry":"StepStarted"'
_FINISHED: Final = b'{"entry":"StepFinished"'


@define(eq=False)
class _Cursor:
    """A state, and the entries behind it that were read and not folded yet."""

    state: ClusterState
    offset: int  # of the first byte that was not read
    pending: list[Entry] = field(factory=list)
    place: int = 0  # in `pending`

    def peek(self, recording: Recording) -> Entry | None:
        """The next entry; None at the end of what is written."""
        if self.place >= len(self.pending):
            self.pending, self.offset = recording.read(self.offset)
            self.place = 0
        return self.pending[self.place] if self.pending else None


class Reader:
    """One record. `limits` are SLOs in seconds; None: the paper's slowdowns."""

    def __init__(self, folder: Path, limits: tuple[Limit, ...] | None = None) -> None:
        self.recording = Recording(folder)
        self.survey = Survey(Limits(limits))
        started = self.recording.started
        self._front = _Cursor(ClusterState(started), self.recording.first_offset)
        self._past: _Cursor | None = None
        self._watcher = Watcher(self.survey)
        self._index = Index()
        self._since = 0  # entries folded since the last snapshot
        self._restore()

    def close(self) -> None:
        self.recording.close()
        self._index.close()

    @property
    def started(self) -> RunStarted:
        return self.recording.started

    @property
    def front_ps(self) -> int:
        """The time of the last entry that was read."""
        return self._front.state.at_ps

    @property
    def over(self) -> bool:
        """Whether the record has its last entry, and it was read."""
        return self._front.state.over

    @property
    def read_bytes(self) -> int:
        """How many bytes of the record were read."""
        return self._front.offset

    @property
    def read_share(self) -> float:
        """How much of what is written was read."""
        whole = self.recording.size_bytes - self.recording.first_offset
        return (self._front.offset - self.recording.first_offset) / whole if whole else 1.0

    def advance(self, budget_s: float | None = None, until_ps: int | None = None) -> bool:
        """Read on at the front, for about so long; whether something is left to read. None: to the end."""
        ends = None if budget_s is None else time.perf_counter() + budget_s
        front = self._front
        while until_ps is None or front.state.at_ps <= until_ps:
            entries, offset = self.recording.read(front.offset)
            if not entries:
                return False
            self._fold(entries)
            front.offset = offset
            if self._since >= EVERY_ENTRIES:
                self._index.add(front.state.at_ps, offset, front.state.entries, snapshot.dump(front.state))
                self._since = 0
            if front.state.over:
                self._keep()
                return False
            if ends is not None and time.perf_counter() >= ends:
                return True
        return True

    def view(self, at_ps: int) -> ClusterView:
        """The cluster after every entry up to `at_ps`, as far as the front has read."""
        front = self._front.state
        return freeze(front if at_ps >= front.at_ps else self._moment(at_ps), at_ps)

    def run_on(self, from_ps: int, to_ps: int, budget_s: float) -> int:
        """Move the moment from one time towards another for about so long; how far it came, at least one entry."""
        if from_ps >= self.front_ps:
            return to_ps
        ends = time.perf_counter() + budget_s
        step_ps = max(1, (to_ps - from_ps) // 16)
        while from_ps < to_ps:
            from_ps = min(to_ps, from_ps + step_ps)
            self._moment(from_ps)
            if time.perf_counter() >= ends:
                break
        return from_ps

    def next_ps(self, at_ps: int) -> int | None:
        """The time of the first entry after `at_ps`; None where none is written yet."""
        if at_ps >= self.front_ps:
            return None
        self._moment(at_ps)
        assert self._past is not None
        entry = self._past.peek(self.recording)
        return None if entry is None else entry[0]

    def before(self, at_ps: int, most_bytes: int = PIECE_BYTES) -> Iterator[Entry]:
        """The entries up to `at_ps`, the latest first, from about the last `most_bytes` before it."""
        cursor = self._front
        if at_ps < self.front_ps:
            self._moment(at_ps)
            assert self._past is not None
            cursor = self._past
        entries, _ = self.recording.before(cursor.offset, most_bytes)
        return (entry for entry in reversed(entries) if entry[0] <= at_ps)

    def life(self, request: int, from_ps: int = 0, to_ps: int | None = None) -> list[Entry]:
        """Every entry about a request in that span, in order; [] where there is none. Without one, the whole record."""
        place = self._index.nearest(from_ps)
        start = self.recording.first_offset if place is None else place.offset
        last = None if to_ps is None else self._index.after(to_ps)
        stop = self.recording.size_bytes if last is None else last.offset
        return list(about(self._entries_about(start, stop, request), request))

    def _entries_about(self, offset: int, stop: int, request: int) -> Iterator[Entry]:
        """Only lines that may be about it are decoded: those that name it, and the end of the step that prefills it."""
        number = b"%d" % request
        needles = tuple(mark % number for mark in (b'"request":%b,', b",%b,", b"[%b,", b",%b]", b"[%b]"))
        ends = b""  # how the line of that step's end begins, behind its time
        while offset < stop:
            lines = self.recording.lines(offset, min(1 << 20, stop - offset))
            if not lines:
                return
            at = 0
            for start in (*_lines_with(lines, needles), len(lines)):
                if ends and (line := _end_of_step(lines[at:start], ends)):
                    yield from self.recording.decode(line, offset)
                    ends = b""
                at = lines.find(b"\n", start) + 1 or len(lines)
                line = lines[start:at]
                members = needles[1:] if line.startswith(_STARTED) else needles[:1]
                if line.startswith(_FINISHED) or not any(needle in line for needle in members):
                    at = start
                    continue
                (entry,) = self.recording.decode(line, offset)
                if isinstance(entry, StepStarted) and any(piece.request == request for piece in entry.prefills):
                    ends = b'"machine":%d,' % entry.machine
                yield entry
            offset += len(lines)

    def _fold(self, entries: list[Entry]) -> None:
        state, survey, watcher = self._front.state, self.survey, self._watcher
        for entry in entries:
            if entry[0] >= watcher.next_ps:
                watcher.look(state)
            state.take(entry)
            survey.take(entry, state)
        self._since += len(entries)

    def _moment(self, at_ps: int) -> ClusterState:
        cursor = self._past
        place = self._index.nearest(at_ps)
        entries = 0 if place is None else place.entries
        if cursor is None or cursor.state.at_ps > at_ps or cursor.state.entries < entries:
            if place is None:
                cursor = _Cursor(ClusterState(self.started), self.recording.first_offset)
            else:
                state = snapshot.load(self.started, self._index.state(place))
                cursor = _Cursor(state, place.offset)
            self._past = cursor
        while (entry := cursor.peek(self.recording)) is not None and entry[0] <= at_ps:
            for later in islice(cursor.pending, cursor.place, None):
                if later[0] > at_ps:
                    break
                cursor.state.take(later)
                cursor.place += 1
        return cursor.state

    def _keep(self) -> None:
        """The record is whole: leave the index beside it, where that can be written."""
        folder = self.recording.folder
        if not (folder / self.recording.path.name).is_file() or not self._index.places:
            return
        last = {"shape": _shape(), "survey": _survey_values(self.survey), "front": snapshot.dump(self._front.state)}
        try:
            self._index.keep(folder / INDEX, self.recording.size_bytes, last)
        except OSError:
            return  # a folder that cannot be written is read without

    def _restore(self) -> None:
        found = Index.read(self.recording.folder / INDEX, self.recording.size_bytes)
        if found is None:
            return
        index, last = found
        if last.get("shape") != _shape():
            index.close()
            return
        self._index.close()
        self._index = index
        _restore_survey(self.survey, last["survey"])
        self._front = _Cursor(snapshot.load(self.started, last["front"]), self.recording.size_bytes)


def _shape() -> str:
    kept = ",".join(field.name for field in fields(Interval))
    return f"{snapshot.SHAPE};{kept};{','.join(mark.name for mark in Mark)};{','.join(Symptom._fields)}"


def _survey_values(survey: Survey) -> dict[str, Any]:
    return {
        "interval_ps": survey.interval_ps,
        "intervals": [asdict(interval) for interval in survey.intervals],
        "marks": survey.marks,
        "symptoms": survey.symptoms,
        "left_out": survey.left_out,
    }


def _restore_survey(survey: Survey, values: dict[str, Any]) -> None:
    survey.interval_ps = values["interval_ps"]
    for plain in values["intervals"]:
        for name in ("ttft", "tpot"):
            plain[name] = {int(number): times for number, times in plain[name].items()}
        survey.intervals.append(Interval(**plain))
    survey.marks.extend(MarkView(*mark) for mark in values["marks"])
    survey.kinds = {mark.mark for mark in survey.marks}
    survey.symptoms.extend(Symptom(*symptom) for symptom in values["symptoms"])
    survey.left_out = values["left_out"]


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
