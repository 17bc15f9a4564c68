"""How a paced run holds its pace, measured by the wall clock: the feed of the cockpit, as the cockpit starts it.

A run says what time it is and when; over a window of wall time that gives the speed reached, and how far behind its
pace the run was at the worst. That no work is skipped is seen by the record, which begins as that of a run without any
pace does, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from bench import cases
from bench.child import CHECKOUT
from bench.runs import Figures

WINDOW_S: Final = 60.0
WARM_S: Final = 3.0
HEADLESS_S: Final = 20.0
FACTORS: Final = (0.1, 1.0)
SHARES: Final = (1 / 3, 2 / 3, 2.0)  # of the speed without a pace
PS_PER_S: Final = 10**12


@frozen
class Watched:
    """A window of one run: virtual seconds in it, wall seconds, the most that it lagged, and the record so far."""

    virtual_s: float
    wall_s: float
    behind_s: float
    record: bytes

    @property
    def speed(self) -> float:
        return self.virtual_s / self.wall_s


def paced(folder: Path) -> Figures:
    """The reference cluster without a pace, then at paces below and above the speed that it had."""
    path = cases.scenario(folder, "paced", {"prefill": 25, "decode": 15}, cases.synthetic(70, 150_000))
    headless = watch(path, folder / "headless", None, HEADLESS_S)
    found: Figures = {"headless": headless.speed, "load": os.getloadavg()[0], "window_s": WINDOW_S, "paces": []}
    for pace in (*FACTORS, *(share * headless.speed for share in SHARES)):
        run = watch(path, folder / f"x{pace:g}", pace, WINDOW_S)
        common = min(len(run.record), len(headless.record))
        same = hashlib.blake2b(run.record[:common]).digest() == hashlib.blake2b(headless.record[:common]).digest()
        found["paces"].append(
            {"asked": pace, "reached": run.speed, "behind_s": run.behind_s, "same": same, "compared_bytes": common}
        )
    return found


def watch(path: Path, out: Path, pace: float | None, window_s: float) -> Watched:
    """Let one run go for that long, and end it."""
    settings = {"scenario": str(path), "overrides": [], "seed": 0, "out": str(out)}
    settings |= {"pace": pace, "until_ps": 0, "held": False}
    feed = subprocess.Popen(
        [sys.executable, "-m", "tui.feed", json.dumps(settings)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert feed.stdin is not None
    assert feed.stdout is not None
    first: tuple[float, int] | None = None
    began_s, behind_s = 0.0, 0.0
    try:
        while True:
            said: dict[str, Any] = json.loads(feed.stdout.readline())
            now_s, at_ps = time.monotonic(), said["at_ps"]
            began_s = began_s or now_s
            if now_s - began_s < WARM_S:
                continue
            if first is None:
                first = now_s, at_ps
            wall_s, virtual_s = now_s - first[0], (at_ps - first[1]) / PS_PER_S
            if pace is not None:
                behind_s = max(behind_s, wall_s - virtual_s / pace)
            if wall_s >= window_s:
                record = (out.with_name(out.name + ".partial") / "record.jsonl").read_bytes()
                return Watched(virtual_s, wall_s, behind_s, record)
    finally:
        feed.stdin.close()
        feed.stdout.close()
        feed.wait(timeout=30)
