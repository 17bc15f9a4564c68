"""The runs of a sweep: every point of its axes under every seed, each resolved into a scenario and judged beforehand.

Whatever is wrong with any of them is refused before the first one is made. Nothing is run here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from emu.refusal import Refusal
from emu.scenario.load import load
from emu.scenario.schema import Scenario
from emu.sweep.axes import Axis, points
from emu.sweep.jobs import Job, Keys


@frozen
class GridRun:
    """One run of the grid: the values of the axes, the seed, and the job."""

    values: tuple[str, ...]
    seed: int
    job: Job


def grid(scenario: Path, axes: Sequence[Axis], overrides: Sequence[str] = (), seeds: int = 1) -> list[GridRun]:
    """All runs, seeds fastest; `seeds` of them count up from the scenario's own. Refusal: as `emu.scenario.load`."""
    if seeds > 1 and any(axis.key == "seed" for axis in axes):
        raise Refusal("--seeds", "expected 1 where --vary goes through seeds")
    keys, runs = Keys(), []
    for values in points(axes, seeds):
        changes = [f"{axis.key}={value}" for axis, value in zip(axes, values, strict=True)]
        first = _load(scenario, axes, [*overrides, *changes], None)
        for index in range(seeds):
            again = first.seed + index
            resolved = _load(scenario, axes, [*overrides, *changes], again) if index else first
            runs.append(GridRun(values, resolved.seed, keys.job(resolved)))
    return runs


def _load(scenario: Path, axes: Sequence[Axis], overrides: Sequence[str], seed: int | None) -> Scenario:
    """A refusal of what an axis says names --vary, not the --set that it became."""
    try:
        return load(scenario, overrides, seed)
    except Refusal as refusal:
        option, _, key = refusal.where.partition(" ")
        if option == "--set" and any(axis.key == key for axis in axes):
            raise Refusal(f"--vary {key}", refusal.expected) from None
        raise
