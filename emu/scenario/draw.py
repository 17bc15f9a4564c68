"""Fault plans drawn from a seed: exact plans, like any that a person writes, aimed at requests that are under way.

The same seed and scenario give the same plan in any process. A drawn plan leaves a cluster that can serve: every fault
heals or strikes once, a machine that is drained leaves another that does what it did, and one request at most is
poison: who of several has crashed a machine nobody could tell.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final, Literal, get_args

from attrs import evolve

from emu.scenario.faults import ON_WIRE
from emu.scenario.schema import (
    Fault,
    FaultKind,
    MachineGroup,
    Pool,
    Router,
    Row,
    RunLimits,
    Scenario,
    Scheduler,
    Transfer,
    WorkloadSource,
    machine_names,
)

KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)
HOOKS: Final = (
    "Queued",
    "StepStarted",
    "PrefillStarted",
    "PrefillDone",
    "Assigned",
    "Reserved",
    "Granted",
    "TransferStarted",
    "Landed",
    "Committed",
    "Released",
)
"""What happens to a request while it is open; a fault hangs on one of them."""

_MESSAGES: Final = (*(40 * ("Assign", "Reserve", "Acknowledge")), *ON_WIRE)
"""Most of those that are lost, late or doubled are of those that every request leads to."""

_AFTER_S: Final = (None, None, 0.0001, 0.001, 0.01, 0.1)
_HEAL_S: Final = (0.05, 0.3, 1.0, 3.0)
_SHAPES: Final = ((1, 1, 0), (2, 1, 0), (1, 2, 0), (2, 2, 0), (1, 1, 1), (0, 0, 2))


def draw_scenario(seed: int) -> Scenario:
    """A small cluster of DGX-H100 under a dozen requests, and a plan against it."""
    draws = random.Random(f"{seed}/scenario")
    counts: tuple[tuple[Pool, int], ...] = tuple(
        zip(("prefill", "decode", "mixed"), draws.choice(_SHAPES), strict=True)
    )
    kv_blocks = draws.choice((60, 200, 2000))
    groups = tuple(
        MachineGroup(pool=pool, hardware="dgx-h100", count=count, tensor_parallel=8, kv_blocks=kv_blocks)
        for pool, count in counts
        if count
    )
    largest = min(1800, kv_blocks * 16 // 2)
    rows = tuple(
        Row(
            at_s=draws.randrange(0, 40) / 20,
            prompt_tokens=draws.choice((16, draws.randrange(1, 400), draws.randrange(1, largest))),
            output_tokens=draws.choice((1, 2, draws.randrange(1, 60))),
        )
        for _ in range(draws.randrange(3, 14))
    )
    mixed_only = not counts[0][1]
    scenario = Scenario(
        name=f"drawn-{seed}",
        model="llama2-70b",
        interleaving=draws.randrange(0, 100),
        machines=groups,
        router=Router(
            policy="token-jsq" if mixed_only else draws.choice(("splitwise", "jsq")),
            resume=draws.choice(("scratch", "scratch", "delivered")),
        ),
        scheduler=Scheduler(decode_batch=draws.choice((2, 512))),
        transfer=evolve(
            _of_direction(seed, draws.choice(("auto", "serialized", "layer-wise"))),
            lease_s=10.0,
            heartbeat_s=2.0,
            max_flight_s=3.0,
            clock_error=0.05,
        ),
        workload=WorkloadSource(requests=rows, max_tokens=64, client_timeout_s=20.0, client_retries=4),
        run=RunLimits(liveness_s=60.0),
    )
    return evolve(scenario, faults=draw_plan(seed, scenario))


def _of_direction(seed: int, mode: Literal["auto", "serialized", "layer-wise"]) -> Transfer:
    """Three in ten clusters read, and nothing is read under a prefill."""
    if random.Random(f"{seed}/direction").random() < 0.7:
        return Transfer(mode=mode)
    return Transfer(direction="get", mode="auto" if mode == "auto" else "serialized")


def draw_plan(seed: int, scenario: Scenario, most: int = 3, kinds: tuple[FaultKind, ...] = KINDS) -> tuple[Fault, ...]:
    """From one to `most` faults of these kinds against the scenario's machines and the first of its requests."""
    draws = random.Random(f"{seed}/plan")
    names = machine_names(scenario)
    requests = len(scenario.workload.requests) or 10
    error = scenario.transfer.clock_error
    hooks = HOOKS if scenario.transfer.direction == "put" else tuple(name for name in HOOKS if name != "Granted")
    plan = [_fault(draws, names, requests, kinds, error, hooks) for _ in range(draws.randrange(1, most + 1))]
    away = {fault.machine for fault in plan if fault.kind == "drain"}
    poisons = [fault for fault in plan if fault.kind == "poison"]
    kept = tuple(
        fault
        for fault in plan
        if (fault.kind != "drain" or _spared(fault.machine, names, away)) and fault not in poisons[1:]
    )
    return kept or (Fault(kind="pause", machine=names[0], at_s=0.5, heal_after_s=1.0),)


def _spared(machine: str | None, names: tuple[str, ...], away: set[str | None]) -> bool:
    """Whether the machine's pool has another that no fault takes away for good."""
    pool = (machine or "").rpartition("-")[0]
    return any(name.rpartition("-")[0] == pool and name not in away for name in names)


def _fault(
    draws: random.Random,
    names: tuple[str, ...],
    requests: int,
    kinds: tuple[FaultKind, ...],
    error: float,
    hooks: tuple[str, ...],
) -> Fault:
    kind = draws.choice(kinds)
    machine, heal_after_s = draws.choice(names), draws.choice(_HEAL_S)
    other = draws.choice([name for name in names if name != machine])
    counted: dict[str, Any] = {"nth": draws.randrange(1, 4), "count": draws.choice((1, 1, 2))}
    when = _when(draws, requests, HOOKS[:4] if machine.startswith("mixed") else hooks)
    make: dict[str, Callable[[], Fault]] = {
        "crash": lambda: Fault(kind="crash", machine=machine, heal_after_s=heal_after_s, **when),
        "restart": lambda: Fault(kind="restart", machine=machine, startup_s=heal_after_s, **when),
        "drain": lambda: Fault(kind="drain", machine=machine, deadline_s=30.0, **when),
        "join": lambda: Fault(kind="join", machine=machine, at_s=draws.randrange(1, 20) / 10),
        "slow": lambda: Fault(kind="slow", machine=machine, factor=4.0, heal_after_s=heal_after_s, **when),
        "link_down": lambda: Fault(
            kind="link_down",
            machines=(machine, other),
            plane=draws.choice(("control", "data", "both")),
            one_way=draws.random() < 0.5,
            heal_after_s=heal_after_s,
            **when,
        ),
        "link_slow": lambda: Fault(kind="link_slow", machine=machine, factor=20.0, heal_after_s=heal_after_s, **when),
        "late_write": lambda: Fault(kind="late_write", by_s=draws.choice((0.01, 0.5, 3.0)), **counted),
        "router_crash": lambda: Fault(kind="router_crash", startup_s=heal_after_s, **when),
        "router_failover": lambda: Fault(kind="router_failover", overlap_s=heal_after_s, **when),
        "clock": lambda: _clock(draws, machine, heal_after_s, error, when),
        "cancel": lambda: Fault(kind="cancel", request=draws.randrange(requests), **when),
        "poison": lambda: Fault(kind="poison", request=draws.randrange(requests), startup_s=heal_after_s),
    }
    if kind in make:
        return make[kind]()
    if kind in ("post_fail", "lose_completion", "corrupt"):
        return Fault(kind=kind, **counted)
    if kind in ("lose", "duplicate", "delay", "reorder"):
        by_s = draws.choice((0.001, 0.05, 2.0)) if kind == "delay" else None
        return Fault(kind=kind, message=draws.choice(_MESSAGES), by_s=by_s, **counted)
    return Fault(kind=kind, machine=machine, heal_after_s=heal_after_s, **when)


def _clock(draws: random.Random, machine: str, heal_after_s: float, error: float, when: dict[str, Any]) -> Fault:
    """Ahead or behind from the start; or fast or slow for a while, as far as clocks may be."""
    if not error or draws.random() < 0.5:
        return Fault(kind="clock", machine=machine, at_s=0.0, offset_s=draws.choice((-300.0, -0.25, 4.0, 3600.0)))
    drift = draws.choice((-error, error))
    return Fault(kind="clock", machine=machine, drift=drift, heal_after_s=10 * heal_after_s, **when)


def _when(draws: random.Random, requests: int, hooks: tuple[str, ...]) -> dict[str, Any]:
    """On something that happens to one of the requests, or between two of them; seldom at a time."""
    if draws.random() < 0.15:
        return {"at_s": draws.randrange(0, 60) / 20}
    when: dict[str, Any] = {"on": draws.choice(hooks), "after_s": draws.choice(_AFTER_S)}
    if when["on"] == "TransferStarted" and draws.random() < 0.5:
        when["at"] = "half"
    if draws.random() < 0.3:
        when["on_request"] = draws.randrange(requests)
    else:
        when["nth"] = draws.randrange(1, max(2, requests // 2))
    return when
