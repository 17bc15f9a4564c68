"""The paper's Table IV: one request at a time on one machine, its latencies, its cost and its energy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from emu.fake.costs import Costs, load_costs
from emu.fake.power import load_power
from emu.fake.profiles import load_hardware, load_model
from emu.record.power import MachineMeter, PoolDraw
from emu.record.start import MachineDraw
from emu.validate.lab import PS_PER_S, Document, Lab, Measured, Served
from emu.validate.words import apart, ms, percent, table

MODEL: Final = "llama2-70b"
REQUESTS: Final = 2000
APART_S: Final = 100.0
"""From one arrival to the next: longer than any answer of the traces takes."""


class Paper(NamedTuple):
    """A column of Table IV (Splitwise, ISCA 2024, section 3.7): medians."""

    trace: str
    hardware: str
    ttft_s: float
    tbt_s: float
    e2e_s: float
    dollars_per_100: float
    energy_wh: float


PAPER: Final = (
    Paper("azure-code", "dgx-a100", 0.185, 0.052, 0.856, 0.42, 1.37),
    Paper("azure-code", "dgx-h100", 0.095, 0.031, 0.493, 0.52, 1.37),
    Paper("azure-conv", "dgx-a100", 0.155, 0.040, 4.957, 2.4, 7.9),
    Paper("azure-conv", "dgx-h100", 0.084, 0.028, 3.387, 3.6, 9.4),
)
NAMES: Final = {"azure-code": "coding", "azure-conv": "conversation", "dgx-a100": "A100", "dgx-h100": "H100"}


class Ours(NamedTuple):
    """The same, measured; `with_papers_steps_s` is E2E if TTFT and TBT were the paper's at these requests."""

    ttft_s: float
    tbt_s: float
    e2e_s: float
    dollars_per_100: float
    charged_wh: float
    drawn_wh: float
    with_papers_steps_s: float
    prompt_tokens: float
    output_tokens: float


def section(lab: Lab) -> dict[str, str]:
    found = {paper: _ours(lab, paper) for paper in PAPER}
    rows = []
    for paper, ours in found.items():
        pairs = (
            (paper.ttft_s, ours.ttft_s, ms),
            (paper.tbt_s, ours.tbt_s, ms),
            (paper.e2e_s, ours.e2e_s, ms),
            (paper.dollars_per_100, ours.dollars_per_100, lambda dollars: f"{dollars:.2f}"),
            (paper.energy_wh, ours.charged_wh, lambda wh: f"{wh:.2f}"),
        )
        cells = [f"{write(theirs)} / {write(mine)} ({apart(mine / theirs - 1, 0)})" for theirs, mine, write in pairs]
        rows.append([f"{NAMES[paper.trace]}, {NAMES[paper.hardware]}", *cells, f"{ours.drawn_wh:.2f}"])
    headings = ("paper / ours", "TTFT, ms", "TBT, ms", "E2E, ms", "$ per 100", "energy charged, Wh", "drawn, Wh")
    return {"requests": f"{REQUESTS:,}", "table": table(headings, rows), "ratios": _ratios(found), **_why(found)}


def _ours(lab: Lab, paper: Paper) -> Ours:
    measured, draw = lab.run(_alone(paper)), _draw(paper.hardware)
    meter = MachineMeter.of(PoolDraw(), draw)

    def drawn_wh(one: Served) -> float:
        prefill_j = meter.draw_mw(one.prompt_tokens, 0) / 1000 * one.ttft_s
        return (prefill_j + meter.draw_mw(0, 1) / 1000 * (one.e2e_s - one.ttft_s)) / 3600

    ttft_s, e2e_s = _median(measured, lambda one: one.ttft_s), _median(measured, lambda one: one.e2e_s)
    scale = paper.ttft_s / ttft_s
    return Ours(
        ttft_s=ttft_s,
        tbt_s=_median(measured, lambda one: one.tpot_s),
        e2e_s=e2e_s,
        dollars_per_100=e2e_s * measured.summary["cost_per_hour"] / 36,
        charged_wh=e2e_s * max(draw.prefill_w) / 3600,
        drawn_wh=_median(measured, drawn_wh),
        with_papers_steps_s=_median(measured, lambda one: scale * one.ttft_s + (one.output_tokens - 1) * paper.tbt_s),
        prompt_tokens=_median(measured, lambda one: one.prompt_tokens),
        output_tokens=_median(measured, lambda one: one.output_tokens),
    )


def _median(measured: Measured, of: Callable[[Served], float]) -> float:
    return float(np.nanmedian(measured.each(of)))


def _alone(paper: Paper) -> Document:
    return {
        "name": "alone",
        "model": MODEL,
        "machines": [{"pool": "mixed", "hardware": paper.hardware}],
        "network": {"control_latency_s": 0},
        "workload": {
            "synthetic": paper.trace,
            "arrivals": "constant",
            "rate_rps": 1 / APART_S,
            "duration_s": APART_S * REQUESTS,
        },
    }


def _draw(hardware: str) -> MachineDraw:
    power = load_power(hardware)
    assert power is not None, "the shipped DGX profiles have power"
    return power.machine(MODEL, load_hardware(hardware).gpus)


def _costs(hardware: str) -> Costs:
    profile = load_hardware(hardware)
    return load_costs(load_model(MODEL), profile, profile.gpus)


def _ratios(found: dict[Paper, Ours]) -> str:
    """H100 over A100, by trace."""
    rows = []
    for trace in ("azure-code", "azure-conv"):
        (a100, our_a100), (h100, our_h100) = [(p, o) for p, o in found.items() if p.trace == trace]
        pairs = (
            (h100.ttft_s / a100.ttft_s, our_h100.ttft_s / our_a100.ttft_s),
            (h100.tbt_s / a100.tbt_s, our_h100.tbt_s / our_a100.tbt_s),
            (h100.e2e_s / a100.e2e_s, our_h100.e2e_s / our_a100.e2e_s),
            (h100.dollars_per_100 / a100.dollars_per_100, our_h100.dollars_per_100 / our_a100.dollars_per_100),
            (h100.energy_wh / a100.energy_wh, our_h100.charged_wh / our_a100.charged_wh),
        )
        drawn = our_h100.drawn_wh / our_a100.drawn_wh
        rows.append([NAMES[trace], *(f"{theirs:.2f} / {ours:.2f}" for theirs, ours in pairs), f"{drawn:.2f}"])
    headings = ("H100 over A100, paper / ours", "TTFT", "TBT", "E2E", "cost", "energy charged", "drawn")
    return table(headings, rows)


def _why(found: dict[Paper, Ours]) -> dict[str, str]:
    """The figures that the explanations rest on."""
    code, conv = PAPER[0], PAPER[2]
    costs, draw = _costs(code.hardware), _draw(code.hardware)
    alone_s = [costs.decode_ps(1, context) / PS_PER_S for context in (128, 8192)]
    at_1500_s = costs.prefill_ps(1500, 1) / PS_PER_S
    full_w = max(draw.prefill_w)
    return {
        "step": f"{ms(alone_s[0])} to {ms(alone_s[1])}",
        "code_tbt": ms(code.tbt_s),
        "conv_tbt": ms(conv.tbt_s),
        "at_1500": ms(at_1500_s),
        "code_ttft": ms(code.ttft_s),
        "conv_e2e": ms(conv.e2e_s),
        "conv_with": ms(found[conv].with_papers_steps_s),
        "conv_left": apart(found[conv].with_papers_steps_s / conv.e2e_s - 1, 0),
        "conv_ours": apart(found[conv].e2e_s / conv.e2e_s - 1, 0),
        "code_with": ms(found[code].with_papers_steps_s),
        "code_e2e": ms(code.e2e_s),
        "tokens": f"{found[conv].output_tokens:.0f}",
        "full": f"{full_w / 1000:.2f}",
        "decode": f"{draw.decode_w[0] / 1000:.2f}",
        "share": percent(draw.decode_w[0] / full_w),
    }
