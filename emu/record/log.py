"""Log: the record as it is written. Every entry goes to the folds that want it, to the digest, and to a file if any.

The digest is BLAKE2b-128 over the canonical lines behind the first one, so that `tail -n +2 record.jsonl | b2sum -l
128` prints it. Entries are encoded in bulk. What entries mean must stay out of here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, Final, Protocol

from emu.record.entries import KINDS, Entry
from emu.record.lines import ENCODERS


class Fold(Protocol):
    """Whatever reads entries as they come: `handlers` maps each kind that it wants to what takes one."""

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]: ...


_BULK: Final = 2048  # entries encoded at once


class Log:
    """A record under way; `first_line` (RunStarted) is written to `file` and kept out of the digest."""

    def __init__(self, folds: Sequence[Fold] = (), file: IO[bytes] | None = None, first_line: str = "") -> None:
        self._readers: dict[type, tuple[Callable[[Any], None], ...]] = {
            kind: tuple(fold.handlers[kind] for fold in folds if kind in fold.handlers) for kind in KINDS
        }
        self._file = file
        self._hash = hashlib.blake2b(digest_size=16)
        self._waiting: list[Entry] = []
        self.entries = 0
        if file is not None:
            file.write(first_line.encode())

    def write(self, entry: Entry) -> None:
        """Take the next entry; entries come in the order of their times."""
        for read in self._readers[type(entry)]:
            read(entry)
        waiting = self._waiting
        waiting.append(entry)
        if len(waiting) >= _BULK:
            self._flush()

    @property
    def written(self) -> int:
        """Entries so far, those that wait to be encoded among them."""
        return self.entries + len(self._waiting)

    def flush(self) -> None:
        """What was written so far is in the file, for those who read it while it grows."""
        self._flush()
        if self._file is not None:
            self._file.flush()

    def digest(self) -> str:
        """The digest of all entries so far, in hexadecimal."""
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        lines = "".join([ENCODERS[type(entry)](entry) for entry in self._waiting]).encode()
        self.entries += len(self._waiting)
        self._waiting.clear()
        self._hash.update(lines)
        if self._file is not None:
            self._file.write(lines)
