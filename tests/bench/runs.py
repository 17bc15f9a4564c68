"""Whole runs: the reference trace, Mooncake's, and growth with machines and requests."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import cases
from bench.child import Used, instructions, run

Figures = dict[str, Any]
ROUND_ROBIN = '\n[router]\npolicy = "round-robin"\n'
STEPWISE = "\n[scheduler]\nmax_steps = 1\n"


def reference(folder: Path) -> Figures:
    """The 8,502 requests that splitwise-sim was measured on, all laws on and everything written to disk."""
    split = cases.scenario(folder, "hh", {"prefill": 25, "decode": 15}, cases.trace(cases.REFERENCE))
    mixed = cases.scenario(folder, "mixed", {"mixed": 40}, cases.trace(cases.REFERENCE_MIXED))
    return {"split": _kept(split, folder), "mixed": _kept(mixed, folder)}


def mooncake(folder: Path) -> Figures:
    """Mooncake's conversation trace, whole, with queues as long as they get; and the same without leaps."""
    work = cases.trace(cases.MOONCAKE)
    found: Figures = {}
    for name, pools in (("mixed", {"mixed": 8}), ("split", {"prefill": 3, "decode": 5})):
        found[name] = _kept(cases.scenario(folder, name, pools, work, ROUND_ROBIN), folder, times=1)
        first = f"{work}\nlimit = 2000"  # step by step all of it takes a quarter of an hour
        stepwise = cases.scenario(folder, f"{name}-stepwise", pools, first, ROUND_ROBIN + STEPWISE)
        found[f"{name}_stepwise"] = _kept(stepwise, folder, times=1)
    return found


def machines(folder: Path, requests: int = 20_000) -> Figures:
    """As many requests on 40 machines at 70 a second, and on 1,000 at 1,750."""
    few = cases.scenario(folder, "few", {"prefill": 25, "decode": 15}, cases.synthetic(70, requests))
    many = cases.scenario(folder, "many", {"prefill": 625, "decode": 375}, cases.synthetic(1750, requests))
    return {"few": _kept(few, folder), "many": _kept(many, folder)}


def huge(folder: Path) -> Figures:
    """10,000 machines for two seconds at 17,500 requests a second."""
    path = cases.scenario(folder, "huge", {"prefill": 6250, "decode": 3750}, cases.synthetic(17_500, 35_000))
    return {"10000": _kept(path, folder, times=1)}


def length(folder: Path, sizes: tuple[int, ...]) -> Figures:
    """The same cluster for ever longer."""
    found: Figures = {}
    for requests in sizes:
        path = cases.scenario(folder, f"n{requests}", {"prefill": 25, "decode": 15}, cases.synthetic(70, requests))
        found[str(requests)] = _kept(path, folder, times=1)
    return found


def _kept(path: Path, folder: Path, times: int = 3) -> Figures:
    """`emu run` with its whole output on disk; what it used, and what its summary says."""
    outs = (folder / f"{path.stem}-out{number}" for number in range(times))
    if times == 1:
        return _figures(run(["-m", "emu", "run", str(path), "--json", "--out", str(next(outs))]))
    found = [_figures(run(["-m", "emu", "run", str(path), "--json", "--out", str(out)])) for out in outs]
    return sorted(found, key=lambda figures: float(figures["cpu_s"]))[times // 2]


def _figures(used: Used) -> Figures:
    summary: Mapping[str, Any] = json.loads(used.output)
    requests = summary["requests"]
    return {
        "cpu_s": used.cpu_s,
        "peak_mib": used.peak_mib,
        "requests": requests["arrived"],
        "completed": requests["completed"],
        "wakeups": summary["wakeups"],
        "entries": summary["entries"],
        "steps": summary["steps"],
        "peak_queue": summary["queue"]["peak_requests"],
        "laws": summary["laws"],
        "digest": summary["digest"],
    }


def startup(folder: Path, rounds: int = 9) -> Figures:
    """CPU seconds of the smallest commands beside those of Python alone, each round one after the other."""
    del folder
    commands = {
        "pass": ["-c", "pass"],
        "help": ["-m", "emu", "--help"],
        "imports": ["-c", "import trio, attrs"],
        "hello": ["-m", "emu", "run", "scenarios/hello.toml"],
    }
    for arguments in commands.values():
        run(arguments)  # which leaves the bytecode behind
    cpu_s = [{name: run(arguments).cpu_s for name, arguments in commands.items()} for _ in range(rounds)]
    found: Figures = {name: statistics.median(each[name] for each in cpu_s) for name in commands}
    found["help_ratio"] = statistics.median(each["help"] / each["pass"] for each in cpu_s)
    found["hello_ratio"] = statistics.median(each["hello"] / each["imports"] for each in cpu_s)
    found["instructions"] = {name: instructions(arguments) for name, arguments in commands.items()}
    return found
