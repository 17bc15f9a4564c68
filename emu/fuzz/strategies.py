"""Strategies: whole situations around a scenario, which shrink to few requests, machines and faults, and round numbers.

Whatever is drawn first in a list is what it shrinks to: the scenario's own value where it has one. A situation keeps
the scenario's model, hardware and policies; how many machines, how much memory, what arrives and every limit is drawn.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from attrs import evolve
from hypothesis import strategies as st

from emu.scenario.draw import draw_plan
from emu.scenario.schema import (
    Delay,
    Fault,
    MachineGroup,
    Network,
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

T = TypeVar("T")
Section = TypeVar("Section", bound=Router | Scheduler | Transfer | Network)

MOST_REQUESTS = 14
MOST_OF_A_POOL = 3
KINDS_OF_REQUESTS = 2000
MOST_DELAYS = 3
MOST_FAULTS = 3

Plans = Callable[[Scenario], st.SearchStrategy[tuple[Fault, ...]]]
"""Fault plans against a scenario's machines and requests."""

GOES_FIRST = st.lists(st.integers(1, 400), max_size=3, unique=True).map(tuple)
DELAYED = ("Grant", "Assign", "Reserve", "Acknowledge", "Abandon", "Ended", "Heartbeat")


def of(own: T, *others: T) -> st.SearchStrategy[T]:
    """The scenario's own value, or one of the others."""
    return st.sampled_from((own, *others))


@cache
def rows(tight: bool, within_ms: int) -> tuple[Row, ...]:
    """Thousands of requests to choose from, since one draw for each is what examples can afford; the plainest first.

    Bursts and ties, giants, answers of one token, prompts that fill blocks exactly, all of them `within_ms`. `tight`:
    short prompts with long answers, so that what runs outgrows a small memory.
    """
    choose = random.Random(f"requests, tight: {tight}, within {within_ms} ms")

    def one() -> Row:
        at_ms = choose.choice((0, 0, 10 * choose.randrange(1 + within_ms // 10), choose.randrange(1 + within_ms)))
        if tight:
            prompt = choose.choice((100, 16, 32, 300, choose.randint(1, 400), choose.randint(200, 900)))
            return Row(at_s=at_ms / 1000, prompt_tokens=prompt, output_tokens=choose.randint(1, 300))
        exact = choose.choice((1, 15, 16, 17, 100, 512, 1000, 2048, 2049))
        prompt = choose.choice((exact, 100 * choose.randint(1, 40), choose.randint(1, 5000)))
        output = choose.choice((1, 2, 10, choose.randint(1, 80), choose.randint(1, 300)))
        return Row(at_s=at_ms / 1000, prompt_tokens=prompt, output_tokens=output)

    return (Row(at_s=0.0, prompt_tokens=100, output_tokens=2), *(one() for _ in range(KINDS_OF_REQUESTS)))


@cache
def one_row(tight: bool, within_ms: int) -> st.SearchStrategy[Row]:
    """Any of them. Made once: Hypothesis hashes whatever a new strategy chooses from."""
    return st.sampled_from(rows(tight, within_ms))


WITHIN_MS = (300, 0, 3000, 10_000)
"""All requests within a few steps, at one instant, within the time of an answer, or of several."""


@st.composite
def workloads(draw: st.DrawFn, tight: bool = False, most: int = MOST_REQUESTS) -> tuple[Row, ...]:
    """Requests that press, up to `most` of them."""
    one = one_row(tight, draw(st.sampled_from(WITHIN_MS)))
    return tuple(draw(one) for _ in range(draw(st.integers(1, most))))


@st.composite
def groups(draw: st.DrawFn, base: tuple[MachineGroup, ...], tight: bool = False) -> tuple[MachineGroup, ...]:
    """One to three machines of each group, with as many KV blocks as their memory leaves, or few."""
    blocks = draw(st.sampled_from((40, 60, 25, 100) if tight else (None, None, 400, 120, 60)))
    return tuple(
        evolve(
            group,
            count=draw(st.integers(1, max(1, min(group.count, MOST_OF_A_POOL)))),
            kv_blocks=group.kv_blocks if blocks is None else blocks,
        )
        for group in base
    )


def varied(own: Section, **choices: tuple[object, ...]) -> tuple[Section, ...]:
    """This section of a scenario, and others in which each key named is as it is here, or one of its choices."""
    choose = random.Random(",".join(choices))
    others: list[dict[str, Any]] = [
        {key: choose.choice((getattr(own, key), *values)) for key, values in choices.items()} for _ in range(96)
    ]
    return (own, *(evolve(own, **other) for other in others))


@cache
def routers(own: Router) -> tuple[Router, ...]:
    return varied(
        own,
        report_every_s=(0.1, 0.013, 0.0),
        prefill_queue_limit_tokens=(2048, 300, 300),
        queue_limit_requests=(0, 0, 3),
        go_home=("drained", "idle"),
        repurpose_after_s=(60.0, 0.5, 0.05),
    )


@cache
def schedulers(own: Scheduler) -> tuple[Scheduler, ...]:
    return varied(
        own,
        prefill_batch_tokens=(2048, 512, 64, 16),
        decode_batch=(512, 512, 5, 2, 1),
        reserve=() if own.preempted == "keep" else ("growth", "growth", "max_tokens"),
        max_preemptions=(4, 1, 0),
        watermark=(0.01, 0.0, 0.1),
    )


@cache
def transfers(own: Transfer) -> tuple[Transfer, ...]:
    """Leases as they are, or so short that they end within a run."""
    leases = ((own.lease_s, own.heartbeat_s), (30.0, 5.0), (1.0, 0.2), (0.2, 0.05))
    sections = [evolve(own, lease_s=lease_s, heartbeat_s=heartbeat_s) for lease_s, heartbeat_s in leases]
    found = [
        each
        for section in sections
        for each in varied(
            section, mode=("auto", "serialized", "layer-wise"), signal_s=(None, 0.0), threshold_tokens=(512, 100)
        )
    ]
    return (own, *random.Random("transfers").sample(found, 96))


@cache
def networks(own: Network) -> tuple[Network, ...]:
    return varied(own, control_latency_s=(0.0002, 0.02), bandwidth_factor=(1.0, 0.05, 0.01), sharing=("fair", "none"))


def fault_plans(most: int = MOST_FAULTS) -> Plans:
    """At most so many faults, each of which heals or strikes once, aimed at requests that are under way."""

    def plans(scenario: Scenario) -> st.SearchStrategy[tuple[Fault, ...]]:
        if len(machine_names(scenario)) < 2:
            return st.just(())
        return st.integers(0, 2**32).map(lambda seed: draw_plan(seed, scenario, most))

    return plans


def late() -> st.SearchStrategy[Delay]:
    """One control message that comes later than it would: past a step, past a transfer, past a short lease.

    None as late as a lease and `max_flight_s` together: that blocks are free by then rests on the bound.
    """
    return st.builds(
        lambda nth, kind, by_s: Delay(nth=nth, kind=kind, by_s=by_s),
        st.integers(1, 8),
        st.sampled_from(DELAYED),
        st.sampled_from((0.1, 0.001, 0.01, 1.0, 8.0)),
    )


@st.composite
def situations(draw: st.DrawFn, base: Scenario, faults: Plans | None = None) -> Scenario:
    """A whole situation around `base`, its requests written out; faults of the plans given strike every second one."""
    if faults is not None and not draw(st.booleans()):
        faults = None
    tight = draw(st.booleans())
    requests = draw(workloads(tight))
    machines = draw(groups(base.machines, tight))
    asked = draw(of(base.workload.max_tokens, 200, "exact", 16))
    interleaving = draw(of(base.interleaving, 1, 2, 3))
    delays = draw(st.lists(late(), max_size=MOST_DELAYS).map(tuple)) if faults is not None else ()
    source = base.workload
    patience = (source.client_timeout_s, source.client_retries) if faults is None else (20.0, 4)
    workload = WorkloadSource(
        requests=requests, max_tokens=asked, client_timeout_s=patience[0], client_retries=patience[1]
    )
    around = evolve(base, machines=machines, workload=workload)
    plan = () if faults is None else draw(faults(around))
    return evolve(
        around,
        faults=plan,
        interleaving=interleaving,
        goes_first=draw(GOES_FIRST),
        delays=delays,
        router=draw(st.sampled_from(routers(base.router))),
        scheduler=draw(st.sampled_from(schedulers(base.scheduler))),
        transfer=draw(st.sampled_from(transfers(base.transfer))),
        network=draw(st.sampled_from(networks(base.network))),
        run=RunLimits(liveness_s=max(60.0, base.run.liveness_s)),
    )


@st.composite
def clusters(draw: st.DrawFn) -> Scenario:
    """A scenario to draw situations around: machines of one to three pools under any of the shipped policies."""
    split: tuple[Pool, ...] = ("prefill", "decode")
    pools = draw(st.sampled_from((split, (*split, "mixed"), ("mixed",))))
    machines = tuple(
        MachineGroup(pool=pool, hardware="dgx-h100", count=MOST_OF_A_POOL, tensor_parallel=8) for pool in pools
    )
    policies = ("splitwise", "splitwise", "token-jsq", "jsq", "round-robin", "random")
    return Scenario(
        name="drawn",
        model="llama2-70b",
        machines=machines,
        router=Router(policy=draw(st.sampled_from(policies))),
        workload=WorkloadSource(requests=(Row(at_s=0.0, prompt_tokens=100, output_tokens=2),)),
    )
