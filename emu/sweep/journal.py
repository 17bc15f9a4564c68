"""What has been made so far, kept line by line as it comes, so that nothing finished is ever lost or made twice.

One JSON line a run, written whole and flushed; a line cut short by a kill is dropped when the journal is opened again.
One process at a time may write. What the results mean is not known here.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from emu.refusal import Refusal

JOURNAL = "journal.jsonl"


class Journal:
    """Results by key. Without a folder they are kept in memory alone."""

    def __init__(self, folder: Path | None) -> None:
        self.results: dict[str, dict[str, Any]] = {}
        self._path = None if folder is None else folder / JOURNAL
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open(self._path, "a+b")
                self._read(self._path, self._file)
            except OSError as error:
                raise Refusal(f"--out {self._path.parent}", f"expected a place to write to; {error.strerror}") from None
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, key: str, result: dict[str, Any]) -> None:
        """Keep a result at once; it survives whatever happens to this process next."""
        self.results[key] = result
        if self._file is not None:
            self._file.write(json.dumps({"key": key, **result}, allow_nan=False).encode() + b"\n")
            self._file.flush()

    def _read(self, path: Path, file: IO[bytes]) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise Refusal(f"--out {path.parent}", "expected a folder that no other process is filling") from None
        file.seek(0)
        whole = 0
        for line in file:
            try:
                kept = json.loads(line)
                key = kept.pop("key")
            except (ValueError, KeyError, AttributeError, TypeError):
                if not line.endswith(b"\n"):
                    break
                file.close()
                raise Refusal(str(path), "expected the journal of a sweep, got a line that is none") from None
            whole += len(line)
            if "failure" not in kept:  # what failed is to be tried again
                self.results[key] = kept
        if whole < os.path.getsize(path):
            file.truncate(whole)


def check_folder(folder: Path, ours: frozenset[str]) -> None:
    """Refuse a folder that holds something that is not `ours`, before anything is done."""
    where = f"--out {folder}"
    try:
        there = set(os.listdir(folder)) if os.path.lexists(folder) else set()
    except OSError as error:
        raise Refusal(where, f"expected a folder; {error.strerror}") from None
    if others := there - ours:
        raise Refusal(where, f"expected a new folder or one of this command's own, got one that holds {min(others)}")
