"""Child processes and what they used: CPU seconds and peak memory, of the whole process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

CHECKOUT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""A start without its bytecode compiles everything: what is measured may write it, as it does for everybody."""


@frozen
class Used:
    """What one process used: CPU seconds, user and system together, and its largest resident set in MiB."""

    cpu_s: float
    peak_mib: float
    output: str


def run(arguments: Sequence[str]) -> Used:
    """Run this Python with `arguments` to its end. Raises CalledProcessError with what it said."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=CHECKOUT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    output, errors = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(arguments), output, errors)
    return Used(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)


def median(arguments: Sequence[str], times: int = 3) -> Used:
    """The run of median CPU seconds of `times` runs."""
    runs = sorted((run(arguments) for _ in range(times)), key=lambda used: used.cpu_s)
    return runs[len(runs) // 2]


def instructions(arguments: Sequence[str]) -> int | None:
    """Instructions of a run, which no other process can slow down; None where `perf` cannot count them."""
    if shutil.which("perf") is None:
        return None
    counted = ["perf", "stat", "--event", "instructions:u", "--field-separator", ";", sys.executable, *arguments]
    said = subprocess.run(counted, cwd=CHECKOUT, env=ENVIRONMENT, capture_output=True, text=True).stderr
    found = [line.split(";")[0] for line in said.splitlines() if "instructions" in line]
    return int(found[0]) if found and found[0].isdigit() else None
