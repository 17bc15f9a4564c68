"""Reader: any moment of a record, forwards, backwards, and at its growing end.

Its front folds every entry once, as they come, and leaves snapshots behind; a cursor of its own goes wherever a moment
of the past is asked for. Both live and replay read through it. Nothing here draws, and nothing here waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

from attrs import asdict, define, fields

from emu.record.entries import Entry
from emu.record.slo import Limit
from emu.record.start import RunStarted
from emu.view import snapshot
from emu.view.cluster import ClusterView
from emu.view.freeze import freeze
from emu.view.index import EVERY_ENTRIES, Index
from emu.view.pieces import Piece, Pieces
from emu.view.recording import Recording
from emu.view.search import Search
from emu.view.state import ClusterState
from emu.view.survey import BINS, Interval, Limits, Mark, MarkView, Survey, Symptom
from emu.view.symptoms import Watcher

INDEX: Final = "record.index"


@define(eq=False)
class _Cursor:
    """A state, and the piece of the record in which its next entry stands."""

    state: ClusterState
    piece: Piece
    place: int = 0  # in the piece, of the first entry that was not folded

    @classmethod
    def at(cls, state: ClusterState, offset: int) -> _Cursor:
        """Before the entry that begins there."""
        return cls(state, Piece(offset, offset, []))

    def peek(self, pieces: Pieces) -> Entry | None:
        """The next entry; None at the end of what is written."""
        if self.place >= len(self.piece.entries):
            following = pieces.after(self.piece.end)
            if not following.entries:
                return None
            self.piece, self.place = following, 0
        return self.piece.entries[self.place]


class Reader:
    """One record. `limits` are SLOs in seconds; None: the paper's slowdowns."""

    def __init__(self, folder: Path, limits: tuple[Limit, ...] | None = None) -> None:
        self.recording = Recording(folder)
        self.survey = Survey(Limits(limits))
        started = self.recording.started
        self._pieces = Pieces(self.recording)
        self._front = ClusterState(started)
        self._read = self.recording.first_offset  # the front's place
        self._view: ClusterView | None = None  # that was asked for last
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
        return self._front.at_ps

    @property
    def over(self) -> bool:
        """Whether the record has its last entry, and it was read."""
        return self._front.over

    @property
    def read_bytes(self) -> int:
        """How many bytes of the record were read."""
        return self._read

    @property
    def read_share(self) -> float:
        """How much of what is written was read."""
        whole = self.recording.size_bytes - self.recording.first_offset
        return (self._read - self.recording.first_offset) / whole if whole else 1.0

    def advance(self, budget_s: float | None = None, until_ps: int | None = None) -> bool:
        """Read on at the front, for about so long; whether something is left to read. None: to the end."""
        ends = None if budget_s is None else time.perf_counter() + budget_s
        front = self._front
        while until_ps is None or front.at_ps <= until_ps:
            piece = self._pieces.after(self._read)
            if not piece.entries:
                return False
            self._fold(piece.entries)
            self._read = piece.end
            if self._since >= EVERY_ENTRIES:
                self._index.add(front.at_ps, self._read, front.entries, snapshot.dump(front))
                self._since = 0
            if front.over:
                self._keep()
                return False
            if ends is not None and time.perf_counter() >= ends:
                return True
        return True

    def view(self, at_ps: int) -> ClusterView:
        """The cluster after every entry up to `at_ps`, as far as the front has read."""
        state = self._front if at_ps >= self._front.at_ps else self._moment(at_ps)
        seen = self._view
        if seen is None or (seen.at_ps, seen.entries) != (max(at_ps, state.at_ps), state.entries):
            seen = self._view = freeze(state, at_ps)
        return seen

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
        entry = self._past.peek(self._pieces)
        return None if entry is None else entry[0]

    def before(self, at_ps: int, most_bytes: int | None = None) -> Iterator[Entry]:
        """The entries up to `at_ps`, the latest first; all of them, or those of about so many bytes."""
        if at_ps >= self.front_ps:
            return self._pieces.backwards(self._read, most_bytes)
        self._moment(at_ps)
        assert self._past is not None
        piece = self._past.piece
        folded = reversed(piece.entries[: self._past.place])
        return chain(folded, self._pieces.backwards(piece.start, most_bytes))

    def life(self, request: int, from_ps: int = 0) -> list[Entry]:
        """Every entry about a request from that moment on, in order; [] where there is none."""
        search = self.search(request, from_ps)
        search.advance(self.recording.size_bytes)
        return search.found

    def search(self, request: int, from_ps: int) -> Search:
        """The same, bit by bit."""
        place = self._index.nearest(from_ps)
        return Search(self.recording, request, self.recording.first_offset if place is None else place.offset)

    def stop_of(self, at_ps: int) -> int:
        """A byte behind all entries up to that moment, as far as the front has read."""
        place = self._index.after(at_ps)
        return self.read_bytes if place is None else place.offset

    def _fold(self, entries: list[Entry]) -> None:
        state, survey, watcher = self._front, self.survey, self._watcher
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
                cursor = _Cursor.at(ClusterState(self.started), self.recording.first_offset)
            else:
                cursor = _Cursor.at(snapshot.load(self.started, self._index.state(place)), place.offset)
            self._past = cursor
        while (entry := cursor.peek(self._pieces)) is not None and entry[0] <= at_ps:
            take = cursor.state.take
            for later in islice(cursor.piece.entries, cursor.place, None):
                if later[0] > at_ps:
                    break
                take(later)
                cursor.place += 1
        return cursor.state

    def _keep(self) -> None:
        """The record is whole: leave the index beside it, where that can be written."""
        folder = self.recording.folder
        if not (folder / self.recording.path.name).is_file() or not self._index.places:
            return
        front = self._front
        self._index.add(front.at_ps, self._read, front.entries, snapshot.dump(front))
        last = {"shape": _shape(), "survey": _survey_values(self.survey)}
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
        end = index.places[-1]
        self._front, self._read = snapshot.load(self.started, index.state(end)), end.offset


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
        for name in BINS:
            plain[name] = {int(number): times for number, times in plain[name].items()}
        survey.intervals.append(Interval(**plain))
    survey.marks.extend(MarkView(*mark) for mark in values["marks"])
    survey.kinds = {mark.mark for mark in survey.marks}
    survey.symptoms.extend(Symptom(*symptom) for symptom in values["symptoms"])
    survey.left_out = values["left_out"]
