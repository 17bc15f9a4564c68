"""The planner against a look at everything, on 20 small grids of real runs: `python tests/plan/small_grids.py [DIR]`.

Ten grids seek the highest rate, ten the least cost; each has a workload, a model and seeds of its own. Printed: regret,
runs of both, and whether the same search under other seeds ends in the interval that was stated. It takes
some minutes of CPU and goes on from what DIR holds; the suite has the same search on made-up clusters.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from attrs import evolve

from emu.plan.exhaustive import compared
from emu.plan.load import plan_of
from emu.plan.planner import Runner, Searching, searches
from emu.plan.schema import Plan
from emu.plan.trials import run_trial
from emu.sweep.engines import LocalEngine
from emu.sweep.journal import Journal
from emu.sweep.making import Making

MODELS = ("llama2-70b", "bloom-176b")
DESIGNS = ("hh", "ha", "aa")
RATES = {"llama2-70b": 20.0, "bloom-176b": 9.0}
REQUESTS = 300


def grid(number: int) -> Plan:
    """Grid `number` of 20; its seeds begin at 100 times its number."""
    model = MODELS[number % 2]
    rate_rps = RATES[model] * (1 + number % 5 / 10)
    long_s = REQUESTS / rate_rps
    search = {"seeds": 3, "first_seed": 100 * number, "short_s": long_s, "long_s": long_s}
    document: dict[str, Any] = {
        "name": f"grid {number}",
        "model": model,
        "designs": [DESIGNS[number % 3]],
        "workload": {"synthetic": "azure-conv", "arrivals": "gamma", "burstiness": 1.0 + number % 4},
    }
    if number < 10:
        document["constraint"] = {"machines": 6}
        document["search"] = search | {"step_rps": rate_rps / 12, "highest_rps": rate_rps * 1.75}
    else:
        document |= {"objective": "cost", "constraint": {"machines": 12}, "search": search}
        document["workload"]["rate_rps"] = rate_rps
    return plan_of(document, Path(f"grid-{number}.toml"))


def again(runner: Runner, plan: Plan, searched: Searching) -> tuple[float | None, bool]:
    """What the same search finds under seeds of its own, and whether that was within what the first one stated."""
    (other,) = searches(evolve(plan, search=evolve(plan.search, first_seed=plan.search.first_seed + 50)), {})
    runner.run([other])
    level = other.answer.level
    return (None if level < 0 else other.space.worth(level)), searched.answer.low <= level <= searched.answer.high


def row(number: int, search: Searching, own: dict[str, Any], other: float | None, inside: bool) -> str:
    """A line of a Markdown table."""
    answer, worth, what = search.answer, search.space.worth, ("req/s" if number < 10 else "$/h")
    low, high = sorted((worth(max(0, answer.low)), worth(max(0, answer.high))))
    cells = [
        f"{number}, {search.plan.scenario['model']}, {own['design']}",
        "none" if answer.point is None else " + ".join(map(str, answer.point.counts)),
        "none" if answer.point is None else f"{worth(answer.level):.1f} {what}",
        "-" if answer.point is None else f"{low:.1f} to {high:.1f}",
        "none" if own["value"] is None else f"{own['value']:.1f}",
        "-" if own["regret"] is None else f"{own['regret']:.1%}",
        f"{own['runs']} of {own['all_runs']} ({own['runs'] / own['all_runs']:.1%})",
        f"{'none' if other is None else f'{other:.1f}'}{'' if inside else ' **outside**'}",
    ]
    return f"| {' | '.join(cells)} |"


def main(folder: Path) -> None:
    made, out = [], []
    print("| grid | found | carries or costs | interval | best of all | regret | runs | other seeds find |")
    print("|---|---|---|---|---|---|---|---|")
    with Journal(folder) as journal:
        engine = LocalEngine(run_trial, {}, int(os.environ.get("JOBS", "2")))
        runner = Runner(Making(engine, journal), journal)
        for number in range(20):
            plan = grid(number)
            searched = searches(plan, {})
            runner.run(searched)
            other, inside = again(runner, plan, searched[0])
            (own,) = compared(runner, plan, searched, lambda: None)
            made.append((own["runs"], own["all_runs"]))
            out.append((own["regret"], inside))
            print(row(number, searched[0], own, other, inside), flush=True)
        engine.close(at_once=False)
    regrets = [regret for regret, _ in out if regret is not None]
    runs, every = sum(runs for runs, _ in made), sum(every for _, every in made)
    most = max(runs / every for runs, every in made)
    print(f"\nregret: mean {sum(regrets) / len(regrets):.2%}, worst {max(regrets):.2%}")
    print(f"runs: {runs} of {every}, at worst {most:.1%}; inside {sum(inside for _, inside in out)} of {len(out)}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/small-grids"))
