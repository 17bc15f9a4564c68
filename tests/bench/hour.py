"""An hour of a cluster as a record: how soon it opens, how fast any moment is there, what memory it takes.

python tests/bench/hour.py DIR [--machines 3 2] [--rate 8] [--minutes 60 15]: a record of each length is made in DIR
unless it is there. Each is opened without its index, read to its end, opened again with it, and moved to 200 drawn
moments, in a process of its own. Figures belong to the machine that they were measured on; nothing is asserted.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from emu.commands.look import open_reader
from emu.commands.screens import OPEN_S
from emu.execute import execute
from emu.scenario.load import load
from emu.view.reader import INDEX, Reader
from emu.view.survey import PS_PER_S
from tui.deck import Deck
from tui.player import Player

SCENARIO = """
name = "an-hour"
model = "llama2-70b"
machines = [
  {{pool = "prefill", hardware = "dgx-h100", count = {prefill}}},
  {{pool = "decode", hardware = "dgx-h100", count = {decode}}},
]
[workload]
synthetic = "azure-conv"
rate_rps = {rate}
duration_s = {seconds}
"""
SEEKS = 200
SIZE = (200, 50)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--machines", type=int, nargs=2, default=(3, 2))
    arguments.add_argument("--rate", type=float, default=8.0)
    arguments.add_argument("--minutes", type=int, nargs="*", default=(60, 15))
    arguments.add_argument("--look", choices=("first", "again"), help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.look:
        (first if given.look == "first" else again)(given.folder)
        return
    for minutes in given.minutes:
        folder = given.folder / f"{minutes}-minutes"
        if not folder.is_dir():
            make(folder, tuple(given.machines), given.rate, 60 * minutes)
        record = (folder / "record.jsonl").stat().st_size
        say(f"{minutes} minutes: {record / 1e6:.0f} MB")
        (folder / INDEX).unlink(missing_ok=True)
        for look in ("first", "again"):
            subprocess.run([sys.executable, __file__, str(folder), "--look", look], check=True)
        say(f"    the index has {(folder / INDEX).stat().st_size / 1e6:.1f} MB")


def make(folder: Path, machines: tuple[int, int], rate: float, seconds: int) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_suffix(".toml")
    prefill, decode = machines
    path.write_text(SCENARIO.format(prefill=prefill, decode=decode, rate=rate, seconds=seconds))
    summary = execute(load(path, (), None), folder).summary
    say(f"made {folder.name}: {summary['entries']:,} entries in {summary['cpu_s']:.0f} s of CPU")


def opened(folder: Path, how: str) -> tuple[Reader, Deck, Callable[[], str]]:
    """To the first screen; what it took since then can be asked for."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()

    def spent() -> str:
        return f"{time.perf_counter() - began_s:.2f} s ({time.process_time() - began_cpu_s:.2f} s of CPU)"

    reader = open_reader(folder)
    reader.advance(OPEN_S, PS_PER_S)
    deck = Deck(Player(reader))
    deck.draw(deck.scene(), *SIZE)
    say(f"    {how}: the first screen after {spent()}")
    return reader, deck, spent


def first(folder: Path) -> None:
    """Without an index: to the first screen, and to the end."""
    reader, _, spent = opened(folder, "first opening")
    reader.advance()
    say(f"    all of it read, and its index made, after {spent()}; {peak_mb():.0f} MB at the most")


def again(folder: Path) -> None:
    """With its index: to the first screen, and to drawn moments."""
    reader, deck, _ = opened(folder, "opened again")
    draws = random.Random("seeks")
    walls, cpus = [], []
    for _ in range(SEEKS):
        at_ps = draws.randrange(reader.front_ps)
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        deck.player.seek(at_ps)
        deck.draw(deck.scene(), *SIZE)
        walls.append(1e3 * (time.perf_counter() - wall_s))
        cpus.append(1e3 * (time.process_time() - cpu_s))
    for name, times in (("of the wall", sorted(walls)), ("of CPU", sorted(cpus))):
        say(
            f"    {SEEKS} moments, each with its screen: p50 {times[SEEKS // 2]:.0f} ms, "
            f"p99 {times[SEEKS * 99 // 100]:.0f} ms, at the most {times[-1]:.0f} ms {name}"
        )
    say(f"    {peak_mb():.0f} MB of memory at the most")


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
