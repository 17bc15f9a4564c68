"""`python -m bench [NAME ...] [--long]`: measure, keep the figures in docs/performance.json, and write both pages.

Only what is named is measured again; without names, everything. `--long` adds the run of a million requests.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import inside, paced, pages, runs
from bench.cases import SHARED
from bench.child import CHECKOUT
from bench.runs import Figures

KEPT = CHECKOUT / "docs" / "performance.json"
LENGTHS = (10_000, 100_000)
LONG = (*LENGTHS, 1_000_000)
NEEDS_TRACES = ("reference", "mooncake", "floor")


def main(arguments: list[str]) -> int:
    long = "--long" in arguments
    names = [argument for argument in arguments if argument != "--long"]
    benchmarks: dict[str, Callable[[Path], Figures]] = {
        "reference": runs.reference,
        "mooncake": runs.mooncake,
        "machines": runs.machines,
        "length": lambda folder: runs.length(folder, LONG if long else LENGTHS),
        "huge": runs.huge,
        "floor": inside.floor,
        "startup": runs.startup,
        "small": inside.small,
        "routing": inside.routing,
        "paced": paced.paced,
    }
    unknown = [name for name in names if name not in benchmarks]
    if unknown:
        _say(f"unknown benchmark {unknown[0]}; there are {', '.join(benchmarks)}")
        return 2
    kept: Figures = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    for name in names or benchmarks:
        if name in NEEDS_TRACES and not SHARED.exists():
            _say(f"{name}: left out, its trace is not in {SHARED}")
            continue
        with inside.scratch() as folder:
            _say(f"{name} ...")
            kept[name] = {**kept.get(name, {}), **benchmarks[name](Path(folder)), "measured": _when()}
        KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    pages.write(kept, CHECKOUT / "docs")
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _when() -> str:
    load = f"load {os.getloadavg()[1]:.0f} on {os.cpu_count()} cores"
    return f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {platform.machine()}, {load}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
