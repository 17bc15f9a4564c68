"""Rules: what a scenario says, as the cores and the links are told it. No default is written down here."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from emu.cluster import Cluster, Hardware, is_faulty, to_ps
from emu.control.batch import InStep
from emu.control.machine_rules import MachineRules
from emu.control.mixed import SchedulerRules
from emu.control.placement import policy
from emu.control.pools import Member, Pool
from emu.control.recovery_rules import RecoveryRules
from emu.control.router import RouterRules
from emu.fake.link import LinkRules
from emu.fake.profiles import has_table
from emu.policies.seats import Seated
from emu.scenario.schema import Scenario, Transfer

if TYPE_CHECKING:
    from emu.fake.signals import SignalTimes

LAYER_WISE_NEVER = 1 << 62


def machine_rules(
    cluster: Cluster, machine: Hardware, index: int, incarnation: int, seated: Seated, found: InStep = ()
) -> MachineRules:
    scenario = cluster.scenario
    transfer, limits = scenario.transfer, scenario.scheduler
    layer_wise_from = {"auto": transfer.threshold_tokens, "serialized": LAYER_WISE_NEVER, "layer-wise": 0}
    order, transfers = seated.scheduling(index), seated.transfers(index)
    rules = SchedulerRules(
        prefill_batch_tokens=limits.prefill_batch_tokens,
        decode_batch=limits.decode_batch,
        max_preemptions=limits.max_preemptions,
        watermark=limits.watermark,
        reserve_max_tokens=limits.reserve == "max_tokens",
        layer_wise_from_tokens=LAYER_WISE_NEVER if transfer.direction == "get" else layer_wise_from[transfer.mode],
        max_steps=limits.max_steps if machine.costs.closed_form and machine.host is None else 1,
        next_prompt=None if order is None else order.next_prompt,
        choose_victim=order.victim if order is not None and order.chooses_victims else None,
        by_layer=None if transfers is None else transfers.by_layer,
    )
    return MachineRules(
        index,
        machine.kv_blocks,
        cluster.model.layers,
        to_ps(transfer.lease_s),
        rules,
        limits.block_tokens,
        to_ps(transfer.max_flight_s),
        clock_error_ppm(transfer),
        incarnation,
        transfer.direction == "get",
        is_faulty(scenario),
        found,
    )


def clock_error_ppm(transfer: Transfer) -> int:
    """In millionths, rounded up."""
    return ceil(transfer.clock_error * 10**6)


def router_rules(scenario: Scenario, seated: Seated) -> RouterRules:
    """Where nothing is ever lost nobody looks for it."""
    router = scenario.router
    recovery = RecoveryRules(
        max_attempts=router.max_attempts,
        retry_backoff_ps=to_ps(router.retry_backoff_s),
        poison_limit=router.poison_limit,
        resume=router.resume == "delivered",
    )
    return RouterRules(
        policy=seated.routing() or policy(router.policy, router.prefill_queue_limit_tokens),
        queue_limit_requests=router.queue_limit_requests,
        go_home_idle=router.go_home == "idle",
        repurpose_after_ps=to_ps(router.repurpose_after_s),
        block_tokens=scenario.scheduler.block_tokens,
        reserve_max_tokens=scenario.scheduler.reserve == "max_tokens",
        recovery=recovery,
    )


def members(cluster: Cluster) -> tuple[Member, ...]:
    return tuple(
        Member(index, Pool(machine.group.pool), machine.kv_blocks) for index, machine in enumerate(cluster.machines)
    )


def link_rules(cluster: Cluster) -> LinkRules:
    network, transfer = cluster.scenario.network, cluster.scenario.transfer
    cards, signals = [], []
    for machine in cluster.machines:
        profile = machine.profile
        # a tensor-parallel shard sends through its own GPU's card
        own = profile.nics * profile.nic_bytes_per_s * machine.group.tensor_parallel // profile.gpus
        rate = own if network.bandwidth_bytes_per_s is None else network.bandwidth_bytes_per_s
        cards.append(max(1, round(rate * network.bandwidth_factor)))
        signals.append(to_ps(profile.signal_s if transfer.signal_s is None else transfer.signal_s))
    return LinkRules(
        tuple(cards),
        tuple(signals),
        to_ps(network.data_latency_s),
        cluster.model.kv_bytes_per_token,
        cluster.model.layers,
        network.sharing == "fair",
        _signal_times(cluster) if transfer.signal_s is None else {},
    )


def _signal_times(cluster: Cluster) -> dict[int, SignalTimes]:
    """By machine, where they were measured."""
    hardware = {group.hardware for group in cluster.scenario.machines if has_table(group.hardware, "signals")}
    if not hardware:
        return {}
    from emu.fake.signals import load_signals

    found = {name: load_signals(name).seeded(cluster.scenario.seed) for name in sorted(hardware)}
    names = (machine.group.hardware for machine in cluster.machines)
    return {index: found[name] for index, name in enumerate(names) if name in found}
