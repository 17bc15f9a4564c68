"""The record that ships, of a run on two H200: lawful, its answers the emulated ones, and its times nearly those."""

import csv
import gzip
import hashlib
import json
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from emu.calibrate.making import as_toml, file_name, profiles_of
from emu.execute import execute, law_rules
from emu.fake.profiles import shipped_folder
from emu.laws.checker import Checker
from emu.laws.verdicts import Handlers
from emu.record.entries import Entry, RequestEnded, StepFinished
from emu.record.lines import decode
from emu.record.start import RunStarted
from emu.run import Cluster, build, load_workload
from emu.scenario.load import load

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "docs" / "real"
SCENARIO = load(ROOT / "scenarios" / "h200_pair.toml")


class Digests:
    """A fold: the digest of each request's answer."""

    def __init__(self) -> None:
        self.found: dict[int, int] = {}
        self.handlers: Handlers = {RequestEnded: self._ended}

    def _ended(self, entry: RequestEnded) -> None:
        self.found[entry.request] = entry.output_digest


@cache
def record() -> tuple[RunStarted, tuple[Entry, ...]]:
    first, *lines = gzip.decompress((SHIPPED / "record.jsonl.gz").read_bytes()).decode().splitlines()
    return RunStarted.of_line(first), tuple(decode(line) for line in lines)


@cache
def summaries() -> tuple[dict[str, Any], dict[str, Any]]:
    """Of the run, and of the same scenario emulated."""
    return json.loads((SHIPPED / "summary.json").read_text()), execute(SCENARIO).summary


@cache
def emulated_with(*overrides: str) -> dict[str, Any]:
    return execute(load(ROOT / "scenarios" / "h200_pair.toml", overrides)).summary


def test_every_law_holds_on_it() -> None:
    started, entries = record()
    checker = Checker(started, law_rules(Cluster.of(SCENARIO)))
    folds = checker.laws
    for entry in entries:
        for fold in folds:
            handler = fold.handlers.get(type(entry))
            if handler is not None:
                handler(entry)
    assert checker.finish() == ()
    assert sum(type(entry) is StepFinished for entry in entries) > 3000


def test_its_digest_is_that_of_its_lines() -> None:
    _, rest = gzip.decompress((SHIPPED / "record.jsonl.gz").read_bytes()).split(b"\n", 1)
    assert hashlib.blake2b(rest, digest_size=16).hexdigest() == summaries()[0]["digest"]


def test_no_answer_was_read_from_a_wrong_block() -> None:
    emulated = Digests()
    build(Cluster.of(SCENARIO), load_workload(SCENARIO), (emulated,)).go()
    real = {entry.request: entry.output_digest for entry in record()[1] if type(entry) is RequestEnded}
    assert real == emulated.found
    assert len(real) == 200


def test_the_profile_is_what_the_workers_own_table_gives() -> None:
    (profile,) = profiles_of(ROOT / "measurements" / "h200_pair" / "steps.csv")
    assert as_toml(profile) == shipped_folder("steps").joinpath(file_name(profile)).read_text(encoding="utf-8")


@pytest.mark.parametrize("metric", ["ttft_s", "tpot_s", "ttst_s", "e2e_s"])
def test_what_is_emulated_is_what_was_measured(metric: str) -> None:
    real, emulated = (summary[metric] for summary in summaries())
    assert emulated["mean"] == pytest.approx(real["mean"], rel=0.05)
    assert emulated["p50"] == pytest.approx(real["p50"], rel=0.05)
    assert emulated["p99"] == pytest.approx(real["p99"], rel=0.15)


@pytest.mark.parametrize("metric", ["e2e_mean_ms", "tpot_mean_ms"])
def test_the_emulator_ranks_configurations_as_the_pair_does(metric: str) -> None:
    rows = list(csv.DictReader((SHIPPED / "configurations.csv").read_text().splitlines()))
    real = {row["configuration"]: float(row[metric]) for row in rows if row["world"] == "real"}
    overrides = {row["configuration"]: row["overrides"].split() for row in rows}
    metric, figure = metric.removesuffix("_ms").rsplit("_", 1)
    names = [name for name in real if not name.endswith("_again")]
    emulated = {name: emulated_with(*overrides[name])[f"{metric}_s"][figure] for name in names}
    pairs = list(combinations(names, 2))
    agree = sum((real[a] < real[b]) == (emulated[a] < emulated[b]) for a, b in pairs)
    assert len(pairs) == 21
    assert agree >= 20
