"""What the cockpit costs and how far it keeps up: PYTHONPATH=tests python -m bench.cockpit [--seconds 60].

The 40-machine scenario runs in its own process, and the cockpit on a terminal of 200x50 that this process holds: it
types keys, one every fifth of a second whether or not the last one has shown, and takes the time from a key's byte to
the last byte of the screen that follows it. Printed: the speed of the run alone and watched, screens a second, how long
keys take and which take the longest, what they take of instructions and of CPU time, which no other process can
stretch, how old what is shown is, and how near each pace is held. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from itertools import cycle
from math import inf, isinf
from pathlib import Path
from typing import Any, Final

from bench.child import CHECKOUT, ENVIRONMENT
from bench.seen import SCENARIO
from emu.execute import execute
from emu.scenario.load import load

SIZE: Final = (200, 50)
EVERY_S: Final = 0.2
LAST_S: Final = 1.0  # for the last key to show
START_S: Final = 30.0  # to begin, to end
KEYS: Final = {
    **{number: number for number in "12345678"},
    **{key: key for key in ",nbf[]o"},
    "down": "\x1b[B",
    "right": "\x1b[C",
}
PRESSED: Final = (*"12", "right", "3", "down", "o", "4", "down", "5", "right", *"678,nbf238[]f541")
"""Every page, the cursors in them, and the past: back 0.1 s, an entry on, one back, to a mark, and to the end again."""
_MARK: Final = re.compile(rb"\x1b\]7007;(\d+)\x07")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=60.0, help="of the wall clock, for each pace")
    arguments.add_argument("--pace", type=float, nargs="*", default=[10.0, inf])
    arguments.add_argument("--duration", type=float, default=1500.0, help="of arrivals, in virtual seconds")
    arguments.add_argument("--slowest", type=int, default=5, help="keys to name")
    given = arguments.parse_args()
    summary = execute(load(SCENARIO, ("workload.duration_s=60",), None)).summary
    alone = summary["entries"] / summary["cpu_s"]
    say(f"alone: x{summary['virtual_s'] / summary['wall_s']:.1f}, {alone:,.0f} entries a CPU second")
    for pace in given.pace:
        load_before = os.getloadavg()[0]
        with tempfile.TemporaryDirectory() as room:
            report = Path(room) / "report.json"
            walls = typed(report, pace, given.duration, given.seconds)
            tell(json.loads(report.read_text()), walls, pace, alone, given.slowest)
        say(f"    load {load_before:.1f} before, {os.getloadavg()[0]:.1f} after")


def typed(report: Path, pace: float, duration_s: float, seconds: float) -> list[float]:
    """How long each key took to show, in the order of the keys; inf of one that never did."""
    ours, theirs = pty.openpty()
    ends_s = time.perf_counter() + seconds + START_S
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.seen", str(pace), str(duration_s), str(report)],
        cwd=CHECKOUT,
        env={**ENVIRONMENT, "TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONPATH": f"{CHECKOUT}/tests"},
        preexec_fn=lambda: os.login_tty(theirs),  # so that it ends where this process does
    )
    os.close(theirs)
    pressed: list[float] = []
    shown: dict[int, float] = {}
    keys, began_s = cycle(PRESSED), 0.0
    rest, left = b"", False
    try:
        while process.poll() is None and time.perf_counter() < ends_s:
            now_s = time.perf_counter()
            if began_s and not left and now_s >= began_s + seconds + LAST_S:
                left = True
                os.write(ours, b"q")
            elif began_s and len(pressed) * EVERY_S <= now_s - began_s < seconds:
                pressed.append(time.perf_counter())
                os.write(ours, KEYS[next(keys)].encode())
            if not select.select([ours], [], [], 0.005)[0]:
                continue
            try:
                rest += os.read(ours, 1 << 16)
            except OSError:
                break
            now_s = time.perf_counter()
            for mark in _MARK.finditer(rest):
                began_s = began_s or now_s
                shown[int(mark[1])] = now_s
            rest = rest[-20:] if not rest.endswith(b"\x07") else b""
    finally:
        os.close(ours)
        process.terminate()
        process.wait(timeout=START_S)
    return [shown.get(number, inf) - at_s for number, at_s in enumerate(pressed, 1)]


def tell(found: dict[str, Any], walls: list[float], pace: float, alone: float, slowest: int) -> None:
    passed, keys = found["passed"], found["keys"]
    reached = passed["virtual_s"] / passed["wall_s"]
    said = "unlimited" if isinf(pace) else f"x{pace:g} ({100 * (reached / pace - 1):+.2f} % off)"
    rate = passed["entries"] / passed["run_cpu_s"]
    old = sorted(found["old_s"])
    say(
        f"{said}: reached x{reached:.2f}, {found['screens'] / passed['wall_s']:.1f} screens/s, behind the record "
        f"p50 {1e3 * _p(old, 50):.0f} ms p99 {1e3 * _p(old, 99):.0f} ms; "
        f"the run: {rate:,.0f} entries a CPU second, {100 * rate / alone:.0f} % of alone"
    )
    say(
        f"    a screen: {found['screen_instructions'] / 1e6:.1f} M instructions, {1e3 * found['screen_cpu_s']:.1f} ms; "
        f"with all that is read for it: {passed['instructions'] / found['screens'] / 1e6:.1f} M, "
        f"{1e3 * passed['own_cpu_s'] / found['screens']:.1f} ms, "
        f"{100 * passed['own_cpu_s'] / passed['wall_s']:.0f} % of a core"
    )
    for name, values, unit, scale in (
        ("a key to its screen, wall", walls, "ms", 1e3),
        ("the same, CPU of its thread", [key["cpu_s"] for key in keys], "ms", 1e3),
        ("the same, instructions", [key["instructions"] for key in keys], "M", 1e-6),
    ):
        say(
            f"    {name}: {len(values)} keys, p50 {scale * _p(values, 50):.0f} {unit}, "
            f"p90 {scale * _p(values, 90):.0f}, p99 {scale * _p(values, 99):.0f}, "
            f"at the most {scale * max(values):.0f}"
        )
    order = sorted(range(min(len(keys), len(walls))), key=lambda number: -walls[number])
    for number in order[:slowest]:
        key = keys[number]
        say(
            f"      {1e3 * walls[number]:4.0f} ms: {key['key']} on {key['page']}, "
            f"{1e3 * key['cpu_s']:.0f} ms of CPU, {key['instructions'] / 1e6:.0f} M instructions"
        )
    say("    the longest goes of its event loop, by instructions:")
    for instructions, cpu_s, did in found["goes"][:slowest]:
        say(f"      {instructions / 1e6:.0f} M, {1e3 * cpu_s:.0f} ms of CPU: {did}")


def say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def _p(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


if __name__ == "__main__":
    main()
