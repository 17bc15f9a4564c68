"""What parity with splitwise-sim comes to, told: both reference files, the request that differs most, and why."""

from __future__ import annotations

from typing import Final

from emu.validate.lab import Lab, percentiles
from emu.validate.reference import CASES, HH, MIXED, Beside, compare
from emu.validate.words import apart, percent, table

FINE_LIMIT: Final = 800
"""Requests with blocks of one token: a run of them costs twenty times as much."""


def section(lab: Lab) -> dict[str, str]:
    rows, named = [], []
    for case in CASES:
        found = compare(lab, case)
        for metric, both in found.items():
            theirs, ours, share = percentiles(both.theirs), percentiles(both.ours), both.apart()
            cells = [f"{1000 * theirs[key]:,.2f} / {1000 * ours[key]:,.2f} ({apart(share[key], 2)})" for key in theirs]
            rows.append([f"{case.name}, {metric}", *cells, percent(both.same())])
        named.append(f"- {case.name}: {_worst(found)}")
    headings = ("theirs / ours, ms", "mean", "p50", "p90", "p99", "same request, same microsecond")
    fine = compare(lab, HH, FINE_LIMIT, block_tokens=1)
    guard = compare(lab, MIXED, max_preemptions=4)["TTFT"]
    return {
        "table": table(headings, rows),
        "worst": "\n".join(named),
        "fine_limit": f"{FINE_LIMIT:,}",
        "fine_over": f"{len(fine['E2E'].ours):,}",
        "fine_same": ", ".join(f"{metric} {percent(both.same())}" for metric, both in fine.items()),
        "guard_same": percent(guard.same()),
        "guard_p99": apart(guard.apart()["p99"]),
    }


def _worst(found: dict[str, Beside]) -> str:
    metric, both = max(found.items(), key=lambda pair: max(abs(pair[1].ours / pair[1].theirs - 1)))
    request = both.worst()
    ours, theirs = both.ours[request], both.theirs[request]
    if abs(ours - theirs) < 1e-6:
        return "no request differs by a microsecond in any metric."
    return f"request {request}'s {metric} differs most: {1000 * ours:.2f} ms, theirs {1000 * theirs:.2f}."
