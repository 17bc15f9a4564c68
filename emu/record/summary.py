"""summary.json: what a run came to, put together from its folds.

Every key that outsiders rely on is named here and nowhere else. Durations are in seconds, shares between 0 and 1; a
value is None where there was nothing to measure. Nothing is computed from entries here, and nothing is printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from emu.record.entries import Status
from emu.record.latency import PS_PER_S, Spread, spread, spread_of
from emu.record.lives import Lives
from emu.record.power import Power
from emu.record.power_summary import draw_w, drawn_wh, energy
from emu.record.start import MachineFacts, RunStarted
from emu.record.usage import PoolUse, Usage


def summary(
    started: RunStarted,
    lives: Lives,
    usage: Usage,
    power: Power,
    *,
    wall_s: float,
    cpu_s: float,
    wakeups: int,
    laws_checked: int,
    laws_broken: Sequence[str],
    digest: str,
    entries: int,
    prefix_reuse: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Rates are over the span from the first arrival to the last end.

    `power_w` is what must be provisioned for the machines, and `energy_wh` that over all of virtual time: the bound
    that a bill or a breaker goes by. What the machines drew stands in `power` and `energy`, as the pools' in `pools`.
    """
    arrived = lives.arrived
    span_s = max(0, lives.last_end_ps - lives.first_arrival_ps) / PS_PER_S if arrived else 0.0
    virtual_s = max(0, usage.last_ps) / PS_PER_S
    provisioned_w = sum(machine.power_w for machine in started.machines)
    limits = lives.slo.rows(lives.gaps)
    completed = lives.ended[Status.COMPLETED]
    return {
        "scenario": {"name": started.name, "model": started.model},
        "machines": _machines(started.machines),
        "requests": {"arrived": arrived, **{status.name.lower(): lives.ended[status] for status in Status}},
        **_latencies(lives),
        "throughput": {
            "requests_per_s": _rate(completed, span_s),
            "output_tokens_per_s": _rate(lives.output_tokens, span_s),
        },
        "goodput_rps": _rate(lives.slo.within, span_s),
        "slo": {"passed": all(row["passed"] for row in limits), "limits": limits},
        "pools": _pools(usage, power),
        "transfers": {
            "count": lives.transfers,
            "bytes": lives.transfer_bytes,
            "overlapped_share": _share(lives.overlapped_byte_ps, lives.moving_byte_ps),
            "remainder_s": spread(lives.remainder_ps),
        },
        "queue": {"peak_requests": usage.peak_requests, "peak_reservations": usage.peak_reservations},
        "preemptions": usage.preemptions,
        "machine_moves": usage.machine_moves,
        "placement_steps": {str(step): times for step, times in enumerate(usage.placement_steps, 1)},
        "prefix_reuse": prefix_reuse,
        "costs": {
            "identified": started.identified,
            "context_time_share": _share(usage.context_ps, usage.step_ps),
            "unmeasured_step_share": _share(usage.unmeasured_steps, usage.steps),
        },
        "cost_per_hour": sum(machine.cost_per_hour for machine in started.machines),
        "power_w": provisioned_w,
        "energy_wh": provisioned_w * virtual_s / 3600,
        "power": draw_w(power.pools, usage.last_ps),
        "energy": energy(power.pools, usage.last_ps, completed, lives.output_tokens),
        "virtual_s": virtual_s,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "steps": usage.steps,
        "wakeups": wakeups,
        "entries": entries,
        "wakeups_per_request": _rate(wakeups, arrived),
        "entries_per_request": _rate(entries, arrived),
        "requests_per_cpu_s": _rate(arrived, cpu_s),
        "laws": {"checked": laws_checked, "broken": list(laws_broken)},
        "digest": digest,
    }


def _latencies(lives: Lives) -> dict[str, Spread]:
    return {
        "ttft_s": spread(lives.ttft_ps),
        "ttst_s": spread(lives.ttst_ps),
        "tbt_s": spread_of(lives.gaps),
        "tpot_s": spread(lives.tpot_ps),
        "e2e_s": spread(lives.e2e_ps),
        "queue_s": spread(lives.queue_ps),
        "transfer_s": spread(lives.transfer_ps),
    }


def _machines(machines: Sequence[MachineFacts]) -> list[dict[str, Any]]:
    """Groups of equal machines, in their order."""

    def kind(machine: MachineFacts) -> tuple[str, str, int, int]:
        return machine.pool, machine.hardware, machine.kv_blocks, machine.tensor_parallel

    return [
        {
            "pool": pool,
            "hardware": hardware,
            "count": sum(1 for _ in group),
            "kv_blocks": kv_blocks,
            "tensor_parallel": tensor_parallel,
        }
        for (pool, hardware, kv_blocks, tensor_parallel), group in groupby(machines, kind)
    ]


def _pools(usage: Usage, power: Power) -> dict[str, dict[str, Any]]:
    run_ps = max(0, usage.last_ps - usage.first_arrival_ps)
    found = {name: _pool(pool, run_ps, usage.last_ps) for name, pool in usage.pools.items()}
    for name, pool in found.items():
        of_pool = None if power.pools is None else {name: power.pools[name]}
        pool["power"] = draw_w(of_pool, usage.last_ps)
        pool["energy"] = drawn_wh(of_pool, usage.last_ps)
    return found


def _pool(pool: PoolUse, run_ps: int, last_ps: int) -> dict[str, Any]:
    machine_ps = pool.machines * run_ps
    return {
        "machines": pool.machines,
        "utilisation": _share(pool.busy_ps, machine_ps),
        "prefill_share": _share(pool.prefill_ps, machine_ps),
        "decode_share": _share(pool.decode_ps, machine_ps),
        "mixed_share": _share(pool.mixed_ps, machine_ps),
        "kv_occupancy": {
            "mean": _share(pool.block_ps(last_ps), pool.kv_blocks * run_ps),
            "peak": pool.peak_occupancy,
        },
        "batched_tokens": pool.batched_tokens(machine_ps),
    }


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _rate(count: int, per: float) -> float:
    return count / per if per else 0.0
