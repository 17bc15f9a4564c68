"""A run to be made, and the key under which its result is kept.

The key digests all that decides a result: the resolved scenario, the content of every file that it names, the program,
and what is asked of the run. Equal keys mean equal rows, wherever and whenever they were made.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

from emu.scenario.checks import EXEC
from emu.scenario.schema import Scenario
from emu.scenario.write import resolved_toml
from emu.sweep.version import program_version
from emu.workload.table import Workload
from emu.workload.traces import read_whole_trace


@frozen
class Job:
    """One run. `asked` says what is to be found out, where a scenario can be asked more than one thing."""

    key: str
    scenario: Scenario
    asked: str = ""


class Keys:
    """Makes keys; each file that scenarios name is read once, so it must not change while a sweep is planned."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}

    def job(self, scenario: Scenario, asked: str = "") -> Job:
        found = hashlib.blake2b(digest_size=16)
        for part in (program_version(), asked, resolved_toml(scenario), *map(self._file, _named(scenario))):
            found.update(f"{len(part)}\n{part}".encode())
        return Job(found.hexdigest(), scenario, asked)

    def _file(self, path: str) -> str:
        digest = self._files.get(path)
        if digest is None:
            with open(path, "rb") as file:
                digest = self._files[path] = hashlib.file_digest(file, "sha256").hexdigest()
        return digest


def whole_traces(scenarios: Iterable[Scenario]) -> dict[Path, Workload]:
    """Every trace that the scenarios name, read and checked once. Refusal: one that cannot be used."""
    traces: dict[Path, Workload] = {}
    for scenario in scenarios:
        path = scenario.workload.trace
        if path is not None and path not in traces:
            traces[path] = read_whole_trace(path)
    return traces


def _named(scenario: Scenario) -> list[str]:
    """The user's own files; a shipped profile is part of the program. Of policies, all modules of their folder."""
    paths = [scenario.model, *(group.hardware for group in scenario.machines)]
    if scenario.policies_from is not None:
        paths += [str(path) for path in scenario.policies_from.rglob("*.py")]
    if scenario.router.policy.startswith(EXEC):
        paths.append(shlex.split(scenario.router.policy.removeprefix(EXEC))[0])
    own = sorted({path for path in paths if os.path.isabs(path) and os.path.isfile(path)})
    return own if scenario.workload.trace is None else [str(scenario.workload.trace), *own]
