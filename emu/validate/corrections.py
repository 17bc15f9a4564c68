"""What changes when each known error of splitwise-sim is corrected, one at a time, under otherwise its own rules."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np

from emu.validate.lab import Document, Lab, Measured, SwapCosts, merged
from emu.validate.mended import Fault, Mend
from emu.validate.reference import HH, MIXED, document
from emu.validate.words import apart, ms, table

LIMIT: Final = 2500
LLAMA, BLOOM = "llama2-70b", "bloom-176b"
LLAMA_KV_BYTES: Final = 327_680


class Correction(NamedTuple):
    """What is said of it, and how: keys of the scenario, or step times; `only` the model that it makes sense for."""

    title: str
    keys: Mapping[str, Any] = MappingProxyType({})
    fault: Fault | None = None
    only: str | None = None

    def swap(self, model: str) -> SwapCosts | None:
        return None if self.fault is None else Mend(self.fault, model)


CORRECTIONS: Final = (
    Correction("decode step by its batch", fault="batch"),
    Correction("decode step by its batch and its context", fault="context"),
    Correction("mixed step: not 1.1 x a prefill", fault="mixed"),
    Correction("prefill by tokens and prompts", fault="prefill"),
    Correction("a cache of 8 heads, not 64", {"costs": {"kv_bytes_per_token": LLAMA_KV_BYTES}}, only=LLAMA),
    Correction("transfer layer by layer under prefill", {"transfer": {"mode": "auto"}}),
    Correction(
        "the same, with its signal and synchronisation",
        {"transfer": {"mode": "auto", "signal_s": 0.005, "layer_sync_s": 10e-6}},
    ),
    Correction(
        "network cards of 400 GB/s that transfers share",
        {"network": {"sharing": "fair", "bandwidth_bytes_per_s": 400 * 10**9}},
    ),
    Correction(
        "no oracle: blocks as answers grow, and preemption",
        {
            "scheduler": {"reserve": "growth", "preempted": "recompute", "watermark": 0.01},
            "workload": {"max_tokens": 2048},
        },
    ),
    Correction(
        "reports every 100 ms, messages of 200 us",
        {"router": {"report_every_s": 0.1, "go_home": "drained"}, "network": {"control_latency_s": 0.0002}},
    ),
    Correction("a guard against starving that works", {"scheduler": {"max_preemptions": 4}}),
)


class Load(NamedTuple):
    """A workload under that simulator's rules."""

    title: str
    model: str
    scenario: Document


def section(lab: Lab) -> dict[str, str]:
    return {"limit": f"{LIMIT:,}", "tables": "\n\n".join(_table(lab, load) for load in _loads(lab))}


def _loads(lab: Lab) -> tuple[Load, ...]:
    pressed = {
        **document(HH, lab.data(HH.file)),
        "model": BLOOM,
        "workload": {"synthetic": "azure-conv", "rate_rps": 110.0, "duration_s": 40.0},
    }
    return (
        Load("Llama2-70B, 25 + 15 machines, 70 requests a second", LLAMA, document(HH, lab.data(HH.file), LIMIT)),
        Load("Llama2-70B, 40 mixed machines, 70 a second", LLAMA, document(MIXED, lab.data(MIXED.file), LIMIT)),
        Load("BLOOM-176B, 25 + 15 machines, 110 a second (synthetic)", BLOOM, pressed),
    )


def _table(lab: Lab, load: Load) -> str:
    rules = lab.run(load.scenario)
    rows = [_row("splitwise-sim's rules", rules, None)]
    for correction in CORRECTIONS:
        if correction.only in (None, load.model):
            run = lab.run(merged(load.scenario, correction.keys), correction.swap(load.model))
            row = _row(correction.title, run, rules)
            if any(row[1:]):
                rows.append(row)
    ours = {key: value for key, value in load.scenario.items() if key not in ("parity", "scheduler")}
    rows.append(_row("**all of them: emu's defaults**", lab.run(ours), rules))
    return table(
        (load.title, "TTFT mean", "p99", "second token mean", "p99", "TPOT mean", "p99", "E2E mean", "p99"), rows
    )


def _row(title: str, run: Measured, rules: Measured | None) -> list[str]:
    figures = _figures(run)
    if rules is None:
        return [title, *(f"{ms(value)} ms" for value in figures)]
    return [title, *(_change(value / before - 1) for value, before in zip(figures, _figures(rules), strict=True))]


def _change(share: float) -> str:
    return "" if abs(share) < 0.0005 else apart(share)


def _figures(run: Measured) -> tuple[float, ...]:
    """Mean and p99 of TTFT, of the second token's gap, of TPOT and of E2E, in seconds."""
    found: list[float] = []
    for of in (
        run.each(lambda served: served.ttft_s),
        run.each(lambda served: served.ttst_s - served.ttft_s),
        run.each(lambda served: served.tpot_s),
        run.each(lambda served: served.e2e_s),
    ):
        found += [float(np.nanmean(of)), float(np.nanpercentile(of, 99))]
    return tuple(found)
