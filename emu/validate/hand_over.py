"""The paper's section 6.1: what handing a KV cache over costs a request, beside the same request on one machine."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from emu.validate.lab import Document, Lab, Values
from emu.validate.words import apart, ms, percent, table

REQUESTS: Final = 400
APART_S: Final = 50.0
LAYER_WISE_FROM: Final = 512
EVERY_HEAD: Final = 2_621_440
"""Bytes a token of Llama2-70B where each of its query heads keeps keys and values: 2 x hidden x layers x 2."""


class Setting(NamedTuple):
    """A model, by the bytes of a token's cache, on two machines of a kind."""

    title: str
    model: str
    hardware: str
    kv_bytes: int | None = None


SETTINGS: Final = tuple(
    Setting(f"{title}, {name}", model, hardware, kv_bytes)
    for title, model, kv_bytes in (
        ("BLOOM-176B (4.0 MB a token)", "bloom-176b", None),
        ("Llama2-70B, a cache a head (2.6 MB)", "llama2-70b", EVERY_HEAD),
        ("Llama2-70B (0.33 MB)", "llama2-70b", None),
    )
    for name, hardware in (("A100", "dgx-a100"), ("H100", "dgx-h100"))
)


class Cost(NamedTuple):
    """What the hand-over adds, request by request, as shares of the same request on one machine; times in seconds."""

    second_token: Values
    e2e: Values
    remainder_s: Values
    of_prefill: Values  # the remainder, of prompts that go layer by layer


def section(lab: Lab) -> dict[str, str]:
    rows = []
    for setting in SETTINGS:
        for mode in ("serialized", "auto"):
            cost = measure(lab, setting, mode)
            share = percent(float(np.max(cost.of_prefill))) if mode == "auto" else ""
            rows.append(
                [
                    setting.title if mode == "serialized" else "",
                    "serialized" if mode == "serialized" else "layer by layer",
                    apart(float(np.mean(cost.second_token))),
                    apart(float(np.mean(cost.e2e))),
                    ms(float(np.median(cost.remainder_s))),
                    ms(float(np.percentile(cost.remainder_s, 99))),
                    share,
                ]
            )
    headings = ("", "transfer", "second token", "E2E", "remainder p50, ms", "p99, ms", "of prefill, at most")
    paper = [
        ["*the paper*", "*serialized*", "*+64 %*", "*up to +3 %*", "", "", ""],
        ["", "*layer by layer*", "*+16.5 %*", "*+0.8 %*", "*8 (A100), 5 (H100)*", "", "*under 7 %*"],
    ]
    return {"requests": f"{REQUESTS:,}", "table": table(headings, paper + rows)}


def measure(lab: Lab, setting: Setting, mode: str) -> Cost:
    """Two machines with this transfer beside one, the same requests one at a time."""
    one, two = lab.run(_document(setting, "auto", ("mixed",))), lab.run(_document(setting, mode, ("prefill", "decode")))
    gap_one, gap_two = (run.each(lambda served: served.ttst_s - served.ttft_s) for run in (one, two))
    more = ~np.isnan(gap_one)  # answers of more than one token
    remainder_s = two.each(lambda served: served.transfer_end_s - served.first_token_s)
    prefill_s = two.each(lambda served: served.first_token_s - served.prefill_start_s)
    long = more & (two.each(lambda served: served.prompt_tokens) >= LAYER_WISE_FROM)
    return Cost(
        (gap_two / gap_one - 1)[more],
        two.each(lambda served: served.e2e_s) / one.each(lambda served: served.e2e_s) - 1,
        remainder_s[~np.isnan(remainder_s)],
        (remainder_s / prefill_s)[long],
    )


def _document(setting: Setting, mode: str, pools: tuple[str, ...]) -> Document:
    return {
        "name": "hand-over",
        "model": setting.model,
        "machines": [{"pool": pool, "hardware": setting.hardware} for pool in pools],
        "transfer": {"mode": mode},
        "costs": {} if setting.kv_bytes is None else {"kv_bytes_per_token": setting.kv_bytes},
        "workload": {
            "synthetic": "azure-code",
            "arrivals": "constant",
            "rate_rps": 1 / APART_S,
            "duration_s": APART_S * REQUESTS,
        },
    }
