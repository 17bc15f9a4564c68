"""Recording: a record on disk, whole or still being written, read in pieces of whole lines.

Who writes it may be another process: what has no line feed yet is not there yet. What entries mean is folded elsewhere.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from emu.record.bulk import decode_bulk
from emu.record.entries import Entry
from emu.record.start import RunStarted
from emu.refusal import Refusal

RECORD: Final = "record.jsonl"
PIECE_BYTES: Final = 1 << 16
_LONGEST_LINE: Final = 1 << 24


class Recording:
    """The record of `folder`, or of its `.partial` while the run goes on. Refusal: there is none, or it is not one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = _find(folder)
        try:
            self._file = open(self.path, "rb")  # noqa: SIM115 (closed by `close`)
        except OSError as error:
            raise Refusal(str(self.path), f"expected a record to read; {error.strerror}") from None
        first = self._file.readline(_LONGEST_LINE)
        if not first.endswith(b"\n"):
            self._file.close()
            raise Refusal(str(self.path), "expected a record, and found no whole first line; is the run starting?")
        try:
            self.started = RunStarted.of_line(first.decode())
        except (ValueError, TypeError, KeyError):
            self._file.close()
            raise Refusal(f"{self.path}, row 1", "expected RunStarted, the first entry of a record") from None
        self.first_offset = len(first)

    def close(self) -> None:
        self._file.close()

    @property
    def size_bytes(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def read(self, offset: int, most_bytes: int = PIECE_BYTES) -> tuple[list[Entry], int]:
        """The entries of the whole lines from `offset` on, about `most_bytes` of them, and the offset behind them."""
        lines = self.lines(offset, most_bytes)
        return self.decode(lines, offset), offset + len(lines)

    def before(self, offset: int, most_bytes: int = PIECE_BYTES) -> tuple[list[Entry], int]:
        """The entries of the last whole lines that end at `offset` or before it, and the offset where they begin."""
        start = max(self.first_offset, offset - most_bytes)
        self._file.seek(start)
        piece = self._file.read(offset - start)
        if start > self.first_offset:
            cut = piece.find(b"\n") + 1
            start, piece = start + cut, piece[cut:]
        return self.decode(piece, start), start

    def lines(self, offset: int, most_bytes: int) -> bytes:
        """Whole lines from `offset` on, about so many bytes of them."""
        self._file.seek(offset)
        piece = self._file.read(most_bytes)
        end = piece.rfind(b"\n") + 1
        while not end and len(piece) >= most_bytes:
            most_bytes *= 4
            piece += self._file.read(most_bytes - len(piece))
            end = piece.rfind(b"\n") + 1
        return piece[:end]

    def decode(self, lines: bytes, offset: int) -> list[Entry]:
        """The entries of lines that came from about there. Refusal: they are none."""
        if not lines:
            return []
        try:
            return decode_bulk(lines)
        except (ValueError, TypeError) as error:
            raise Refusal(f"{self.path}, byte {offset}", f"expected lines of a record; {error}") from None


def _find(folder: Path) -> Path:
    partial = folder.with_name(folder.name + ".partial")
    for place in (folder / RECORD, partial / RECORD):
        if place.is_file():
            return place
    if not folder.is_dir() and not partial.is_dir():
        raise Refusal(str(folder), "expected a folder that emu run --out made; there is none")
    raise Refusal(str(folder), f"expected a folder with {RECORD} in it, as emu run --out makes")
