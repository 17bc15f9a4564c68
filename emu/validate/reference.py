"""Parity: emu under splitwise-sim's own rules, request by request beside what that simulator said.

The reference files are results of splitwise-sim (commit 8f99e7d): a row a request. TBT is its definition, the time
after the first token over *all* tokens, the first included. A regression test of the control plane's rules; neither
program's fidelity is judged here.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from emu.validate.lab import Document, Lab, Measured, Values, percentiles

METRICS: Final = ("TTFT", "TBT", "E2E")
SAME_S: Final = 1e-6
"""Their files give nanoseconds, rounded; a microsecond apart is the same instant."""


class Case(NamedTuple):
    """One reference file, and the machines that it was made on."""

    name: str
    file: str
    machines: tuple[tuple[str, int], ...]  # pool and count


CASES: Final = (
    Case("25 prefill + 15 decode", "reference/splitwise_sim_hh_25p_15t.csv", (("prefill", 25), ("decode", 15))),
    Case("40 mixed", "reference/splitwise_sim_baseline_h100_40.csv", (("mixed", 40),)),
)
HH, MIXED = CASES


class Beside(NamedTuple):
    """One metric of every request, ours and theirs, in seconds."""

    ours: Values
    theirs: Values

    def apart(self) -> dict[str, float]:
        """By how much our mean, p50, p90 and p99 exceed theirs, as shares of theirs."""
        ours, theirs = percentiles(self.ours), percentiles(self.theirs)
        return {key: ours[key] / theirs[key] - 1 for key in theirs}

    def same(self) -> float:
        """The share of requests that agree to a microsecond."""
        return float(np.mean(np.abs(self.ours - self.theirs) < SAME_S))

    def worst(self) -> int:
        """The request that differs most, as a share of theirs."""
        return int(np.argmax(np.abs(self.ours / self.theirs - 1)))


def document(case: Case, trace: Path, limit: int | None = None, **scheduler: Any) -> Document:
    """The scenario: the preset, and nothing beside it but `scheduler` keys."""
    workload = {"trace": str(trace)} | ({} if limit is None else {"limit": limit})
    machines = [{"pool": pool, "hardware": "dgx-h100", "count": count} for pool, count in case.machines]
    return {
        "name": case.name,
        "model": "llama2-70b",
        "parity": "splitwise-sim",
        "machines": machines,
        "workload": workload,
        **({"scheduler": scheduler} if scheduler else {}),
    }


def compare(lab: Lab, case: Case, limit: int | None = None, **scheduler: Any) -> dict[str, Beside]:
    """Ours beside theirs by metric. With `limit`, of the requests that were over before the first one left out came:
    what comes later cannot have touched them."""
    trace = lab.data(case.file)
    return beside(lab.run(document(case, trace, limit, **scheduler)), trace)


def beside(measured: Measured, reference: Path) -> dict[str, Beside]:
    """A run of the reference's first requests beside them."""
    with open(reference, encoding="utf-8", newline="") as file:
        theirs = [
            [float(row[key]) for key in ("arrival_s", "ttft_s", "tbt_s", "e2e_s")] for row in csv.DictReader(file)
        ]
    ours = [
        [served.arrival_s, served.ttft_s, (served.e2e_s - served.ttft_s) / served.output_tokens, served.e2e_s]
        for served in measured.requests
    ]
    until_s = theirs[len(ours)][0] if len(ours) < len(theirs) else float("inf")
    pairs = [(o, t) for o, t in zip(ours, theirs, strict=False) if max(o[0] + o[3], t[0] + t[3]) < until_s]
    mine, other = np.array([o for o, _ in pairs]), np.array([t for _, t in pairs])
    return {name: Beside(mine[:, column], other[:, column]) for column, name in enumerate(METRICS, 1)}
