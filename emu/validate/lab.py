"""Lab: runs scenarios for the tables of the validation, each once, and hands out what came of every request.

A scenario is a document of ordinary keys, loaded as a file is. A run that broke a law measures nothing: it is refused.
What a table says of the runs is the sections' business.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import tomli_w
from attrs import define, evolve, field, frozen

from emu.cluster import Cluster
from emu.execute import execute
from emu.fake.costs import Costs
from emu.record.lives import Lives
from emu.record.start import RunStarted
from emu.refusal import Refusal
from emu.scenario.load import load

Document: TypeAlias = Mapping[str, Any]
PS_PER_S: Final = 10**12
Values: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
SwapCosts: TypeAlias = Callable[[Costs], Costs]
Arrival = tuple[float, int, int]
"""Arrival in seconds, prompt tokens, output tokens."""


class Served(NamedTuple):
    """What became of one request; times in seconds, NaN where a thing did not happen. As in requests.csv."""

    request: int
    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    queue_s: float
    prefill_start_s: float
    first_token_s: float
    transfer_end_s: float
    ttft_s: float
    ttst_s: float
    tpot_s: float
    e2e_s: float


@frozen
class Measured:
    """One run: its summary, and its requests in the order of their arrivals."""

    summary: dict[str, Any]
    requests: tuple[Served, ...]

    def each(self, of: Callable[[Served], float]) -> Values:
        """One figure of every request."""
        return np.array([of(request) for request in self.requests], dtype=np.float64)


@define
class Lab:
    """`scratch` is a folder for files of the lab's own; `shared` the folder of published data, None without one."""

    scratch: Path
    shared: Path | None = None
    cpu_s: float = 0.0
    _runs: dict[str, Measured] = field(init=False, factory=dict)

    def data(self, name: str) -> Path:
        """A published file. Raises `Refusal` where it is not at hand."""
        path = None if self.shared is None else self.shared / name
        if path is None or not path.is_file():
            raise Refusal(name, f"expected a file of this name in {self.shared}")
        return path

    def run(self, document: Document, swap: SwapCosts | None = None) -> Measured:
        """Run a scenario; `swap`, whose repr says what it does, gives its machines other step times.

        Raises `Refusal`, also for a broken law.
        """
        key = json.dumps(document, sort_keys=True) + ("" if swap is None else repr(swap))
        if key not in self._runs:
            self._runs[key] = self._measure(document, swap)
        return self._runs[key]

    def trace(self, name: str, arrivals: Iterable[Arrival]) -> str:
        """A trace file of these requests; its path, for a scenario."""
        path = self.scratch / f"{name}.csv"
        lines = (f"{at_s:.12f},{prompt},{output}\n" for at_s, prompt, output in arrivals)
        path.write_text("arrival_s,prompt_tokens,output_tokens\n" + "".join(lines), encoding="utf-8")
        return str(path)

    def _measure(self, document: Document, swap: SwapCosts | None) -> Measured:
        path = self.scratch / "scenario.toml"
        path.write_text(tomli_w.dumps(document), encoding="utf-8")
        scenario = load(path)
        cluster = Cluster.of(scenario)
        if swap is not None:
            machines = tuple(evolve(machine, costs=swap(machine.costs)) for machine in cluster.machines)
            cluster = evolve(cluster, machines=machines)
        rows = io.StringIO()

        def keep(started: RunStarted) -> Lives:
            return Lives(started, rows)

        outcome = execute(scenario, watch=keep, cluster=cluster)
        self.cpu_s += outcome.summary["cpu_s"]
        if outcome.broken:
            names = ", ".join(law.name for law in outcome.broken)
            raise Refusal(scenario.name, f"expected every law to hold; broken: {names}")
        rows.seek(0)
        return Measured(outcome.summary, tuple(_served(row) for row in csv.DictReader(rows)))


def merged(document: Document, *changes: Document) -> Document:
    """A document with further keys, table by table; the later wins."""
    found: dict[str, Any] = dict(document)
    for change in changes:
        for key, value in change.items():
            found[key] = found.get(key, {}) | value if isinstance(value, Mapping) else value
    return found


def percentiles(values: Sequence[float] | Values) -> dict[str, float]:
    """mean, p50, p90, p99, linear between ranks."""
    found = {"mean": float(np.mean(values))}
    return found | {f"p{at}": float(np.percentile(values, at)) for at in (50, 90, 99)}


def _served(row: Mapping[str, str]) -> Served:
    counts = int(row["request_id"]), float(row["arrival_s"]), int(row["prompt_tokens"]), int(row["output_tokens"])
    return Served(*counts, *(float(row[key] or "nan") for key in Served._fields[4:]))
