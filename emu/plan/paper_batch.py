"""The batch job of the paper's section 6.5: work without SLOs, all of it there at once, on the iso-power clusters.

What counts is requests a second per dollar, the dollar being the price of one GPU of each machine for an hour, which is
the unit in which the paper's 0.89 and 0.75 come out. Designs of two pools are tried at several splits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from emu.plan.load import taken_by, trial_scenario
from emu.plan.paper import BLOOM, Question, Scale
from emu.plan.planner import Runner, searches
from emu.plan.trials import BATCH
from emu.sweep.jobs import Job

AT_ONCE_RPS = 10_000.0
SPLITS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
GPUS = 8


@frozen
class Batch:
    """One cluster and its job."""

    question: Question
    design: str
    counts: tuple[int, ...]
    cost_per_hour: float
    job: Job


def batches(scale: Scale, runner: Runner, questions: list[Question]) -> list[Batch]:
    """Every cluster to be tried: those of the iso-power questions about BLOOM-176B."""
    found: list[Batch] = []
    for question in questions:
        if question.asked != "iso-power" or question.model != BLOOM:
            continue
        for search in searches(question.plan, {}):
            largest = [point.counts for point in search.space.points(0)]
            for counts in sorted({largest[round(share * (len(largest) - 1))] for share in SPLITS}):
                requests = scale.batch_requests * sum(counts)
                duration_s = requests / AT_ONCE_RPS
                scenario = trial_scenario(question.plan, search.design, counts, AT_ONCE_RPS, duration_s, 0)
                cost = taken_by(question.plan, search.design, counts).cost_per_hour or 0.0
                found.append(Batch(question, search.design.name, counts, cost, runner.keys.job(scenario, BATCH)))
    return found


def batch_rows(found: list[Batch], results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The best split of each design: requests a second, and per dollar. A design with a run to come has no row."""
    best: dict[tuple[str, str, str], dict[str, Any]] = {}
    to_come = {_of(batch) for batch in found if "summary" not in results.get(batch.job.key, {})}
    for batch in found:
        if _of(batch) in to_come:
            continue
        rate = results[batch.job.key]["summary"]["requests_per_s"]
        row = {
            "costs": batch.question.costs,
            "workload": batch.question.workload,
            "design": batch.design,
            "counts": list(batch.counts),
            "requests_per_s": rate,
            "per_dollar": rate / (batch.cost_per_hour / GPUS),
        }
        if _of(batch) not in best or row["per_dollar"] > best[_of(batch)]["per_dollar"]:
            best[_of(batch)] = row
    return list(best.values())


def _of(batch: Batch) -> tuple[str, str, str]:
    return batch.question.costs, batch.question.workload, batch.design
