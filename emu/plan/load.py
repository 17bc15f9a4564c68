"""Reading a plan: its file, strictly, into a `Plan` that a search can start from.

A bound is a number or 'as 40 dgx-h100'. What the plan passes on to scenarios is judged here once, with one machine a
group, so that a slip is refused before the first run.
"""

from __future__ import annotations

import re
from copy import deepcopy
from math import inf
from pathlib import Path
from typing import Any, Literal

from attrs import evolve, field, frozen

from emu.fake.profiles import HardwareProfile, load_hardware
from emu.plan.designs import read_designs
from emu.plan.schema import Design, Figures, Plan, Resources, Search
from emu.refusal import Refusal
from emu.scenario.load import from_document, read_document
from emu.scenario.origin import Origin, dotted, nearest, shown
from emu.scenario.ranges import text
from emu.scenario.structure import structure_as

TABLES = ("workload", "slo", "scenario", "constraint", "search", "figures")
BOUNDS = ("power_w", "cost_per_hour", "machines", "space")  # space: a machine takes one place, as the paper counts
_AS = re.compile(r"as\s+([0-9]+)\s+(\S+)", re.IGNORECASE)


@frozen(kw_only=True)
class _Head:
    name: str = field(validator=text())
    model: str = field(validator=text())
    objective: Literal["throughput", "cost", "power"] = "throughput"


def load_plan(path: Path) -> Plan:
    """The plan in a file. Refusal: whatever is wrong with it, as one line."""
    return plan_of(read_document(path, "a plan"), path)


def plan_of(document: dict[str, Any], path: Path) -> Plan:
    """The plan that a document spells out, as if `path` held it."""
    document, origin = deepcopy(document), Origin(str(path))
    tables = {name: _table(document, name, origin) for name in TABLES}
    designs = read_designs(document.pop("designs", None), origin)
    head = structure_as(_Head, document, origin)
    search = structure_as(Search, tables["search"], origin, ("search",))
    if search.short_s > search.long_s:
        expected = f"expected at most search.long_s = {search.long_s}, got {search.short_s}"
        raise origin.refusal(("search", "short_s"), expected)
    hardware = _hardware(designs, tables["figures"], origin)
    rate_rps = tables["workload"].pop("rate_rps", None)
    scenario = _scenario(head, tables, origin)
    plan = Plan(
        path=path,
        name=head.name,
        objective=head.objective,
        designs=designs,
        bounds=_bounds(tables["constraint"], tables["figures"], origin),
        search=search,
        scenario=scenario,
        rate_rps=rate_rps,
        hardware=hardware,
    )
    _check_rate(plan, origin)
    for design in designs:
        trial_scenario(plan, design, tuple(1 for _ in design.free), plan.rate_rps or 1.0, search.short_s, 0)
    return plan


def trial_scenario(
    plan: Plan, design: Design, counts: tuple[int, ...], rate_rps: float, duration_s: float, seed: int
) -> Any:
    """The scenario of one trial: so many machines a free group, that rate for that long."""
    document = deepcopy(plan.scenario)
    numbers = iter(counts)
    document["machines"] = [
        {"pool": group.pool, "hardware": group.hardware, "count": group.count or next(numbers)}
        for group in design.machines
    ]
    document["name"], document["seed"] = design.name, seed
    if "trace" in document["workload"]:
        speedup = rate_rps / document["workload"].pop("natural_rps")
        del document["workload"]["requests"]
        document["workload"] |= {"speedup": speedup, "until_s": duration_s * speedup}
    else:
        document["workload"] |= {"rate_rps": rate_rps, "duration_s": duration_s}
    return from_document(document, plan.path)


def _scenario(head: _Head, tables: dict[str, dict[str, Any]], origin: Origin) -> dict[str, Any]:
    scenario = tables["scenario"]
    for key in ("machines", "workload", "slo", "seed", "name", "model"):
        if key in scenario:
            raise origin.refusal(("scenario", key), "expected nothing: the plan itself says this")
    workload = tables["workload"]
    for key in ("duration_s", "speedup", "until_s", "limit"):
        if key in workload:
            raise origin.refusal(("workload", key), "expected nothing: search.short_s and search.long_s say how long")
    if isinstance(trace := workload.get("trace"), str):
        workload |= _natural(Path(origin.file).parent / trace)
    return scenario | {"model": head.model, "workload": workload, "slo": tables["slo"]}


def _natural(path: Path) -> dict[str, float]:
    """The rate of a trace as it stands, and how many requests it has. Refusal: it cannot be used."""
    from emu.workload.table import PS_PER_S
    from emu.workload.traces import read_whole_trace

    arrivals_ps = read_whole_trace(path).arrivals_ps
    if arrivals_ps[-1] <= arrivals_ps[0]:
        raise Refusal(str(path), "expected a trace whose requests arrive over some time")
    natural_rps = (len(arrivals_ps) - 1) * PS_PER_S / (arrivals_ps[-1] - arrivals_ps[0])
    return {"natural_rps": natural_rps, "requests": len(arrivals_ps)}


def _table(document: dict[str, Any], name: str, origin: Origin) -> dict[str, Any]:
    table = document.pop(name, {})
    if not isinstance(table, dict):
        raise origin.refusal((name,), f"expected a table, got {shown(table)}")
    return table


def _hardware(designs: tuple[Design, ...], figures: dict[str, Any], origin: Origin) -> dict[str, HardwareProfile]:
    """Every profile that the designs name, by that name."""
    found: dict[str, HardwareProfile] = {}
    for index, design in enumerate(designs):
        for group in design.machines:
            try:
                found[group.hardware] = _with_figures(load_hardware(group.hardware), figures, origin)
            except Refusal as refusal:
                if refusal.where.startswith(origin.file):
                    raise
                raise origin.refusal(("designs", index, "machines"), str(refusal)) from None
    return found


def _with_figures(profile: HardwareProfile, figures: dict[str, Any], origin: Origin) -> HardwareProfile:
    table = figures.get(profile.name)
    if table is None:
        return profile
    if not isinstance(table, dict):
        raise origin.refusal(("figures", profile.name), f"expected a table, got {shown(table)}")
    own = structure_as(Figures, table, origin, ("figures", profile.name))
    return evolve(
        profile,
        power_w=profile.power_w if own.power_w is None else own.power_w,
        cost_per_hour=profile.cost_per_hour if own.cost_per_hour is None else own.cost_per_hour,
    )


def _bounds(constraint: dict[str, Any], figures: dict[str, Any], origin: Origin) -> Resources:
    for key in constraint:
        if key not in BOUNDS:
            raise origin.refusal(("constraint", key), f"expected a known key (the nearest is {nearest(key, BOUNDS)})")
    if not constraint:
        raise origin.refusal(("constraint",), f"expected at least one of {', '.join(BOUNDS)}, got nothing")
    found = {key: _bound(key, value, figures, origin) for key, value in constraint.items()}
    places = [found.pop(key) for key in ("machines", "space") if key in found]
    return Resources(machines=int(min(places)) if places else None, **found)


def _bound(key: str, value: object, figures: dict[str, Any], origin: Origin) -> float:
    at = ("constraint", key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 < value < 1e12:
            raise origin.refusal(at, f"expected a positive number, got {shown(value)}")
        return float(value)
    like = _AS.fullmatch(value.strip()) if isinstance(value, str) else None
    if like is None:
        raise origin.refusal(at, f"expected a number or 'as 40 dgx-h100', got {shown(value)}")
    many, name = int(like[1]), like[2].lower()
    if key in ("machines", "space"):
        return float(many)
    try:
        profile = _with_figures(load_hardware(name), figures, origin)
    except Refusal as refusal:
        raise refusal if refusal.where.startswith(origin.file) else origin.refusal(at, str(refusal)) from None
    return float(many * getattr(profile, key))


def _check_rate(plan: Plan, origin: Origin) -> None:
    key, rate_rps = ("workload", "rate_rps"), plan.rate_rps
    if plan.objective == "throughput":
        if rate_rps is not None:
            raise origin.refusal(key, "expected nothing where throughput is sought; search.highest_rps bounds it")
    elif rate_rps is None or isinstance(rate_rps, bool) or not isinstance(rate_rps, int | float) or rate_rps <= 0:
        expected = f"expected the requests a second that the cluster is to carry, got {shown(rate_rps)}"
        raise origin.refusal(key, expected if rate_rps is not None else expected.replace("got None", "got nothing"))
    if "trace" in plan.scenario["workload"]:
        _check_trace(plan, origin)
    for index, design in enumerate(plan.designs):
        if plan.objective != "throughput" and not design.free:
            expected = f"expected a group without a count, since the least {plan.objective} is sought"
            raise origin.refusal(("designs", index, "machines"), expected)
        if not fits(plan, design, tuple(1 for _ in design.free)):
            wanted = dotted(("constraint",))
            raise origin.refusal(
                ("constraint",), f"expected room for one machine a group of {design.name}; {wanted} has none"
            )


def _check_trace(plan: Plan, origin: Origin) -> None:
    """A trace too short for a rate would end before the run is long enough to say anything."""
    if plan.search.seeds > 1:
        raise origin.refusal(
            ("search", "seeds"), "expected 1 beside workload.trace: a trace is the same under any seed"
        )
    key = ("search", "highest_rps") if plan.objective == "throughput" else ("workload", "rate_rps")
    asked_rps = plan.search.highest_rps if plan.objective == "throughput" else plan.rate_rps
    most_rps = longest_rps(plan)
    if asked_rps is not None and asked_rps > most_rps:
        raise origin.refusal(
            key, f"expected at most {most_rps:.4g}, at which the trace lasts search.long_s; got {asked_rps}"
        )


def longest_rps(plan: Plan) -> float:
    """The highest rate at which a trace lasts as long as the longest run; endless where arrivals are drawn."""
    requests = plan.scenario["workload"].get("requests")
    return inf if requests is None else float(requests) / plan.search.long_s


def fits(plan: Plan, design: Design, counts: tuple[int, ...]) -> bool:
    """Whether a cluster stays within the bounds."""
    taken = taken_by(plan, design, counts)
    for name in ("power_w", "cost_per_hour", "machines"):
        most = getattr(plan.bounds, name)
        if most is not None and getattr(taken, name) > most * (1 + 1e-9):
            return False
    return True


def taken_by(plan: Plan, design: Design, counts: tuple[int, ...]) -> Resources:
    """What a cluster takes of each resource."""
    numbers = iter(counts)
    power_w = cost = 0.0
    machines = 0
    for group in design.machines:
        many = group.count or next(numbers)
        profile = plan.hardware[group.hardware]
        power_w += many * profile.power_w
        cost += many * profile.cost_per_hour
        machines += many
    return Resources(power_w=power_w, cost_per_hour=cost, machines=machines)
