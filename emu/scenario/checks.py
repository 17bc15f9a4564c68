"""The rules that span several keys of a scenario, or that look at the world outside: one function a rule.

What one value may be stands in `emu.scenario.ranges`; what the profiles decide (memory, tensor parallelism, shipped
costs) in `emu.scenario.profiles`. A rule refuses or says nothing; none changes the scenario.
"""

import os
import re
from typing import Any

from attrs import fields

from emu.fake.costs import COST_KINDS
from emu.scenario.actions import check_actions
from emu.scenario.faults import check_faults
from emu.scenario.origin import Origin, nearest, shown
from emu.scenario.overrides import LIMIT_KEYS, SOURCES, unused_keys
from emu.scenario.ranges import MOST_MACHINES, MOST_REQUESTS
from emu.scenario.schema import Parts, Scenario

POLICIES = ("splitwise", "token-jsq", "jsq", "round-robin", "random")

PLUGIN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")

EXEC = "exec:"


def check(scenario: Scenario, document: dict[str, Any], origin: Origin) -> None:
    """Refuse the first rule broken. The document says which keys were given, where a default would hide it."""
    _check_pools(scenario, origin)
    _check_policy(scenario, origin)
    _check_costs(scenario, origin)
    _check_scheduler(scenario, origin)
    _check_transfer(scenario, origin)
    _check_workload(scenario, document["workload"], origin)
    _check_slo(scenario, document["slo"], origin)
    check_faults(scenario, origin)
    check_actions(scenario, origin)


def _check_pools(scenario: Scenario, origin: Origin) -> None:
    key = ("machines",)
    pools = {group.pool for group in scenario.machines}
    for phase in ("prefill", "decode"):
        if not pools & {phase, "mixed"}:
            got = shown(", ".join(sorted(pools))) if pools else "no machines"
            raise origin.refusal(key, f'expected a machine that can {phase} (pool "{phase}" or "mixed"), got {got}')
    total = sum(group.count for group in scenario.machines)
    if total > MOST_MACHINES:
        raise origin.refusal(key, f"expected at most {MOST_MACHINES} machines together, got {total}")


def _check_policy(scenario: Scenario, origin: Origin) -> None:
    key, policy = ("router", "policy"), scenario.router.policy
    for section, own in (("scheduler", scenario.scheduler.policy), ("transfer", scenario.transfer.policy)):
        if own is not None and not PLUGIN.fullmatch(own):
            raise origin.refusal((section, "policy"), f'expected "package.module:Name", got {shown(own)}')
    for part in fields(Parts):
        own = getattr(scenario.parts, part.name)
        if own is not None and not PLUGIN.fullmatch(own):
            raise origin.refusal(("parts", part.name), f'expected "package.module:Name", got {shown(own)}')
    if policy in POLICIES or PLUGIN.fullmatch(policy) or policy.startswith(EXEC):
        return
    likely = nearest(policy, POLICIES)
    expected = f'expected a known policy (the nearest is {likely}), "package.module:Name" or "exec:PROGRAM"'
    raise origin.refusal(key, f"{expected}; got {shown(policy)}")


def _check_costs(scenario: Scenario, origin: Origin) -> None:
    key, model = ("costs", "model"), scenario.costs.model
    if model in COST_KINDS or PLUGIN.fullmatch(model):
        return
    likely = nearest(model, COST_KINDS)
    known = f"expected {' or '.join(COST_KINDS)} (the nearest is {likely}), or"
    raise origin.refusal(key, f'{known} "package.module:Name"; got {shown(model)}')


def _check_scheduler(scenario: Scenario, origin: Origin) -> None:
    if scenario.scheduler.preempted == "keep" and scenario.scheduler.reserve != "max_tokens":
        expected = 'expected "recompute" unless scheduler.reserve is "max_tokens"; got "keep"'
        raise origin.refusal(("scheduler", "preempted"), expected)


def _check_transfer(scenario: Scenario, origin: Origin) -> None:
    transfer = scenario.transfer
    if transfer.heartbeat_s >= transfer.lease_s:
        expected = f"expected less than transfer.lease_s = {transfer.lease_s}, got {transfer.heartbeat_s}"
        raise origin.refusal(("transfer", "heartbeat_s"), expected)
    if transfer.direction == "get" and transfer.mode == "layer-wise":
        expected = 'expected "auto" or "serialized", since nothing is read under a prefill; got "layer-wise"'
        raise origin.refusal(("transfer", "mode"), expected)


def _check_workload(scenario: Scenario, given: dict[str, Any], origin: Origin) -> None:
    workload, key = scenario.workload, ("workload",)
    sources = [name for name in SOURCES if getattr(workload, name)]
    if len(sources) != 1:
        got = " and ".join(sources) or "none of them"
        raise origin.refusal(key, f"expected one of trace, synthetic and requests, got {got}")
    (source,) = sources
    for name in unused_keys(source):
        if name in given:
            raise origin.refusal((*key, name), f"expected nothing beside workload.{source}, got {shown(given[name])}")
    if workload.trace is not None and not os.path.isfile(workload.trace):
        raise origin.refusal((*key, "trace"), f"expected a file, got {workload.trace}, where there is none")
    if workload.synthetic is not None:
        _check_synthetic(scenario, origin)


def _check_synthetic(scenario: Scenario, origin: Origin) -> None:
    workload, key = scenario.workload, ("workload",)
    for name in ("rate_rps", "duration_s"):
        if getattr(workload, name) is None:
            raise origin.refusal((*key, name), "expected a number beside workload.synthetic, got nothing")
    if workload.burstiness != 1.0 and workload.arrivals != "gamma":
        expected = f'expected 1.0 unless workload.arrivals is "gamma"; got {workload.burstiness}'
        raise origin.refusal((*key, "burstiness"), expected)
    requests = (workload.rate_rps or 0.0) * (workload.duration_s or 0.0)
    if requests > MOST_REQUESTS and (workload.limit or MOST_REQUESTS + 1) > MOST_REQUESTS:
        expected = f"expected rate_rps times duration_s of at most {MOST_REQUESTS} requests, got {requests:g}"
        raise origin.refusal((*key, "rate_rps"), expected)


def _check_slo(scenario: Scenario, given: dict[str, Any], origin: Origin) -> None:
    if scenario.slo.preset is not None and scenario.slo.limits():
        name = next(name for name in LIMIT_KEYS if name in given)
        raise origin.refusal(("slo", name), f"expected nothing beside slo.preset, got {shown(given[name])}")
