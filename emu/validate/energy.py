"""Section: where the energy of a cluster goes, by load, by design and by pool, folded over the records of its runs."""

from __future__ import annotations

from typing import Any, Final

from emu.validate.curves import DURATION_S, H100, HH, HHCAP, MIXED, RATES_RPS, Machines, run
from emu.validate.lab import Lab
from emu.validate.words import percent, table

A100: Final = "dgx-a100"
AA: Final[Machines] = (("prefill", A100, 25), ("decode", A100, 15))
HA: Final[Machines] = (("prefill", H100, 25), ("decode", A100, 15))
AT_LEAST_LOAD: Final = (("HA", HA), ("AA", AA))
CLUSTERS: Final = (("HH", HH), ("HHcap", HHCAP), ("40 mixed H100", MIXED))
PHASES: Final = ("idle", "prefill", "decode", "mixed")


def section(lab: Lab) -> dict[str, str]:
    """The tables of prose/energy.md."""
    runs: list[tuple[str, dict[str, Any]]] = []
    for rate_rps in RATES_RPS:
        clusters = CLUSTERS + (AT_LEAST_LOAD if rate_rps == min(RATES_RPS) else ())
        runs += [
            (f"{rate_rps:.0f} a second, {name}", run(lab, machines, rate_rps).summary) for name, machines in clusters
        ]
    pools = [
        (f"{title}, {name}", pool, summary)
        for title, summary in runs
        for name, pool in summary["pools"].items()
        if len(summary["pools"]) > 1
    ]
    first, last = (
        next(s for t, s in runs if t == f"{rate:.0f} a second, HH") for rate in (RATES_RPS[0], RATES_RPS[-1])
    )
    return {
        "duration": f"{DURATION_S:.0f}",
        "clusters": table(
            ("BLOOM-176B", "mean kW", "peak kW", *PHASES, "Wh a request", "J an output token"),
            [
                (title, *_power(summary), *_phases(summary["energy"]), *_each(summary["energy"], summary))
                for title, summary in runs
            ],
        ),
        "pools": table(
            ("BLOOM-176B", "machines", "mean kW", "peak kW", *PHASES, "Wh a request", "of the cluster's"),
            [_pool(title, pool, summary) for title, pool, summary in pools],
        ),
        "least_rps": f"{RATES_RPS[0]:.0f}",
        "most_rps": f"{RATES_RPS[-1]:.0f}",
        "idle_least": _share(first["energy"], "idle"),
        "idle_most": _share(last["energy"], "idle"),
        "joules_least": f"{first['energy']['per_output_token_j']:.1f}",
        "joules_most": f"{last['energy']['per_output_token_j']:.1f}",
    }


def _power(of: dict[str, Any]) -> tuple[str, str]:
    """Kilowatts of a summary or of a pool: the mean, and the highest mean over a second."""
    power = of["power"]
    return f"{power['mean_w'] / 1000:.1f}", f"{power['peak_w'] / 1000:.1f}"


def _phases(energy: dict[str, Any]) -> list[str]:
    return [_share(energy, phase) for phase in PHASES]


def _share(energy: dict[str, Any], phase: str) -> str:
    return percent(energy[f"{phase}_wh"] / energy["drawn_wh"])


def _each(energy: dict[str, Any], summary: dict[str, Any]) -> tuple[str, str]:
    return f"{energy['drawn_wh'] / summary['requests']['completed']:.2f}", f"{energy['per_output_token_j']:.1f}"


def _pool(title: str, pool: dict[str, Any], summary: dict[str, Any]) -> tuple[str, ...]:
    energy = pool["energy"]
    a_request_wh = energy["drawn_wh"] / summary["requests"]["completed"]
    share = percent(energy["drawn_wh"] / summary["energy"]["drawn_wh"])
    return title, str(pool["machines"]), *_power(pool), *_phases(energy), f"{a_request_wh:.2f}", share
