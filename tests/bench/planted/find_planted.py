"""How well the fuzzer finds bugs, measured: find_planted.py hunts, and tell_planted.py writes docs/bug_finding.md.

Each planted bug is hunted with each seed, in a process of its own group of bugs, until it is found or the examples are
used up. Results are kept as lines of JSON, so that a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

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


def hunt(name: str | None, seed: int, examples: int, faults: int) -> Result:
    """One planted bug (None: clean code), one seed."""
    plans = fault_plans(faults) if faults else None
    hunting = Hunt(anywhere(plans), seed=seed)
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
    result: Result = {"bug": name, "seed": seed, "faults": faults, "limit": examples, "examples": tally.examples}
    result |= {"runs": tally.runs, "requests": tally.requests, "struck": tally.struck, "pairs": len(tally.pairs)}
    result |= {"cpu_s": round(time.process_time() - began_s, 3), "found": caught is not None}
    if name is None:
        return result | {"found": bool(alarms), "alarms": alarms[:MOST_ALARMS], "alarmed": len(alarms)}
    return result | ({} if caught is None else _size(caught))


def _its_own(caught: Caught, planting: Planting) -> bool:
    """Whether clean code passes the same case: else it is not the planted bug that was found."""
    planting.lift()
    try:
        return Hunt(anywhere(), seed=0).as_it_stands(caught.scenario, BY_NAME[caught.property]) is None
    finally:
        planting.plant()


def _size(caught: Caught) -> Result:
    scenario = caught.scenario
    return {
        "law": caught.finding.law,
        "after": caught.after_examples,
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
@click.option("--bug", "only", multiple=True, type=click.Choice(sorted(NAMES)))
@click.option("--kept", type=click.Path(path_type=Path), default=Path("tests/bench/planted/results.jsonl"))
def main(
    seeds: int,
    first_seed: int,
    examples: int,
    faults: int,
    clean: int,
    jobs: int,
    only: tuple[str, ...],
    kept: Path,
) -> None:
    """Hunt every planted bug with every seed, and add what came of it to the kept results."""
    done = {(line["bug"], line["seed"], line["faults"], line["limit"]) for line in read(kept)}
    work: list[tuple[str | None, int, int, int]] = []
    for seed in range(first_seed, first_seed + seeds):
        work += [(bug, seed, examples, faults) for bug in only or NAMES]
    clean_hunts = -(-clean // examples)
    work += [(None, CLEAN_SEEDS + seed, examples, faults) for seed in range(clean_hunts)]
    work = [each for each in work if (each[0], each[1], each[3], each[2]) not in done]
    kept.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs) as pool, kept.open("a") as file:
        hunts = [pool.submit(hunt, *each) for each in work]
        for number, future in enumerate(as_completed(hunts), 1):
            result = future.result()
            file.write(json.dumps(result) + "\n")
            file.flush()
            sys.stderr.write(f"{number} of {len(work)}: {result['bug']} {result.get('law', 'not found')}\n")


def read(kept: Path) -> list[Result]:
    """All results so far."""
    return [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []


if __name__ == "__main__":
    main()
