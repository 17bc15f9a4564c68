"""Index: snapshots of a record's states, by time, in a file beside it, so that any moment is near one.

The file is a row of frames: a head of four integers (kind or time, offset in the record, entries, length) and a
compressed body: a state as `emu.view.snapshot` packs it, or for the survey JSON. It is written while a record is read
for the first time and takes its name when all of it is there; it can be removed at any time, for the record alone is
enough. What a state holds is `emu.view.state`'s.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
import zlib
from bisect import bisect_right
from pathlib import Path
from typing import IO, Any, Final

from attrs import frozen

EVERY_ENTRIES: Final = 2048
FORMAT: Final = 2
_HEAD: Final = struct.Struct("<qqqq")
_LAST: Final = -1  # in the place of a time: the survey of the whole, and the end of the file


@frozen
class Place:
    """A snapshot: the state after `entries` entries, the next of which begins at `offset` of the record."""

    at_ps: int
    offset: int
    entries: int
    body: int  # where its body begins in the index
    length: int


class Index:
    """Snapshots in the order of their times. They are written to a file without a name until `keep`."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)

    def close(self) -> None:
        self._file.close()

    def add(self, at_ps: int, offset: int, entries: int, state: bytes) -> None:
        """A snapshot later than all others."""
        body = zlib.compress(state, 1)
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(_HEAD.pack(at_ps, offset, entries, len(body)) + body)
        self.places.append(Place(at_ps, offset, entries, start + _HEAD.size, len(body)))

    def nearest(self, at_ps: int) -> Place | None:
        """The last snapshot that is earlier than `at_ps`; entries at one instant may lie on both sides of one."""
        number = bisect_right(self.places, at_ps - 1, key=lambda place: place.at_ps)
        return self.places[number - 1] if number else None

    def after(self, at_ps: int) -> Place | None:
        """The first snapshot that is later than `at_ps`."""
        number = bisect_right(self.places, at_ps, key=lambda place: place.at_ps)
        return self.places[number] if number < len(self.places) else None

    def state(self, place: Place) -> bytes:
        """What was added there."""
        self._file.seek(place.body)
        return zlib.decompress(self._file.read(place.length))

    def keep(self, path: Path, record_bytes: int, last: dict[str, Any]) -> None:
        """Write all of it to `path`, with `last` behind. OSError: the folder cannot be written."""
        body = _pack({"format": FORMAT, **last})
        self._file.seek(0)
        draft = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            with open(draft, "wb") as file:
                shutil.copyfileobj(self._file, file)
                file.write(_HEAD.pack(_LAST, record_bytes, 0, len(body)) + body)
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    @classmethod
    def read(cls, path: Path, record_bytes: int) -> tuple[Index, dict[str, Any]] | None:
        """The index that lies at `path`, and its `last`; None where there is none for a record of that size."""
        try:
            file = open(path, "rb")  # noqa: SIM115 (the index keeps it)
        except OSError:
            return None
        places: list[Place] = []
        last: dict[str, Any] | None = None
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            at_ps, offset, entries, length = _HEAD.unpack(head)
            if at_ps == _LAST:
                last = _whole(file.read(length)) if offset == record_bytes else None
                break
            places.append(Place(at_ps, offset, entries, file.tell(), length))
            file.seek(length, os.SEEK_CUR)
        if last is None:
            file.close()
            return None
        index = cls()
        index._file.close()
        index._file, index.places = file, places
        return index, last


def _whole(body: bytes) -> dict[str, Any] | None:
    try:
        last = _unpack(body)
    except (zlib.error, ValueError):
        return None
    return last if last.get("format") == FORMAT else None


def _pack(values: dict[str, Any]) -> bytes:
    return zlib.compress(json.dumps(values, separators=(",", ":")).encode(), 1)


def _unpack(body: bytes) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(zlib.decompress(body))
    return values
