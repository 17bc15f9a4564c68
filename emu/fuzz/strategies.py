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

from emu.fuzz.choices import Choices, drawn, rolled
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

Section = TypeVar("Section", bound=Router | Scheduler | Transfer | Network)

MOST_REQUESTS = 14
MOST_OF_A_POOL = 3
KINDS_OF_REQUESTS = 2000
MOST_DELAYS = 3
MOST_FIRST = 3
MOST_WAKEUPS = 80
LINGERS_MS = 4000  # after the last arrival, while answers are made
READ = 12  # of a hundred ways to transfer, those by which caches are read and not put
MOST_FAULTS = 3

Plans = Callable[[Scenario, Choices], tuple[Fault, ...]]
"""Fault plans against a scenario's machines and requests."""

DELAYED = ("Grant", "Assign", "Reserve", "Acknowledge", "Abandon", "Ended", "Heartbeat")


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


WITHIN_MS = (300, 0, 3000, 10_000)
"""All requests within a few steps, at one instant, within the time of an answer, or of several."""


def workload(choose: Choices, tight: bool = False, most: int = MOST_REQUESTS) -> tuple[Row, ...]:
    """Requests that press, up to `most` of them."""
    among = rows(tight, choose.one(WITHIN_MS))
    return tuple(choose.one(among) for _ in range(choose.number(1, most)))


def groups(choose: Choices, base: tuple[MachineGroup, ...], tight: bool = False) -> tuple[MachineGroup, ...]:
    """One to three machines of each group, with as many KV blocks as their memory leaves, or few."""
    blocks = choose.one((40, 60, 25, 100) if tight else (None, None, 400, 120, 60))
    return tuple(
        evolve(
            group,
            count=choose.number(1, max(1, min(group.count, MOST_OF_A_POOL))),
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
        max_attempts=(4, 4, 2, 1),
        resume=("scratch", "scratch", "delivered"),
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
    read = [evolve(each, direction="get", mode="auto") for each in found[:: len(found) // READ]]
    return (own, *random.Random("transfers").sample(found, 96 - READ), *read)


@cache
def networks(own: Network) -> tuple[Network, ...]:
    return varied(own, control_latency_s=(0.0002, 0.02), bandwidth_factor=(1.0, 0.05, 0.01), sharing=("fair", "none"))


def fault_plans(most: int = MOST_FAULTS) -> Plans:
    """At most so many faults, each of which heals or strikes once, or one that strikes all machines of a pool.

    They are aimed at requests that are under way, or come at any time, or between two awaits of a machine's loops.
    """

    def plan(scenario: Scenario, choose: Choices) -> tuple[Fault, ...]:
        names = machine_names(scenario)
        if len(names) < 2:
            return ()
        until_ms = LINGERS_MS + round(1000 * max(row.at_s for row in scenario.workload.requests))
        how = choose.one(("aimed", "aimed", "at any time", "at a wakeup", "a whole pool"))
        if how == "a whole pool":
            pool = choose.one(names).rpartition("-")[0]
            at_s, heal_after_s = choose.number(0, until_ms) / 1000, choose.one((1.0, 0.3, 8.0))
            gone = [name for name in names if name.startswith(pool)]
            return tuple(Fault(kind="crash", machine=name, at_s=at_s, heal_after_s=heal_after_s) for name in gone)
        plan = draw_plan(choose.number(0, 2**32), scenario, most)
        if how == "at any time":
            return tuple(_moved(fault, at_s=choose.number(0, until_ms) / 1000) for fault in plan)
        if how == "at a wakeup":
            return tuple(
                _moved(fault, on="Wakeup", on_machine=choose.one(names), nth=choose.number(1, MOST_WAKEUPS))
                for fault in plan
            )
        return plan

    return plan


def _moved(fault: Fault, **when: Any) -> Fault:
    """The same fault at another time, if its time is anybody's choice."""
    if fault.on is None and (fault.at_s is None or fault.kind in ("clock", "join")):
        return fault
    never: dict[str, Any] = dict.fromkeys(("at_s", "on", "at", "on_machine", "on_request", "after_s", "nth"))
    return evolve(fault, **{**never, **when})


def late(choose: Choices) -> Delay:
    """One control message that comes later than it would: past a step, past a transfer, past a short lease.

    None as late as a lease and `max_flight_s` together: that blocks are free by then rests on the bound.
    """
    return Delay(nth=choose.number(1, 8), kind=choose.one(DELAYED), by_s=choose.one((0.1, 0.001, 0.01, 1.0, 8.0)))


def situation(choose: Choices, base: Scenario, faults: Plans | None = None) -> Scenario:
    """A whole situation around `base`, its requests written out; faults of the plans given strike every second one."""
    if faults is not None and not choose.number(0, 1):
        faults = None
    tight = bool(choose.number(0, 1))
    requests = workload(choose, tight)
    machines = groups(choose, base.machines, tight)
    asked = choose.one((base.workload.max_tokens, 200, "exact", 16) * 3 + (1,))
    interleaving = choose.one((base.interleaving, 1, 2, 3))
    delays = () if faults is None else tuple(late(choose) for _ in range(choose.number(0, MOST_DELAYS)))
    source = base.workload
    patience = (source.client_timeout_s, source.client_retries) if faults is None else (20.0, 4)
    workload_ = WorkloadSource(
        requests=requests, max_tokens=asked, client_timeout_s=patience[0], client_retries=patience[1]
    )
    around = evolve(
        base,
        machines=machines,
        workload=workload_,
        interleaving=interleaving,
        goes_first=choose.few(1, 400, MOST_FIRST),
        delays=delays,
        router=choose.one(routers(base.router)),
        scheduler=choose.one(schedulers(base.scheduler)),
        transfer=choose.one(transfers(base.transfer)),
        network=choose.one(networks(base.network)),
        run=RunLimits(liveness_s=max(60.0, base.run.liveness_s)),
    )
    return around if faults is None else evolve(around, faults=faults(around, choose))


def situations(base: Scenario, faults: Plans | None = None) -> st.SearchStrategy[Scenario]:
    """Situations that Hypothesis draws and shrinks, for tests of one's own."""
    return drawn(lambda choose: situation(choose, base, faults))


def cluster(choose: Choices) -> Scenario:
    """A scenario to draw situations around: machines of one to three pools under any of the shipped policies."""
    split: tuple[Pool, ...] = ("prefill", "decode")
    pools = choose.one((split, (*split, "mixed"), ("mixed",)))
    machines = tuple(
        MachineGroup(pool=pool, hardware="dgx-h100", count=MOST_OF_A_POOL, tensor_parallel=8) for pool in pools
    )
    policy = choose.one(("splitwise", "splitwise", "token-jsq", "jsq", "round-robin", "random"))
    return Scenario(
        name="drawn",
        model="llama2-70b",
        machines=machines,
        router=Router(policy=policy),
        workload=WorkloadSource(requests=(Row(at_s=0.0, prompt_tokens=100, output_tokens=2),)),
    )


def clusters() -> st.SearchStrategy[Scenario]:
    """As `cluster`, drawn and shrunk by Hypothesis."""
    return drawn(cluster)


def anywhere(faults: Plans | None = None) -> st.SearchStrategy[Scenario]:
    """Situations around any cluster, for a hunt: each of one number."""
    return rolled(lambda choose: situation(choose, cluster(choose), faults))
