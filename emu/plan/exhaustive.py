"""The exhaustive mode: every point that a search might have looked at, under every seed, and the answer beside it.

It shows what the search's shortcuts cost: its regret, and the share of the runs that it made. Small grids only.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from emu.plan.planner import Runner, Searching
from emu.plan.schema import Plan
from emu.plan.trials import Found, Point, Trial

Everything = Generator[tuple[Trial, ...], Mapping[Trial, Found], dict[Trial, Found]]


def compared(
    runner: Runner, plan: Plan, searched: Sequence[Searching], told: Callable[[], None], first_seed: int = 0
) -> list[dict[str, Any]]:
    """For each design: the best value, the regret of the search's as a share of it, and the runs of both.

    Seeds are counted from `first_seed` after the plan's first: others judge the answer by workloads that it never saw.
    """
    over = [
        Searching(one.plan, one.design, one.space, one.estimate, _everything(one, first_seed), one.bounds)
        for one in searched
    ]
    runner.run(over, told)
    return [_beside(plan, search, whole.answer) for search, whole in zip(searched, over, strict=True)]


def _everything(search: Searching, first_seed: int) -> Everything:
    seeds = range(first_seed, first_seed + search.plan.search.seeds)
    points = search.space.everything()
    return dict((yield tuple(Trial(point, search.plan.search.long_s, seed) for point in points for seed in seeds)))


def _beside(plan: Plan, search: Searching, found: Mapping[Trial, Found]) -> dict[str, Any]:
    votes: dict[Point, list[bool]] = {}
    for trial, one in found.items():
        votes.setdefault(trial.point, []).append(one.passed)
    passed = [point for point, said in votes.items() if 2 * sum(said) > len(said)]
    seeking = plan.objective == "throughput"
    worth = (lambda point: point.rate_rps) if seeking else (lambda point: search.space.takes(point.counts))
    best = (max if seeking else min)(passed, key=worth, default=None)
    value, answer = (None if best is None else worth(best)), search.answer
    regret = None
    if value is not None and answer.point is not None:
        own = worth(answer.point)
        regret = (value - own) / value if seeking else (own - value) / value
    low, high = sorted((search.space.worth(max(0, answer.low)), search.space.worth(max(0, answer.high))))
    inside = value is None if answer.point is None else value is not None and low - 1e-6 <= value <= high + 1e-6
    return {
        "design": search.design.name,
        "value": value,
        "counts": None if best is None else list(best.counts),
        "regret": regret,
        "inside": inside,
        "runs": len(search.runs),
        "all_runs": len(found),
    }
