"""A made-up cluster in the place of runs: it passes up to a rate that its groups' machines give, under every seed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from emu.plan.load import plan_of
from emu.plan.planner import Searching, searches
from emu.plan.schema import Plan
from emu.plan.search import Answer
from emu.plan.trials import DECIDE, Found, Point, Trial

Capacity = Callable[[tuple[int, ...], int], tuple[float, float]]
"""What the first and the second phase of a cluster carry under a seed, in requests a second."""


def plan_document(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": "made-up",
        "model": "llama2-70b",
        "designs": ["hh"],
        "constraint": {"machines": 12},
        "workload": {"synthetic": "azure-conv"},
        "search": {"seeds": 3, "short_s": 10.0, "long_s": 20.0, "step_rps": 1.0, "highest_rps": 60.0},
    }
    return document | changes


def plan_with(**changes: Any) -> Plan:
    return plan_of(plan_document(**changes), Path("made-up.toml"))


def found(trial: Trial, capacity: Capacity) -> Found:
    """A run's percentiles stand to their limits as its rate to what a phase carries; intervals reach 5 % each way."""
    first, second = capacity(trial.point.counts, trial.seed)
    ratios = {"ttft_p99": trial.point.rate_rps / first, "tbt_p50": trial.point.rate_rps / second}
    worst = max(ratios, key=lambda name: ratios[name])
    passed = ratios[worst] < 1
    if trial.asked == DECIDE and ratios[worst] >= 1.5:
        return Found(False, worst, {}, ratios, 0.0, "")
    return Found(passed, "", {name: (one, one * 0.95, one * 1.05) for name, one in ratios.items()}, {}, 1.0, "")


def seek(search: Searching, capacity: Capacity) -> tuple[Answer, int]:
    """The answer, and how many different trials it took."""
    made: dict[Trial, Found] = {}
    answers: Mapping[Trial, Found] | None = None
    while True:
        try:
            trials = search.steps.send(answers)  # type: ignore[arg-type]
        except StopIteration as end:
            answer = end.value
            assert isinstance(answer, Answer)
            return answer, len(made)
        answers = {trial: found(trial, capacity) for trial in trials}
        made |= answers


def best_level(search: Searching, capacity: Capacity) -> int:
    """By looking at everything: the highest level at which some cluster passes under most seeds; -1: none."""

    def passes(point: Point) -> bool:
        seeds = range(search.plan.search.seeds)
        return 2 * sum(point.rate_rps < min(capacity(point.counts, seed)) for seed in seeds) > len(seeds)

    levels = [search.space.level_of(point) for point in search.space.everything() if passes(point)]
    return max(levels, default=-1)


def search_of(plan: Plan) -> Searching:
    (search,) = searches(plan, {})
    return search
