"""Two curves over load: a cluster on a tenth of its network, and one whose decode machines are capped in power."""

from __future__ import annotations

from typing import Final

import numpy as np

from emu.fake.power import PowerProfile, load_power
from emu.validate.lab import Document, Lab, Measured, merged
from emu.validate.words import apart, ms, table

MODEL: Final = "bloom-176b"
DURATION_S: Final = 40.0
RATES_RPS: Final = (30.0, 70.0, 100.0)
FACTORS: Final = (1.0, 0.5, 0.2, 0.1, 0.05)
FACTORS_AT_RPS: Final = 70.0
MEASURED_BY_THE_PAPER: Final = 64
"""Sequences in its largest decode batch."""

Machines = tuple[tuple[str, str, int], ...]
H100, CAPPED = "dgx-h100", "dgx-h100-capped"
HH: Final[Machines] = (("prefill", H100, 25), ("decode", H100, 15))
MIXED: Final[Machines] = (("mixed", H100, 40),)
HHCAP: Final[Machines] = (("prefill", H100, 25), ("decode", CAPPED, 15))
HHCAP_EQUAL_POWER: Final[Machines] = (("prefill", H100, 25), ("decode", CAPPED, 21))


def bandwidth(lab: Lab) -> dict[str, str]:
    rows = []
    for rate_rps in RATES_RPS:
        for title, machines, factor in (("25 + 15", HH, 1.0), ("25 + 15, a tenth", HH, 0.1), ("40 mixed", MIXED, 1.0)):
            rows.append([f"{rate_rps:.0f} a second, {title}", *_latencies(run(lab, machines, rate_rps, factor))])
    curve = [[f"{factor:g}", *_latencies(run(lab, HH, FACTORS_AT_RPS, factor))] for factor in FACTORS]
    columns = ("second token p50, ms", "p99", "TBT p99", "TPOT p50", "p99", "E2E p50", "p99", "nine SLOs")
    tenth = [[run(lab, HH, rate_rps, factor).summary for factor in (1.0, 0.1)] for rate_rps in RATES_RPS]
    mixed = [run(lab, MIXED, rate_rps, 1.0).summary for rate_rps in RATES_RPS]
    return {
        "e2e": ", ".join(apart(slow["e2e_s"]["p50"] / own["e2e_s"]["p50"] - 1, 0) for own, slow in tenth),
        "e2e_mixed": ", ".join(
            apart(slow["e2e_s"]["p50"] / one["e2e_s"]["p50"] - 1, 0)
            for (_, slow), one in zip(tenth, mixed, strict=True)
        ),
        "tbt_mixed": ", ".join(
            f"{one['tbt_s']['p99'] / slow['tbt_s']['p99']:.1f}" for (_, slow), one in zip(tenth, mixed, strict=True)
        ),
        "rates_rps": ", ".join(f"{rate_rps:.0f}" for rate_rps in RATES_RPS),
        "rates": table(("BLOOM-176B, DGX-H100", *columns), rows),
        "factors": table((f"bandwidth, at {FACTORS_AT_RPS:.0f} a second", *columns), curve),
    }


def power_cap(lab: Lab) -> dict[str, str]:
    rows = []
    clusters = (("25 + 15", HH), ("25 + 15 capped", HHCAP), ("25 + 21 capped", HHCAP_EQUAL_POWER), ("40 mixed", MIXED))
    for rate_rps in RATES_RPS:
        for title, machines in clusters:
            summary = run(lab, machines, rate_rps, 1.0).summary
            power, energy = summary["power"], summary["energy"]
            rows.append(
                [
                    f"{rate_rps:.0f} a second, {title}",
                    ms(summary["ttft_s"]["p99"]),
                    ms(summary["tpot_s"]["p50"]),
                    ms(summary["e2e_s"]["p50"]),
                    ms(summary["e2e_s"]["p99"]),
                    _limits(summary),
                    f"{summary['power_w'] / 1000:.0f}",
                    f"{power['peak_w'] / 1000:.0f}",
                    f"{power['mean_w'] / 1000:.0f}",
                    f"{energy['per_request_wh']:.2f}",
                ]
            )
    latencies = ("TTFT p99, ms", "TPOT p50", "E2E p50", "p99", "nine SLOs")
    watts = ("kW provisioned", "peak", "mean", "Wh a request")
    return {"table": table(("BLOOM-176B, DGX-H100", *latencies, *watts), rows), **_decode_draws()}


def _decode_draws() -> dict[str, str]:
    """GPU watts of decode, of the measured H200 and of the derived H100, beside the cap."""
    measured, capped = load_power("dgx-h200"), load_power(CAPPED)
    assert measured is not None, "shipped with its power"
    assert capped is not None, "shipped with its power"

    def gpu_w(profile: PowerProfile, model: str) -> list[float]:
        row = next(row for row in profile.draws if (row.model, row.tensor_parallel) == (model, 8))
        drawn = zip(row.decode_sequences, row.decode_gpu_w, strict=True)
        return [watts for sequences, watts in drawn if sequences <= MEASURED_BY_THE_PAPER]

    h200_w = gpu_w(measured, "llama2-70b")
    return {
        "least_w": f"{min(h200_w):.0f}",
        "most_w": f"{max(h200_w):.0f}",
        "cap_w": f"{capped.figures.gpu_limit_w:.0f}",
        "h100_w": f"{max(gpu_w(capped, 'llama2-70b')):.0f}",
        "bloom_w": f"{max(gpu_w(capped, 'bloom-176b')):.0f}",
    }


def run(lab: Lab, machines: Machines, rate_rps: float, factor: float = 1.0) -> Measured:
    """DURATION_S of synthetic conversations on these machines, with that share of their network cards' bandwidth."""
    scenario: Document = {
        "name": "curve",
        "model": MODEL,
        "machines": [{"pool": pool, "hardware": hardware, "count": count} for pool, hardware, count in machines],
        "workload": {"synthetic": "azure-conv", "rate_rps": rate_rps, "duration_s": DURATION_S},
    }
    return lab.run(scenario if factor == 1.0 else merged(scenario, {"network": {"bandwidth_factor": factor}}))


def _latencies(run: Measured) -> list[str]:
    summary = run.summary
    gaps_s = run.each(lambda served: served.ttst_s - served.ttft_s)
    second = [float(np.nanpercentile(gaps_s, at)) for at in (50, 99)]
    tpot, e2e = summary["tpot_s"], summary["e2e_s"]
    times = (*second, summary["tbt_s"]["p99"], tpot["p50"], tpot["p99"], e2e["p50"], e2e["p99"])
    return [*(ms(time_s) for time_s in times), _limits(summary)]


def _limits(summary: dict[str, object]) -> str:
    slo = summary["slo"]
    assert isinstance(slo, dict)
    return "hold" if slo["passed"] else f"{sum(not limit['passed'] for limit in slo['limits'])} missed"
