"""Pieces: a recording in decoded pieces, of which those that were used last are kept.

The front of a reader, a moment of its past and the events before a playhead are mostly near one another: what one of
them has decoded the others need not decode again. What is kept is bounded. Which bytes a piece has is `recording`'s.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, NamedTuple

from emu.record.entries import Entry
from emu.view.recording import PIECE_BYTES, Recording

MOST_ENTRIES: Final = 1 << 14


class Piece(NamedTuple):
    """The entries of the whole lines from byte `start` to byte `end`."""

    start: int
    end: int
    entries: list[Entry]


class Pieces:
    """Of one recording."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._kept: OrderedDict[int, Piece] = OrderedDict()  # by where they start, the last used behind
        self._ending: dict[int, int] = {}  # where those start, by where they end
        self._entries = 0

    def after(self, offset: int) -> Piece:
        """The next one; without entries at the end of what is written. Refusal: what stands there is no record."""
        piece = self._kept.get(offset)
        if piece is None:
            entries, end = self._recording.read(offset)
            return self._keep(Piece(offset, end, entries))
        self._kept.move_to_end(offset)
        return piece

    def backwards(self, offset: int, most_bytes: int | None = None) -> Iterator[Entry]:
        """The entries before that byte, the latest first; those of about the last `most_bytes`, or all of them."""
        least = 0 if most_bytes is None else offset - most_bytes
        while offset > max(least, self._recording.first_offset):
            piece = self._before(offset)
            yield from reversed(piece.entries)
            offset = piece.start

    def _before(self, offset: int) -> Piece:
        start = self._ending.get(offset)
        if start is not None:
            self._kept.move_to_end(start)
            return self._kept[start]
        most_bytes = PIECE_BYTES
        entries, start = self._recording.before(offset, most_bytes)
        while not entries:  # a line that is longer than that
            most_bytes *= 4
            entries, start = self._recording.before(offset, most_bytes)
        return self._keep(Piece(start, offset, entries))

    def _keep(self, piece: Piece) -> Piece:
        if not piece.entries:
            return piece
        there = self._kept.pop(piece.start, None)
        if there is not None:
            self._forget(there)
        self._kept[piece.start] = piece
        self._ending[piece.end] = piece.start
        self._entries += len(piece.entries)
        while self._entries > MOST_ENTRIES and len(self._kept) > 1:
            self._forget(self._kept.popitem(last=False)[1])
        return piece

    def _forget(self, piece: Piece) -> None:
        self._entries -= len(piece.entries)
        if self._ending.get(piece.end) == piece.start:
            del self._ending[piece.end]
