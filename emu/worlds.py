"""Worlds: what may stand behind a cluster's ports, by the names that the command line knows.

Only the world that is asked for is imported. What a world is made of stands in `emu.run` and `emu.real_run`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from attrs import evolve

from emu.arrivals import load_workload
from emu.cluster import Cluster
from emu.execute import Build
from emu.record.log import Fold
from emu.refusal import Refusal
from emu.run import build
from emu.workload.table import Workload

if TYPE_CHECKING:
    from emu.real.rows import StepRow, TransferRow
    from emu.real.turns import Turn
    from emu.real_run import Machines, RealRun
    from emu.record.entries import Entry

EMULATED, REAL, REAL_CPU = "emulated", "real", "real-cpu"
WORLDS: Final = (EMULATED, REAL, REAL_CPU)
"""Models in virtual time; decoders on GPUs in wall time; the same on CPUs."""


def world(name: str, profile: Path | None = None) -> Build:
    """How clusters are built in that world. `profile` names a folder to make: how long the world's own steps and copies
    take is measured before the run, into tables of which `emu calibrate` makes profiles. Raises Refusal."""
    if name == EMULATED:
        if profile is not None:
            raise Refusal(f"--profile-out {profile}", "expected --world real, since steps of a model are not measured")
        return build
    if profile is not None and profile.exists():
        raise Refusal(f"--profile-out {profile}", "expected the name of a folder to make, got one that is there")
    try:
        from emu import real_run
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        raise Refusal(f"--world {name}", "expected PyTorch, which comes with pip install 'emu[torch]'") from None

    def build_real(cluster: Cluster, workload: Workload, folds: list[Fold], file: IO[bytes] | None) -> RealRun:
        rehearsal = load_workload(evolve(cluster.scenario, seed=cluster.scenario.seed + 1))
        loads = [workload] if profile is None else [workload, rehearsal]
        tokens = max(real_run.longest(cluster.scenario, load) for load in loads)
        machines = real_run.Machines.of(cluster, tokens, cpu=name == REAL_CPU)
        if profile is not None:
            keep_profile(profile, cluster, machines, [rehearsal])
        return real_run.build(cluster, workload, folds, file, machines, machines.close)

    return build_real


def keep_profile(folder: Path, cluster: Cluster, machines: Machines, rehearsals: Sequence[Workload]) -> None:
    """Measure, and write what was found: steps alone, with what a turn of the control plane adds to each that decodes
    in runs of `rehearsals`, and how its steps scatter about that; copies alone; and those runs' transfers. Raises
    Refusal where the folder cannot be made."""
    from emu import real_run
    from emu.real.transfers import transfer_rows
    from emu.real.turns import prefill_rows, turn_of, turn_rows

    def record_of(rehearsal: Workload) -> list[Entry]:
        run = real_run.build(cluster, rehearsal, (), None, machines, lambda: None)
        run.go()
        return run.kept.entries

    bench = machines.measure(cluster.model.kv_bytes_per_token)
    entries: list[Entry] = []
    seen: list[TransferRow] = []
    record_of(rehearsals[0])  # the first run of a process is slower than those that follow
    for rehearsal in rehearsals:
        found = record_of(rehearsal)
        entries += found
        seen += transfer_rows(found, cluster.model.layers)
    turn = turn_of(bench.steps, entries)
    names = {
        "model": cluster.model.name,
        "hardware": cluster.machines[0].profile.name,
        "tensor_parallel": 1,
        "device": machines.workers[0].device.described(),
    }
    try:
        folder.mkdir(parents=True)
        _write(folder / "steps.csv", [_with_turn(row, turn) | names for row in bench.steps])
        _write(folder / "copies.csv", [row._asdict() | names for row in bench.copies])
        _write(folder / "transfers.csv", [row._asdict() | names for row in seen])
        _write(folder / "prefills.csv", [row._asdict() for row in prefill_rows(bench.steps, entries, turn)])
        _write(folder / "turns.csv", [row._asdict() for row in turn_rows(bench.steps, entries, turn)])
    except OSError as error:
        raise Refusal(f"--profile-out {folder}", f"expected a place to write to; {error.strerror}") from None


def _with_turn(row: StepRow, turn: Turn) -> dict[str, Any]:
    turn_ms = turn.ms(row)
    return row._replace(ms=row.ms + turn_ms)._asdict() | {"turn_ms": turn_ms}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    import csv

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [])
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{value:.4f}" if isinstance(value, float) else value for key, value in row.items()})
