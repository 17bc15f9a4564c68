"""How well the fuzzer finds bugs, measured: find_planted.py hunts, and tell_planted.py writes docs/bug_finding.md.

Each planted bug is hunted with each seed, in a process of its own group of bugs, until it is found or the examples are
used up. Results are kept as lines of JSON, so that a run that was interrupted goes on where it stopped, and seeds of
one state of the code add up. The order is fixed, seed after seed with a share of the clean examples behind each, and
nothing that was found changes it: what `--minutes` cuts off is the end of that list.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, TextIO

import click

from bench.planted.planted_bugs import BUGS
from bench.planted.planting import Planting, planted
from emu.fuzz.hunt import Caught, Hunt, Limits
from emu.fuzz.keep import scenario_text
from emu.fuzz.properties import BY_NAME
from emu.fuzz.strategies import anywhere, fault_plans

CLEAN_SEEDS = 1000  # from there on, for hunts in clean code
MOST_ALARMS = 10  # kept of one hunt
NAMES = {bug.name: bug for bug in BUGS}
Result = dict[str, Any]


def hunt(name: str | None, seed: int, examples: int, faults: int, shrinks: bool, code: str) -> Result:
    """One planted bug (None: clean code), one seed, on this state of the code."""
    plans = fault_plans(faults) if faults else None
    hunting = Hunt(anywhere(plans), seed=seed, shrinks=shrinks)
    began_s = time.process_time()
    alarms: list[Result] = []
    if name is None:

        def noted(caught: Caught) -> bool:
            """What is found in clean code is written down, and the hunt goes on."""
            text = scenario_text(caught.scenario)
            alarms.append({"law": caught.finding.law, "what": caught.finding.what, "scenario": text})
            return False

        hunting.accepts = noted
        caught = hunting.go(Limits(examples=examples))
    else:
        with planted(NAMES[name]) as planting:
            hunting.accepts = lambda caught: _its_own(caught, planting)
            caught = hunting.go(Limits(examples=examples))
    tally = hunting.tally
    result: Result = {"code": code, "bug": name, "seed": seed, "faults": faults, "limit": examples}
    result["examples"] = tally.examples
    result |= {"runs": tally.runs, "requests": tally.requests, "struck": tally.struck, "pairs": len(tally.pairs)}
    result |= {"cpu_s": round(time.process_time() - began_s, 3), "found": caught is not None}
    if name is None:
        return result | {"found": bool(alarms), "alarms": alarms[:MOST_ALARMS], "alarmed": len(alarms)}
    return result | ({} if caught is None else _size(caught, shrinks))


def _its_own(caught: Caught, planting: Planting) -> bool:
    """Whether clean code passes the same case: else it is not the planted bug that was found."""
    planting.lift()
    try:
        return Hunt(anywhere(), seed=0).as_it_stands(caught.scenario, BY_NAME[caught.property]) is None
    finally:
        planting.plant()


def _size(caught: Caught, shrunk: bool) -> Result:
    scenario = caught.scenario
    found: Result = {"law": caught.finding.law, "after": caught.after_examples}
    if not shrunk:
        return found
    return found | {
        "small_requests": len(scenario.workload.requests),
        "small_machines": sum(group.count for group in scenario.machines),
        "small_faults": len(scenario.faults),
        "small_delays": len(scenario.delays),
    }


@click.command()
@click.option("--seeds", type=click.IntRange(1), default=20)
@click.option("--first-seed", type=click.IntRange(0), default=0)
@click.option("--examples", type=click.IntRange(1), default=1000)
@click.option("--faults", type=click.IntRange(0), default=2, help="In every second situation so many, at most.")
@click.option(
    "--clean",
    type=click.IntRange(0),
    default=0,
    help="So many examples in clean code, in hunts of as many as --examples says.",
)
@click.option("--jobs", type=click.IntRange(1), default=1)
@click.option(
    "--shrunk", type=click.IntRange(0), default=1, help="Findings of so many seeds, the first ones, are shrunk."
)
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=None, help="Begin no hunt after so many.")
@click.option("--bug", "only", multiple=True, type=click.Choice(sorted(NAMES)))
@click.option("--kept", type=click.Path(path_type=Path), default=Path("tests/bench/planted/results.jsonl"))
def main(
    seeds: int,
    first_seed: int,
    examples: int,
    faults: int,
    clean: int,
    jobs: int,
    shrunk: int,
    minutes: float | None,
    only: tuple[str, ...],
    kept: Path,
) -> None:
    """Hunt every planted bug with every seed, and add what came of it to the kept results."""
    code = state()
    done = {
        (line["bug"], line["seed"], line["limit"], line["faults"]) for line in read(kept) if line.get("code") == code
    }
    work: list[tuple[str | None, int, int, int]] = []
    clean_hunts, of_seeds = -(-clean // examples), range(first_seed, first_seed + seeds)
    for place, seed in enumerate(of_seeds):
        work += [(bug, seed, examples, faults) for bug in only or NAMES]
        share = range(place * clean_hunts // seeds, (place + 1) * clean_hunts // seeds)
        work += [(None, CLEAN_SEEDS + number, examples, faults) for number in share]
    work = [each for each in work if each not in done]
    until_s = None if minutes is None else time.monotonic() + 60 * minutes
    kept.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs) as pool, kept.open("a") as file:
        under_way: set[Future[Result]] = set()
        for number, each in enumerate(work, 1):
            if until_s is not None and time.monotonic() >= until_s:
                break
            under_way.add(pool.submit(hunt, *each, each[1] < shrunk, code))
            if len(under_way) >= jobs:
                done_now, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                _keep(done_now, file, f"{number} of {len(work)}")
        _keep(wait(under_way).done, file, "the last")


def _keep(hunts: Iterable[Future[Result]], file: TextIO, which: str) -> None:
    for future in hunts:
        result = future.result()
        file.write(json.dumps(result) + "\n")
        file.flush()
        sys.stderr.write(f"{which}: {result['bug']} {result.get('law', 'not found')}\n")


def state() -> str:
    """Of the code: a digest of what is hunted and of what hunts."""
    root = Path(__file__).parents[3]
    digest = hashlib.blake2b(digest_size=6)
    for path in (*sorted((root / "emu").rglob("*.py")), *sorted(Path(__file__).parent.glob("planted*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read(kept: Path) -> list[Result]:
    """All results so far."""
    return [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []


if __name__ == "__main__":
    main()
