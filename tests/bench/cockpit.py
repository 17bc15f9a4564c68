"""What the cockpit costs and how far it keeps up: python tests/bench/cockpit.py [--seconds 20] [--pace 10 inf].

The 40-machine scenario runs in its own process while the application draws 200x50 screens without a terminal. Printed:
the speed of the run alone and watched, screens a second, how long a key press takes to show (by the wall clock, and in
CPU time of the screens' process, which others that run do not stretch), how old what is shown is, and how near each
pace is held. Figures belong to the machine that they were measured on; nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from math import inf, isinf
from pathlib import Path

from emu.execute import execute
from emu.scenario.load import load
from emu.scenario.schema import Scenario
from emu.view.reader import Reader
from emu.view.survey import PS_PER_S
from tui.app import Cockpit
from tui.deck import Deck
from tui.operate import Operator, slo_of
from tui.player import Player

SCENARIO = Path(__file__).parents[2] / "scenarios" / "splitwise_hh.toml"
SIZE = (200, 50)
KEYS = ("2", "3", "right", "5", "1", "2", "left", "8")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=20.0, help="of the wall clock, for each pace")
    arguments.add_argument("--pace", type=float, nargs="*", default=[10.0, inf])
    arguments.add_argument("--duration", type=float, default=600.0, help="of arrivals, in virtual seconds")
    given = arguments.parse_args()
    scenario = load(SCENARIO, (f"workload.duration_s={given.duration}",), None)
    alone = load(SCENARIO, ("workload.duration_s=60",), None)
    summary = execute(alone).summary
    say(
        f"alone: x{summary['virtual_s'] / summary['wall_s']:.1f}, "
        f"{1e3 * summary['cpu_s'] / summary['virtual_s']:.1f} ms of CPU a virtual second, "
        f"{summary['entries'] / summary['cpu_s']:,.0f} entries a CPU second"
    )
    for pace in given.pace:
        asyncio.run(watched(scenario, pace, given.seconds))


async def watched(scenario: Scenario, pace: float, seconds: float) -> None:
    """One run at one pace, drawn and typed at."""
    operator = Operator(scenario, None, pace)
    reader = Reader(operator.folder, slo_of(scenario))
    app = Cockpit(Deck(Player(reader, live=True, pace=pace)), operator)
    shown: list[float] = []
    old: list[float] = []
    keys: list[float] = []
    keys_cpu: list[float] = []
    shown_cpu: list[tuple[float, float]] = []
    sizes: list[tuple[float, int]] = []
    draw = app.draw

    def measured() -> None:
        now_s = time.perf_counter()
        sizes.append((now_s, reader.recording.size_bytes))
        draw()
        done_s = time.perf_counter()
        shown.append(done_s)
        shown_cpu.append((done_s, time.process_time()))
        read = reader.read_bytes
        waiting = next((at_s for at_s, size in sizes if size > read), done_s)
        old.append(done_s - waiting)
        del sizes[:-200]

    app.draw = measured  # type: ignore[method-assign]
    try:
        async with app.run_test(size=SIZE) as pilot:
            await asyncio.sleep(3.0)
            shown.clear()
            old.clear()
            began_s, began_ps = time.perf_counter(), operator.now_ps
            own_s, run_s, entries = time.process_time(), cpu_s(operator), app.player.view().entries
            number = 0
            while time.perf_counter() - began_s < seconds and operator.running:
                await asyncio.sleep(0.2)
                pressed_s, pressed_cpu_s = time.perf_counter(), time.process_time()
                await pilot.press(KEYS[number % len(KEYS)])
                at_s, cpu = next((each for each in shown_cpu if each[0] > pressed_s), (inf, inf))
                keys.append(min(at_s, time.perf_counter()) - pressed_s)
                keys_cpu.append(min(cpu, time.process_time()) - pressed_cpu_s)
                number += 1
            passed_s = time.perf_counter() - began_s
            virtual_s = (operator.now_ps - began_ps) / PS_PER_S
            own_s, run_s = time.process_time() - own_s, cpu_s(operator) - run_s
            entries = app.player.view().entries - entries
    finally:
        operator.close()
        reader.close()
    said = "unlimited" if isinf(pace) else f"x{pace:g}"
    off = "" if isinf(pace) else f" ({100 * (virtual_s / passed_s / pace - 1):+.2f} % off)"
    say(
        f"{said}: reached x{virtual_s / passed_s:.2f}{off}, {len(shown) / passed_s:.1f} screens/s, "
        f"key p50 {_p(keys, 50):.0f} ms p99 {_p(keys, 99):.0f} ms "
        f"(of CPU {_p(keys_cpu, 50):.0f} and {_p(keys_cpu, 99):.0f} ms), "
        f"behind the record p50 {_p(old, 50):.0f} ms p99 {_p(old, 99):.0f} ms"
    )
    say(
        f"    the run: {entries / run_s:,.0f} entries a CPU second; "
        f"the screens: {1e3 * own_s / len(shown):.1f} ms of CPU each, {100 * own_s / passed_s:.0f} % of a core"
    )


def cpu_s(operator: Operator) -> float:
    """CPU time of the run's process so far."""
    assert operator.process is not None
    fields = Path(f"/proc/{operator.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def _p(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)] * 1e3


if __name__ == "__main__":
    main()
