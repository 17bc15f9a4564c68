"""What a summary says of power: watts and watt hours out of the sums that `emu.record.power` made. None: not known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from emu.record.power import MWPS_PER_WH, PEAK_OVER_PS, PoolDraw, peak_mw

Pools: TypeAlias = Mapping[str, PoolDraw] | None
JOULES_PER_WH = 3600


def draw_w(pools: Pools, until_ps: int) -> dict[str, float | None] | None:
    """Mean and peak draw of these pools together, and what they draw idle, from time 0 on."""
    if pools is None:
        return None
    drawn_mwps = sum(pool.drawn_mwps(until_ps) for pool in pools.values())
    return {
        "mean_w": drawn_mwps / until_ps / 1000 if until_ps > 0 else None,
        "peak_w": peak_mw(pools) / 1000,
        "peak_over_s": PEAK_OVER_PS / 10**12,
        "idle_w": sum(pool.idle_mw for pool in pools.values()) / 1000,
    }


def drawn_wh(pools: Pools, until_ps: int) -> dict[str, float] | None:
    """What these pools drew from time 0 on, all of it and in each phase; idle: while a machine ran no step."""
    if pools is None:
        return None
    until_ps, several = max(0, until_ps), pools.values()
    return {
        "drawn_wh": sum(pool.drawn_mwps(until_ps) for pool in several) / MWPS_PER_WH,
        "idle_wh": sum(pool.idle_mwps(until_ps) for pool in several) / MWPS_PER_WH,
        "prefill_wh": sum(pool.prefill_mwps for pool in several) / MWPS_PER_WH,
        "decode_wh": sum(pool.decode_mwps for pool in several) / MWPS_PER_WH,
        "mixed_wh": sum(pool.mixed_mwps for pool in several) / MWPS_PER_WH,
    }


def energy(pools: Pools, until_ps: int, requests: int, output_tokens: int) -> dict[str, Any] | None:
    """As `drawn_wh`, and what falls to each completed request and each output token, idle machines included."""
    found = drawn_wh(pools, until_ps)
    if found is None:
        return None
    drawn = found["drawn_wh"]
    return found | {
        "per_request_wh": drawn / requests if requests else None,
        "per_output_token_j": drawn * JOULES_PER_WH / output_tokens if output_tokens else None,
    }
