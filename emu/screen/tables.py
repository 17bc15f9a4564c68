"""The tables of a report: latencies, limits, pools, and how full the batches were. A summary in, lines out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emu.screen.lines import Line, Said, table
from emu.screen.quantities import NOTHING, count, digits, power, seconds, share

LATENCIES = (
    ("TTFT", "ttft_s", "to the first token"),
    ("TTST", "ttst_s", "to the second token"),
    ("TBT", "tbt_s", "between tokens, every gap"),
    ("TPOT", "tpot_s", "between tokens, mean of a request"),
    ("E2E", "e2e_s", "to the last token"),
    ("queue", "queue_s", "before prefill"),
    ("transfer", "transfer_s", "of the KV cache"),
)
COLUMNS = ("mean", "p50", "p90", "p99", "max")
BATCHED_TOKENS = (0, 1, 20, 64, 128, 512, 2048)
"""Where the paper's Fig. 17 is read off."""


def latencies(summary: Mapping[str, Any]) -> Iterator[Line]:
    rows: list[tuple[str | Said, ...]] = []
    for name, key, meaning in LATENCIES:
        measured = summary[key] or {}
        rows.append((name, *(seconds(measured.get(column)) for column in COLUMNS), Said(meaning, "dim")))
    return table(("latency", *COLUMNS, ""), rows)


def limits(slo: Mapping[str, Any]) -> Iterator[Line]:
    rows: list[tuple[str | Said, ...]] = []
    for limit in slo["limits"]:
        verdict = Said("pass", "green") if limit["passed"] else Said("FAIL", "bold red")
        shown = (lambda value: f"{digits(value)} x") if limit["unit"] == "x" else seconds
        value = NOTHING if limit["value"] is None else shown(limit["value"])
        rows.append((_limit_name(limit), shown(limit["limit"]), value, verdict, by_how_much(limit)))
    held = sum(limit["passed"] for limit in slo["limits"])
    rows.append(("all" if slo["passed"] else "not all", f"{held} of {len(rows)}", "", "", ""))
    return table(("SLO", "limit", "value", "", ""), rows)


def by_how_much(limit: Mapping[str, Any]) -> str:
    """How far a value is from its limit, as a share of the limit."""
    ratio = limit["ratio"]
    if ratio is None:
        return "no request has one" if limit["passed"] else "too many requests did not complete"
    percent = abs(ratio - 1) * 100
    written = f"{percent:,.0f} %" if percent >= 9.95 else f"{percent:.1f} %"
    return f"{written} {'under' if limit['passed'] else 'over'}"


def pools(found: Mapping[str, Mapping[str, Any]]) -> Iterator[Line]:
    rows = []
    for name, pool in found.items():
        phases = [share(pool[f"{phase}_share"]) for phase in ("prefill", "decode", "mixed")]
        kv = pool["kv_occupancy"]
        busy = share(pool["utilisation"])
        drawn_w = pool["power"] and pool["power"]["mean_w"]
        drawn = NOTHING if drawn_w is None else power(drawn_w)
        rows.append((name, count(pool["machines"]), busy, *phases, share(kv["mean"]), share(kv["peak"]), drawn))
    return table(("pool", "machines", "busy", "prefill", "decode", "mixed", "KV mean", "KV peak", "power"), rows)


def batched_tokens(found: Mapping[str, Mapping[str, Any]]) -> Iterator[Line]:
    """The share of machine time with at most so many tokens in the batch (the paper's Fig. 17)."""
    columns = (f"<= {tokens:,}" if tokens else "none" for tokens in BATCHED_TOKENS)
    rows = [
        (name, *(share(at_most(pool["batched_tokens"], tokens)) for tokens in BATCHED_TOKENS))
        for name, pool in found.items()
    ]
    return table(("batched tokens", *columns), rows)


def at_most(cumulative: Sequence[Sequence[float]], tokens: int) -> float | None:
    """Read a cumulative distribution, given as [tokens, share] in rising order; None where it is empty."""
    if not cumulative:
        return None
    return next((below for at, below in reversed(cumulative) if at <= tokens), 0.0)


def _limit_name(limit: Mapping[str, Any]) -> str:
    return f"{limit['metric'].upper()} p{limit['percentile']}"
