"""How often a planted bug changes a record at all: python -m bench.planted.reach_planted --situations 500 --bug NAME.

A bug that changes none changes nothing that clean runs show; one that changes many and is not found lacks a law. The
situations are those of a hunt, two faults in every second one, each run without the bug and with it.
"""

from __future__ import annotations

from collections import Counter

import click

from bench.planted.planted_bugs import BUGS
from bench.planted.planting import Planting
from emu.fuzz.choices import Rolled
from emu.fuzz.clusters import Clusters
from emu.fuzz.judge import judge
from emu.fuzz.strategies import cluster, fault_plans, situation

BY_NAME = {bug.name: bug for bug in BUGS}


def changed(names: tuple[str, ...], situations: int, faults: int = 2, first: int = 0) -> Counter[str]:
    """In how many of these situations each of these bugs changes the record, or ends it."""
    plantings = {name: Planting(BY_NAME[name]) for name in names}
    clusters, counts = Clusters(), Counter[str]()
    for seed in range(first, first + situations):
        choose = Rolled(seed)
        scenario = situation(choose, cluster(choose), fault_plans(faults))
        digest = judge(scenario, clusters).digest
        for name, planting in plantings.items():
            planting.plant()
            try:
                counts[name] += judge(scenario, clusters).digest != digest
            finally:
                planting.lift()
    return counts


@click.command()
@click.option("--situations", type=click.IntRange(1), default=500)
@click.option("--first", type=click.IntRange(0), default=0, help="The number of the first situation.")
@click.option("--bug", "names", multiple=True, type=click.Choice(sorted(BY_NAME)), required=True)
def main(situations: int, first: int, names: tuple[str, ...]) -> None:
    """Say for each bug in how many situations it changes the record."""
    counts = changed(names, situations, first=first)
    for name in names:
        click.echo(f"{name}: changed {counts[name]} of {situations} records")


if __name__ == "__main__":
    main()
