"""A summary that no run made, with something in every part of the report."""

from typing import Any

PHASES = {"prefill_share": 0.612, "decode_share": 0.0, "mixed_share": 0.004}


def latency(p50: float) -> dict[str, float]:
    return {"mean": p50 * 1.1, "p50": p50, "p90": p50 * 2, "p99": p50 * 5, "max": p50 * 20}


def pool(machines: int, batched_tokens: list[list[float]]) -> dict[str, Any]:
    occupancy = {"mean": 0.12, "peak": 0.98765}
    return {
        "machines": machines,
        "utilisation": 0.616,
        **PHASES,
        "kv_occupancy": occupancy,
        "batched_tokens": batched_tokens,
        "power": {"mean_w": 3_456.0, "peak_w": 9_876.0, "peak_over_s": 1.0, "idle_w": 2_800.0},
    }


def limit(metric: str, percentile: int, unit: str, at: float, value: float) -> dict[str, Any]:
    return {
        "metric": metric,
        "percentile": percentile,
        "unit": unit,
        "limit": at,
        "value": value,
        "ratio": value / at,
        "passed": value < at,
    }


def made_up_summary() -> dict[str, Any]:
    limits = [
        limit("ttft", 50, "x", 2.0, 1.2),
        limit("tbt", 99, "x", 5.0, 11.25),
        limit("ttst", 99, "s", 0.25, 0.249),
        {**limit("e2e", 90, "s", 1.5, 0.0), "value": None, "ratio": None, "passed": False},
        {**limit("tpot", 90, "s", 1.5, 0.0), "value": None, "ratio": None},
    ]
    group = {"hardware": "dgx-h100", "kv_blocks": 61_234, "tensor_parallel": 8}
    return {
        "scenario": {"name": "made-up", "model": "llama2-70b", "policy": "splitwise", "seed": 7},
        "workload": {
            "name": "azure_conv.csv",
            "requests": 19_366,
            "rate_rps": 5.53,
            "left_out": 3,
            "left_out_reason": "failed in the trace",
        },
        "machines": [{"pool": "prefill", "count": 25, **group}, {"pool": "decode", "count": 1, **group}],
        "requests": {"arrived": 19_366, "completed": 19_360, "rejected": 3, "failed": 2, "cancelled": 1},
        "ttft_s": latency(0.0456),
        "ttst_s": latency(0.0312),
        "tbt_s": latency(0.0289),
        "tpot_s": latency(0.03),
        "e2e_s": latency(6.28),
        "queue_s": latency(0.0),
        "transfer_s": latency(0.000_051_2),
        "throughput": {"requests_per_s": 5.49, "output_tokens_per_s": 1_159.4},
        "goodput_rps": 5.31,
        "slo": {"passed": False, "limits": limits},
        "pools": {
            "prefill": pool(25, [[1, 0.0001], [300, 0.25], [2048, 0.9], [9000, 1.0]]),
            "decode": pool(1, [[1, 0.5], [20, 0.75], [64, 1.0]]),
        },
        "transfers": {
            "count": 19_360,
            "bytes": 6_912_345_678_901,
            "overlapped_share": 0.873,
            "remainder_s": latency(0.0061),
        },
        "costs": {"identified": False, "context_time_share": 0.0312, "unmeasured_step_share": 0.0004},
        "queue": {"peak_requests": 41, "peak_reservations": 1},
        "placement_steps": {"1": 19_000, "2": 366, "3": 0, "4": 0, "5": 0},
        "machine_moves": 12,
        "preemptions": 4,
        "prefix_reuse": {"share": 0.4123},
        "cost_per_hour": 1520.0,
        "power_w": 408_000.0,
        "energy_wh": 405_123.0,
        "power": {"mean_w": 204_000.0, "peak_w": 306_000.0, "peak_over_s": 1.0, "idle_w": 112_000.0},
        "energy": {
            "drawn_wh": 200_100.0,
            "idle_wh": 100_050.0,
            "prefill_wh": 40_020.0,
            "decode_wh": 60_030.0,
            "mixed_wh": 0.0,
            "per_request_wh": 10.336,
            "per_output_token_j": 176.2,
        },
        "virtual_s": 3_520.2,
        "wall_s": 11.42,
        "cpu_s": 11.3,
        "wakeups": 155_000,
        "requests_per_cpu_s": 1713.8,
        "wakeups_per_request": 8.03,
        "entries_per_request": 15.15,
        "laws": {"checked": 21, "broken": []},
        "digest": "7d8df0c33cdfff7704f02e6f95681182",
    }
