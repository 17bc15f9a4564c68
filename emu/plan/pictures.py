"""What pictures need beyond the search: each winner at rates around its own, and how its latencies are distributed.

Some more runs, asked for when the answer is known; they change nothing about it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from attrs import frozen

from emu.plan.planner import Runner, Searching
from emu.plan.trials import LATENCIES, WHOLE, Found, Point, Trial

AROUND = (0.5, 0.7, 0.85, 1.0, 1.1, 1.2)


@frozen
class Pictured:
    """Of one design: (rate, good requests a second, worst ratio) along rates, the clusters tried, latencies' quantiles.

    A cell of the grid is (counts, figure): the worst ratio at the plan's rate, endless where the run was given up, or
    where throughput was sought the highest rate that passed.
    """

    name: str
    curve: tuple[tuple[float, float, float], ...]
    grid: tuple[tuple[tuple[int, ...], float], ...]
    latencies: Mapping[str, Sequence[float]]


def pictured(runner: Runner, searched: Sequence[Searching], told: Any) -> list[Pictured]:
    """For every design that has an answer."""
    winners = [search for search in searched if search.answer.point is not None]
    around = [_follow(search, _around(search)) for search in winners]
    runner.run(around, told)
    jobs = [
        runner.job(search, Trial(search.answer.point, search.plan.search.long_s, 0, LATENCIES)) for search in winners
    ]
    runner.making.want(jobs)
    while runner.making.step() is not None:
        told()
    found = []
    for search, follow, job in zip(winners, around, jobs, strict=True):
        latencies = runner.journal.results[job.key].get("summary", {})
        curve = tuple(
            (trial.point.rate_rps, trial.point.rate_rps * one.good_share, one.margin)
            for trial, one in sorted(follow.answer.items(), key=lambda pair: pair[0].point.rate_rps)
        )
        found.append(Pictured(search.design.name, curve, grid_of(search), latencies))
    return found


def tried(searched: Sequence[Searching]) -> list[Pictured]:
    """What the search alone has to show, without a further run."""
    winners = [search for search in searched if search.answer.point is not None]
    return [Pictured(search.design.name, (), grid_of(search), {}) for search in winners]


def grid_of(search: Searching) -> tuple[tuple[tuple[int, ...], float], ...]:
    """The clusters of two groups that were tried. What passes in a short run has not passed."""
    cells: dict[tuple[int, ...], float] = {}
    for (point, duration_s, _, _), found in search.trials.items():
        if len(point.counts) == 2 and (duration_s == search.plan.search.long_s or not found.passed):
            known = cells.get(point.counts, 0.0)
            seeking = search.plan.objective == "throughput"
            figure = (point.rate_rps if found.passed else 0.0) if seeking else found.margin
            cells[point.counts] = max(known, figure)
    return tuple(sorted(cells.items()))


def _around(search: Searching) -> Generator[tuple[Trial, ...], Mapping[Trial, Found], dict[Trial, Found]]:
    point: Point = search.answer.point
    rates = sorted({round(point.rate_rps * factor, 6) for factor in AROUND})
    trials = tuple(Trial(Point(point.counts, rate), search.plan.search.long_s, 0, WHOLE) for rate in rates)
    return dict((yield trials))


def _follow(search: Searching, steps: Any) -> Searching:
    return Searching(search.plan, search.design, search.space, search.estimate, steps, search.bounds)
