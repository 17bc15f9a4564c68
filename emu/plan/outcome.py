"""What a plan came to, as plain values: one entry a design, and which is best. plan.json is this and nothing else.

The same plan gives the same outcome, whoever made the runs; what it cost to find is not part of it. Screens, plots and
the report read it; nothing here decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emu.plan.load import taken_by
from emu.plan.planner import Searching
from emu.plan.schema import Plan
from emu.plan.search import Answer
from emu.plan.trials import Found, Point

UNITS = {"throughput": "requests/s", "cost": "$/h", "power": "W"}


def outcome(plan: Plan, searched: Sequence[Searching]) -> dict[str, Any]:
    """The whole answer; designs in the order of the plan."""
    designs = [_design(plan, search) for search in searched]
    best = best_of(plan.objective, designs)
    return {
        "name": plan.name,
        "objective": plan.objective,
        "unit": UNITS[plan.objective],
        "model": plan.scenario["model"],
        "costs": plan.scenario.get("costs", {}).get("model", "calibrated"),
        "workload": plan.scenario["workload"],
        "rate_rps": plan.rate_rps,
        "bounds": {
            name: most for name in ("power_w", "cost_per_hour", "machines") if (most := getattr(plan.bounds, name))
        },
        "search": {
            "seeds": plan.search.seeds,
            "short_s": plan.search.short_s,
            "long_s": plan.search.long_s,
            "confidence": plan.search.confidence,
        },
        "best": None if best is None else best["name"],
        "designs": designs,
        "runs": sum(design["runs"] for design in designs),
    }


def best_of(objective: str, designs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The most throughput, else the least cost or power; of equals the first."""
    found = [design for design in designs if design["value"] is not None]
    if not found:
        return None
    return max(found, key=lambda one: one["value"] if objective == "throughput" else -one["value"])


def _design(plan: Plan, search: Searching) -> dict[str, Any]:
    answer: Answer = search.answer
    space = search.space
    laws = sorted({found.laws_broken for found in search.trials.values()} - {""})
    common = {"name": search.design.name, "runs": len(search.runs), "laws_broken": laws}
    if answer.point is None:
        assert answer.nearest is not None
        missed = nearest_miss(answer.nearest.found)
        return {**common, "value": None, **_cluster(search, answer.nearest.point), "nearest_miss": missed}
    assert answer.sure is not None
    ratios = answer.sure.ratios
    value = answer.point.rate_rps if plan.objective == "throughput" else space.takes(answer.point.counts)
    return {
        **common,
        "value": value,
        **_cluster(search, answer.point),
        "interval": None if plan.search.seeds < 2 else _interval(search, value),
        "chance": round(answer.sure.chance, 4),
        "limits": {name: [round(ratio, 4) for ratio in three] for name, three in _finite(ratios).items()},
        "deciding": max(ratios, key=lambda name: ratios[name][0]),
    }


def _interval(search: Searching, value: float) -> list[float]:
    """From level to level, in the unit of the objective; a budget that was not used up ends at what was taken."""
    ends = (search.space.worth(search.answer.low), search.space.worth(search.answer.high))
    return [min(*ends, value), max(*ends, value)]


def nearest_miss(found: Sequence[Found]) -> dict[str, Any]:
    """The limit that was missed by least in the run that came nearest: its name and its ratio, None if endless."""
    nearest = min(found, key=lambda one: one.margin)
    ratio = nearest.ratios[nearest.worst][0]
    return {"limit": nearest.worst, "ratio": None if ratio == float("inf") else round(ratio, 4)}


def _cluster(search: Searching, point: Point) -> dict[str, Any]:
    numbers = iter(point.counts)
    taken = taken_by(search.plan, search.design, point.counts)
    return {
        "machines": [
            {"pool": group.pool, "hardware": group.hardware, "count": group.count or next(numbers)}
            for group in search.design.machines
        ],
        "counts": list(point.counts),
        "rate_rps": point.rate_rps,
        "cost_per_hour": round(taken.cost_per_hour or 0.0, 6),
        "power_w": round(taken.power_w or 0.0, 6),
        "machine_count": taken.machines,
    }


def _finite(ratios: Mapping[str, tuple[float, float, float]]) -> dict[str, tuple[float, ...]]:
    """An interval of one seed has no ends; they are told as the middle's own."""
    found: dict[str, tuple[float, ...]] = {}
    for name, (middle, low, high) in ratios.items():
        found[name] = (middle, low, high) if high != float("inf") else (middle, middle, middle)
    return found
