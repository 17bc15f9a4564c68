"""The questions that the Splitwise paper answers about clusters (its sections 6.2 to 6.5), as plans of ours.

The sizes of machines follow its simulator: prices of 2.21 and 4.76 dollars a GPU-hour, and power in the ratio 24.8 : 44
: 30.8, scaled so that a DGX-H100 draws its 10,200 W (a DGX-A100 then draws the 5.75 kW that Table IV works with). What
comes of them is compared and written down in `emu.plan.paper_page`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from emu.plan.load import plan_of
from emu.plan.schema import Plan

H100_W = 10_200.0
FIGURES = {
    "dgx-a100": {"power_w": H100_W * 24.8 / 44, "cost_per_hour": 8 * 2.21},
    "dgx-h100": {"power_w": H100_W, "cost_per_hour": 8 * 4.76},
    "dgx-h100-capped": {"power_w": H100_W * 30.8 / 44, "cost_per_hour": 8 * 4.76},
}
DESIGNS = ("Baseline-A100", "Baseline-H100", "AA", "HH", "HA", "HHcap")
SPLIT = DESIGNS[2:]
WORKLOADS = {"conversation": "azure-conv", "coding": "azure-code"}
COSTS = ("calibrated", "splitwise-sim")
BLOOM, LLAMA = "bloom-176b", "llama2-70b"
SETS = ("iso-power", "iso-cost", "iso-throughput, least cost", "iso-throughput, least power")


@frozen
class Scale:
    """How large the reproduction is: clusters like `machines` DGX-H100, how long runs last, rates in what steps."""

    name: str
    machines: int
    rate_rps: float  # of iso-throughput; the paper has 70 for 40 machines
    models: tuple[str, ...]
    seeds: int
    short_s: float
    long_s: float
    step_rps: float
    batch_requests: int  # a machine


FULL = Scale("full", 40, 70.0, (BLOOM, LLAMA), 3, 10.0, 30.0, 2.5, 100)
QUICK = Scale("quick", 10, 17.5, (BLOOM,), 1, 20.0, 20.0, 1.0, 80)


@frozen
class Question:
    """One plan, and where its answer stands in the tables."""

    costs: str
    model: str
    workload: str
    asked: str  # one of SETS, or what else is sought
    plan: Plan


def first_questions(scale: Scale) -> list[Question]:
    """Those that stand on their own, in the order in which they are answered: first what the paper's claims are of."""
    return [
        Question(costs, model, workload, asked, _plan(scale, costs, model, workload, asked, list(DESIGNS)))
        for model in scale.models
        for workload in WORKLOADS
        for asked in SETS
        for costs in COSTS
    ]


CHANGED_WORKLOAD = "conversation on clusters sized for coding"
CHANGED_MODEL = "Llama2-70B on clusters sized for BLOOM-176B"
HALF_CAPPED = "HHcap, as many machines of each kind"
LATER = (CHANGED_WORKLOAD, CHANGED_MODEL, HALF_CAPPED)


def later_questions(scale: Scale, outcomes: Mapping[tuple[str, str, str, str], Mapping[str, Any]]) -> list[Question]:
    """Those about clusters that the first ones found, by (costs, model, workload, asked), where those are answered."""
    found: list[Question] = []
    for costs in COSTS:
        for model, sized, asked in ((BLOOM, "coding", CHANGED_WORKLOAD), (LLAMA, "conversation", CHANGED_MODEL)):
            own = outcomes.get((costs, BLOOM, sized, "iso-power"))
            if own is not None:
                clusters = [_fixed(design) for design in own["designs"] if design["value"] is not None]
                plan = _plan(scale, costs, model, "conversation", asked, clusters)
                found.append(Question(costs, model, "conversation", asked, plan))
        half = scale.machines // 2
        pools = (("prefill", "dgx-h100"), ("decode", "dgx-h100-capped"))
        machines = [{"pool": pool, "hardware": hardware, "count": half} for pool, hardware in pools]
        plan = _plan(scale, costs, BLOOM, "conversation", HALF_CAPPED, [{"name": "HHcap", "machines": machines}])
        found.append(Question(costs, BLOOM, "conversation", HALF_CAPPED, plan))
    return found


def _fixed(design: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": design["name"], "machines": [dict(group) for group in design["machines"]]}


def _plan(scale: Scale, costs: str, model: str, workload: str, asked: str, designs: list[Any]) -> Plan:
    document: dict[str, Any] = {
        "name": f"{asked}, {workload}, {model}, {costs} costs",
        "model": model,
        "designs": [design if isinstance(design, dict) else design.lower() for design in designs],
        "workload": {"synthetic": WORKLOADS[workload]},
        "scenario": {"costs": {"model": costs}},
        "figures": FIGURES,
        "search": {"seeds": scale.seeds, "short_s": scale.short_s, "long_s": scale.long_s},
    }
    like = f"as {scale.machines} dgx-h100"
    if asked.startswith("iso-throughput"):
        document["objective"] = asked.rsplit(" ", 1)[1]
        document["workload"]["rate_rps"] = scale.rate_rps
        document["constraint"] = {"machines": 3 * scale.machines}
    else:
        document["search"]["step_rps"] = scale.step_rps
        document["constraint"] = {"cost_per_hour" if asked == "iso-cost" else "power_w": like}
        if asked in LATER:
            document["constraint"] = {"machines": 4 * scale.machines}
    return plan_of(document, Path(document["name"].replace("/", "-")))
