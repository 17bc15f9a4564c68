"""Costs inside one process: a bare wakeup, a small run, a decision of the router."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from pathlib import Path

import trio

from bench import cases
from bench.runs import Figures
from emu.control.commands import Send
from emu.control.messages import Assign, LoadReport, Reserve, Submit
from emu.control.placement import Splitwise
from emu.control.pools import Member, Pool
from emu.control.request import Request
from emu.control.router import Router, RouterRules
from emu.execute import execute
from emu.fake.clock import HeapClock
from emu.scenario.load import load

ROUNDS = 400
TASKS = 50


def bare_wakeup_us() -> float:
    """CPU microseconds of one wakeup: 50 tasks that do nothing but wait, on the heap clock."""
    clock = HeapClock()

    async def waits(number: int) -> None:
        signal = clock.signal(f"task {number}")
        for turn in range(1, ROUNDS + 1):
            await signal.wait(turn * 1000 + number)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(TASKS):
                nursery.start_soon(waits, number)

    began_s = time.process_time()
    trio.run(main, clock=clock)
    return (time.process_time() - began_s) / (TASKS * ROUNDS) * 1e6


def floor(folder: Path) -> Figures:
    """What a request of the reference trace costs, in bare wakeups measured just before and just after."""
    path = cases.scenario(folder, "hh", {"prefill": 25, "decode": 15}, cases.trace(cases.REFERENCE))
    scenario = load(path)
    ratios, wakeup_us = [], []
    for _ in range(3):
        before_us = min(bare_wakeup_us() for _ in range(3))
        began_s = time.process_time()
        summary = execute(scenario).summary
        cpu_s = time.process_time() - began_s
        bare_us = (before_us + min(bare_wakeup_us() for _ in range(3))) / 2
        requests = summary["requests"]["arrived"]
        ratios.append(cpu_s / requests / (7.5 * bare_us * 1e-6))
        wakeup_us.append(bare_us)
    return {
        "bare_wakeup_us": statistics.median(wakeup_us),
        "ratio": statistics.median(ratios),
        "wakeups_per_request": summary["wakeups_per_request"],
        "entries_per_request": summary["entries_per_request"],
    }


def small(folder: Path, runs: int = 200) -> Figures:
    """2 + 2 machines and 20 requests, all laws on, in one process that is warm; with one crash, and without."""
    crash = '\n[[faults]]\nkind = "crash"\nmachine = "decode-1"\nat_s = 1.0\n'
    found: Figures = {}
    for name, more in (("clean", ""), ("crash", crash)):
        path = cases.scenario(folder, name, {"prefill": 2, "decode": 2}, cases.synthetic(10, 20), more)
        scenario = load(path)
        execute(scenario)
        began_s = time.process_time()
        for _ in range(runs):
            execute(scenario)
        found[f"{name}_ms"] = (time.process_time() - began_s) / runs * 1e3
    return found


def decisions(machines: int, requests: int = 20_000, parts: int = 10) -> Figures:
    """Microseconds of an assignment and of a load report in the router alone, over so many machines: of the quickest
    tenth, since the clock that can time one goes on while others have the processor.

    Half of the machines prefill, and both machines of each request report after it, as idle again.
    """
    half, blocks = machines // 2, 90_000
    members = tuple(Member(m, Pool.PREFILL if m < half else Pool.DECODE, blocks) for m in range(machines))
    router = Router(members, RouterRules(policy=Splitwise()))
    draws = random.Random(0)
    assigning_s, reporting_s = [0.0] * parts, [0.0] * parts
    for number in range(requests):
        part, now = number * parts // requests, number * 10**9
        submit = Submit(Request(number, draws.randrange(100, 4000), 2048, now), draws.getrandbits(32))
        began_s = time.perf_counter()
        commands = router.handle(submit, now)
        placed_s = time.perf_counter()
        sent = [(c.machine, c.message) for c in commands if type(c) is Send and isinstance(c.message, Assign | Reserve)]
        reports = [LoadReport(machine, message.number, now, 0, 0, 0, blocks) for machine, message in sent]
        reading_s = time.perf_counter()
        for report in reports:
            router.handle(report, now)
        reporting_s[part] += time.perf_counter() - reading_s
        assigning_s[part] += placed_s - began_s
    each = requests / parts
    return {"assignment_us": min(assigning_s) / each * 1e6, "report_us": min(reporting_s) / (2 * each) * 1e6}


def routing(folder: Path) -> Figures:
    """Decisions of the router alone."""
    del folder
    return {str(machines): decisions(machines) for machines in (40, 1_000, 10_000)}


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Where scenarios and the output of runs are kept while they are measured."""
    return tempfile.TemporaryDirectory(prefix="emu-bench-")
