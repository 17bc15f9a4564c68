"""Kept runs for the tests of the cockpit: made once a session, read by many."""

import atexit
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from command_runs import HELLO

from emu.cli import status_of
from emu.commands.look import open_reader
from emu.view.reader import Reader
from tui.deck import Deck
from tui.player import Player

FAULTY = """
name = "faulty"
model = "llama2-70b"
machines = [
  {pool = "prefill", hardware = "dgx-h100", count = 2},
  {pool = "decode", hardware = "dgx-h100", count = 2},
]
[workload]
synthetic = "azure-conv"
rate_rps = 6.0
duration_s = 12.0
[[faults]]
at_s = 4.0
kind = "pause"
machine = "decode-1"
heal_after_s = 3.0
[[faults]]
at_s = 6.0
kind = "link_down"
machines = ["prefill-0", "decode-0"]
plane = "data"
heal_after_s = 4.0
"""


@cache
def _room() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="emu-tests-")


@cache
def hello() -> Path:
    """scenarios/hello.toml."""
    folder = Path(_room().name) / "hello"
    assert status_of(["run", str(HELLO), "--out", str(folder), "--quiet"]) == 0
    return folder


@cache
def faulty() -> Path:
    """Two machines a pool; one is paused, then a link is cut. Whether laws hold is not asked."""
    file = Path(_room().name) / "faulty.toml"
    file.write_text(FAULTY)
    folder = Path(_room().name) / "faulty"
    assert status_of(["run", str(file), "--out", str(folder), "--quiet"]) in (0, 1)
    return folder


def reader_of(folder: Path) -> Reader:
    """Read to the end; closed when all tests are over."""
    reader = open_reader(folder)
    reader.advance()
    atexit.register(reader.close)
    return reader


def deck_of(folder: Path, at_s: float) -> Deck:
    """At a moment."""
    return Deck(Player(reader_of(folder), round(at_s * 10**12)))
