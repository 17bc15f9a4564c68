"""`python -m emu.validate.pair FOLDER`: measure a real pair and run it, in one process, to be compared with emulation.

First the profile of its own workers, with rehearsals of other seeds; then the scenario itself, twice; then every
configuration several times, in turns, so that what changes with time changes all of them. Nothing is fitted or compared
here: that needs no GPU, and happens from the files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from attrs import evolve

from emu import real_run
from emu.arrivals import load_workload
from emu.cluster import Cluster
from emu.execute import Build, execute
from emu.record.log import Fold
from emu.scenario.load import load
from emu.validate.configurations import BASE, CONFIGURATIONS, SCENARIO, collect, folder_of
from emu.workload.table import Workload
from emu.worlds import keep_profile

REHEARSALS: Final = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Everything into the folder that is named, which must not be there yet. Raises Refusal."""
    parser = argparse.ArgumentParser(prog="python -m emu.validate.pair", description="Measure and run a real pair.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cpu", action="store_true", help="on CPUs in the place of GPUs")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each configuration (%(default)s)")
    parser.add_argument("--set", dest="overrides", action="append", default=[], help="as emu run takes it")
    options = parser.parse_args(arguments)
    scenario = load(SCENARIO, options.overrides)
    cluster = Cluster.of(scenario)
    seeds = [scenario.seed + ahead for ahead in range(REHEARSALS + 1)]
    loads = [load_workload(evolve(scenario, seed=seed)) for seed in seeds]
    machines = real_run.Machines.of(cluster, max(real_run.longest(scenario, one) for one in loads), cpu=options.cpu)
    try:
        keep_profile(options.folder / "profile", cluster, machines, loads[1:])
        run_all(options.folder, machines, options.overrides, options.repeats)
    finally:
        machines.close()
    collect(options.folder, options.folder / "configurations.csv")
    return 0


def run_all(folder: Path, machines: real_run.Machines, overrides: Sequence[str], repeats: int) -> None:
    """The runs, each into a folder of its own."""

    def world(cluster: Cluster, workload: Workload, folds: list[Fold], file: IO[bytes] | None) -> real_run.RealRun:
        return real_run.build(cluster, workload, folds, file, machines, lambda: None)

    for repeat in range(2):
        keep(folder / folder_of(BASE, repeat), overrides, world)
    # both machines have computed prompts before any figure is kept
    keep(folder / "rehearsal", [*overrides, *CONFIGURATIONS["mixed"], "seed=1"], world)
    for repeat in range(repeats):
        for name, changes in CONFIGURATIONS.items():
            keep(folder / folder_of(name, repeat), [*overrides, *changes], world)


def keep(out: Path, overrides: Sequence[str], world: Build) -> None:
    """One run; a word of it on stderr."""
    found = execute(load(SCENARIO, overrides), out, world=world)
    ttft_ms, tpot_ms = (1e3 * found.summary[metric]["mean"] for metric in ("ttft_s", "tpot_s"))
    broken = ", ".join(law.name for law in found.broken) or "none"
    sys.stderr.write(f"{out.name}: TTFT {ttft_ms:.2f} ms, TPOT {tpot_ms:.3f} ms, laws broken: {broken}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
