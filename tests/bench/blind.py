"""Ten incidents for somebody who has seen neither them nor the code: python tests/bench/blind.py SEED FOLDER.

Five are drawn (kind, machine or link, time, length and load; drawn again until a request misses its SLOs), five are of
the museum, each with its mistake; all are shuffled. From each record everything goes that only the emulated world knows
of a fault: its strike, its heal, crashes, starts, and the steps that a crash cut. What is left is opened at the first
SLO miss, as `emu replay --miss` does, or where nobody missed one at the first broken law, or else at the first mark, at
200x50 and at 80x24; then five keys are pressed: 2 5 8 4 6. FOLDER/NN.txt is what was seen, FOLDER/truth.json what it
was.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from pathlib import Path
from typing import Any

from emu.commands.screens import open_deck
from emu.execute import execute
from emu.refusal import Refusal
from emu.scenario.load import load
from emu.view.incident import first_miss
from tui.deck import Deck
from tui.glyphs import plain

MUSEUM = Path(__file__).parents[2] / "scenarios" / "museum"
TOLD_BY_THE_WORLD = (
    "FaultStruck",
    "FaultHealed",
    "MachineCrashed",
    "MachineStarted",
    "MachineLeft",
    "StepsCut",
    "RouterGone",
    "RouterStarted",
)
SIZES = ((200, 50), (80, 24))
KEYS = ("2", "5", "8", "4", "6")
DRAWN: tuple[dict[str, Any], ...] = (
    {"kind": "crash"},
    {"kind": "pause", "heal_after_s": 12.0},
    {"kind": "hang", "heal_after_s": 12.0},
    {"kind": "slow", "factor": 6.0},
    {"kind": "drain"},
    {"kind": "restart", "startup_s": 8.0},
    {"kind": "link_down", "plane": "data", "heal_after_s": 15.0},
    {"kind": "link_slow", "factor": 200.0},
    {"kind": "stale_report", "heal_after_s": 20.0},
    {"kind": "nic_down"},
    {"kind": "post_fail", "count": 30},
)
ON_LINKS = ("link_down", "link_slow", "post_fail")
CLUSTER = """
name = "drawn"
model = "llama2-70b"
seed = {seed}
machines = [
  {{pool = "prefill", hardware = "dgx-h100", count = {prefill}}},
  {{pool = "decode", hardware = "dgx-h100", count = {decode}}},
]
[workload]
synthetic = "azure-conv"
rate_rps = {rate}
duration_s = 30.0
[[faults]]
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("seed")
    arguments.add_argument("folder", type=Path)
    given = arguments.parse_args()
    draws = random.Random(f"{given.seed}/blind")
    room = given.folder / "runs"
    room.mkdir(parents=True)
    kinds = draws.sample(DRAWN, len(DRAWN))
    found: list[tuple[Path, dict[str, Any]]] = []
    while len(found) < 5:
        made = drawn(draws, kinds.pop(), room / f"drawn-{len(found)}")
        if made is not None:
            found.append(made)
    museum = sorted(path for path in MUSEUM.glob("*.toml"))
    found += [of_the_museum(path, room / path.stem) for path in draws.sample(museum, 5)]
    draws.shuffle(found)
    truth = {}
    for number, (folder, was) in enumerate(found, 1):
        blind(folder, f"incident-{number:02}")
        (given.folder / f"{number:02}.txt").write_text(captures(folder), encoding="utf-8")
        truth[f"{number:02}"] = was
    (given.folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")


def drawn(draws: random.Random, fault: dict[str, Any], folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """A run in which this fault makes a request miss its SLOs; None where twelve draws did not."""
    for _ in range(12):
        prefill, decode = draws.randint(3, 6), draws.randint(2, 4)
        source, target = f"prefill-{draws.randrange(prefill)}", f"decode-{draws.randrange(decode)}"
        ends: dict[str, Any] = {"machine": draws.choice((source, target))}
        if fault["kind"] in ON_LINKS:
            ends = {"machines": [source, target]}
        at_s = round(draws.uniform(8.0, 15.0), 3)
        values = {"at_s": at_s, **fault, **ends}
        rate = round(draws.uniform(2.0, 3.5) * min(prefill, 2 * decode), 1)
        text = CLUSTER.format(seed=draws.randrange(10_000), prefill=prefill, decode=decode, rate=rate)
        text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        path = folder.with_suffix(".toml")
        path.write_text(text)
        execute(load(path, (), None), folder)
        deck = open_deck(folder)
        miss = first_miss(deck.player.reader.survey)
        deck.player.reader.close()
        if miss is not None and miss.at_ps > at_s * 10**12:
            return folder, {"of": "drawn", "fault": values, "scenario": text}
        shutil.rmtree(folder)
    return None


def of_the_museum(path: Path, folder: Path) -> tuple[Path, dict[str, Any]]:
    """With the mistake that its comment names."""
    line = next(line for line in path.read_text().splitlines() if line.startswith("# The mistake:"))
    mistake = line.split("--set ")[1].split()[0]
    scenario = load(path, (mistake,), None)
    execute(scenario, folder)
    faults = [{"kind": fault.kind, "machine": fault.machine, "machines": fault.machines} for fault in scenario.faults]
    return folder, {"of": path.stem, "mistake": mistake, "faults": faults}


def blind(folder: Path, name: str) -> None:
    """What only the world knows goes out of the record, and the names out of what is beside it."""
    record = folder / "record.jsonl"
    first, *lines = record.read_text().splitlines(keepends=True)
    started = {**json.loads(first), "name": name}
    hidden = tuple(f'{{"entry":"{kind}"' for kind in TOLD_BY_THE_WORLD)
    record.write_text(json.dumps(started) + "\n" + "".join(line for line in lines if not line.startswith(hidden)))
    for kept in ("scenario.toml", "record.index", "requests.csv"):
        (folder / kept).unlink(missing_ok=True)


def captures(folder: Path) -> str:
    """What is seen at both sizes, as opened and after each key."""
    said: list[str] = []
    for width, height in SIZES:
        deck, where = opened(folder)
        said.append(f"=== {width}x{height}, opened at {where}")
        said.append(plain(deck.draw(deck.scene(), width, height)))
        for key in KEYS:
            deck.open(deck.page_of(key))
            said.append(f"--- key {key}")
            said.append(plain(deck.draw(deck.scene(), width, height)))
        deck.player.reader.close()
    return "\n".join(said) + "\n"


def opened(folder: Path) -> tuple[Deck, str]:
    try:
        return open_deck(folder, miss=True), "the first SLO miss"
    except Refusal:
        pass
    try:
        return open_deck(folder, law=1), "the first broken law, since no request missed its SLOs"
    except Refusal:
        pass
    deck = open_deck(folder)
    mark = deck.player.to_mark(True, deck.player.reader.survey.marks)
    return deck, "its end, since nothing is marked" if mark is None else "the first mark"


if __name__ == "__main__":
    main()
