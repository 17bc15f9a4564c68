"""What `--out DIR` keeps of a run, written so that DIR is either whole or not there at all.

Everything goes to DIR.partial, which takes DIR's name when the last byte is written. What the files mean is decided by
`emu.record` and `emu.scenario.write`; nothing here runs anything.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TextIO

from emu.refusal import Refusal

SCENARIO, SUMMARY, REQUESTS, RECORD = "scenario.toml", "summary.json", "requests.csv", "record.jsonl"
FILES = frozenset({SCENARIO, SUMMARY, REQUESTS, RECORD})


class Folder:
    """DIR while it is written: the run fills `record` and `requests`, `keep` adds the rest and gives DIR its name.

    Left without `keep`, or by an exception, it takes back all that it wrote. Refusal: DIR cannot be written.
    """

    record: IO[bytes]
    requests: TextIO

    def __init__(self, path: Path) -> None:
        self.path = path
        self._where = f"--out {path}"
        self._partial = path.with_name(path.name + ".partial")
        self._made: list[Path] = []  # parents that were not there, innermost first
        self._kept = False

    @staticmethod
    def check(path: Path) -> None:
        """Refuse a DIR that could not be given its name at the end, before anything is done."""
        where = f"--out {path}"
        if not path.name or path.name == "..":
            raise Refusal(where, "expected the name of a folder to make")
        try:
            there = os.listdir(path) if os.path.lexists(path) else []
        except OSError as error:
            raise Refusal(where, f"expected a folder that is not there yet; {_reason(error)}") from None
        if there:
            raise Refusal(where, f"expected a folder that is not there yet or is empty, got one that holds {there[0]}")

    def __enter__(self) -> Self:
        self.check(self.path)
        try:
            self._make_parents()
            self._remove_left_over()
            self._partial.mkdir()
            self.record = open(self._partial / RECORD, "wb")
            self.requests = open(self._partial / REQUESTS, "w", encoding="utf-8", newline="")
        except OSError as error:
            self._take_back()
            raise self._refusal(error) from None
        except BaseException:
            self._take_back()
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._kept:
            return
        for file in (self.record, self.requests):
            try:
                file.close()
            except OSError as full:  # what was still in its buffer found no room
                error = error or full
        self._take_back()
        if isinstance(error, OSError):
            raise self._refusal(error) from None

    def keep(self, scenario_toml: str, summary: Mapping[str, Any]) -> None:
        """Write the scenario and the summary, and give DIR its name. OSError becomes a Refusal on the way out."""
        (self._partial / SCENARIO).write_text(scenario_toml, encoding="utf-8")
        (self._partial / SUMMARY).write_text(summary_text(summary), encoding="utf-8")
        self.requests.close()
        self.record.close()
        self._partial.rename(self.path)
        self._kept = True

    def _make_parents(self) -> None:
        missing = [parent for parent in self.path.parents if not parent.exists()]
        for parent in reversed(missing):
            parent.mkdir()
            self._made.insert(0, parent)

    def _remove_left_over(self) -> None:
        """DIR.partial of a run that was killed, and nothing else, may be removed."""
        partial = self._partial
        if not os.path.lexists(partial):
            return
        if partial.is_symlink() or not partial.is_dir() or not set(os.listdir(partial)) <= FILES:
            raise Refusal(self._where, f"expected nothing of another's at {partial}, where the run would be written")
        _remove(partial)

    def _take_back(self) -> None:
        """Leave things as they were found, as far as can be."""
        try:
            if self._partial.is_dir() and set(os.listdir(self._partial)) <= FILES:
                _remove(self._partial)
            for parent in self._made:
                parent.rmdir()
        except OSError:
            return

    def _refusal(self, error: OSError) -> Refusal:
        return Refusal(self._where, f"expected a place to write to; {_reason(error)}")


def summary_text(summary: Mapping[str, Any]) -> str:
    """The summary as `--json` and summary.json have it."""
    return json.dumps(summary, indent=2, allow_nan=False) + "\n"


def _remove(folder: Path) -> None:
    for name in os.listdir(folder):
        (folder / name).unlink()
    folder.rmdir()


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
