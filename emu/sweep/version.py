"""Which program made a run: the version of the package and a digest of the files that decide what a run gives.

A result may be taken over from before only if the program that would make it again is the same. Screens, commands and
the search of a plan decide nothing about one run, so changing them throws no result away.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable

UNDECIDING = (
    "__main__.py",
    "calibrate",
    "cli.py",
    "commands",
    "fuzz",
    "plan",
    "screen",
    "sweep",
    "testing.py",
    "validate",
)
"""What of the package no result of a run hangs on. All else does, new parts too until they are named here."""


@lru_cache(maxsize=1)
def program_version() -> str:
    """VERSION+DIGEST. It takes a few milliseconds, once a process."""
    found = hashlib.blake2b(digest_size=8)
    for part in sorted(files("emu").iterdir(), key=lambda entry: entry.name):
        if part.name not in UNDECIDING:
            _add(part, part.name, found)
    return f"{version('emu')}+{found.hexdigest()}"


def _add(at: Traversable, name: str, found: hashlib.blake2b) -> None:
    if at.is_dir():
        if at.name != "__pycache__":
            for inner in sorted(at.iterdir(), key=lambda entry: entry.name):
                _add(inner, f"{name}/{inner.name}", found)
    else:
        content = at.read_bytes()
        found.update(f"{name} {len(content)}\n".encode())
        found.update(content)
