"""The record that ships, of a run on two H200: lawful, its answers the emulated ones, and its times nearly those."""

import gzip
import hashlib
import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from emu.arrivals import load_workload
from emu.calibrate.link_fit import link_tables
from emu.calibrate.making import as_toml, file_name, profiles_of
from emu.cluster import Cluster
from emu.execute import execute, law_rules
from emu.fake.profiles import shipped_folder
from emu.laws.checker import Checker
from emu.laws.verdicts import Handlers
from emu.record.entries import Entry, RequestEnded, StepFinished
from emu.record.lines import decode
from emu.record.start import RunStarted
from emu.run import build
from emu.scenario.load import load
from emu.validate.configurations import BASE, CONFIGURATIONS, Figures, figures_of, shipped
from emu.validate.real_pair import rank

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
def emulated() -> dict[str, Figures]:
    path = ROOT / "scenarios" / "h200_pair.toml"
    return {name: figures_of(execute(load(path, changes)).summary) for name, changes in CONFIGURATIONS.items()}


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
    (profile,) = profiles_of(ROOT / "measurements" / "h200_pair" / "steps.csv", mixed=True)
    assert as_toml(profile) == shipped_folder("steps").joinpath(file_name(profile)).read_text(encoding="utf-8")


def test_what_the_machine_says_of_its_link_is_what_the_tables_of_copies_and_transfers_give() -> None:
    found = link_tables(ROOT / "measurements" / "h200_pair")
    profile = tomllib.loads(shipped_folder("hardware").joinpath("h200-pair.toml").read_text(encoding="utf-8"))
    for key, value in found.items():
        assert profile[key] == value


@pytest.mark.parametrize("metric", ["ttft", "tpot", "ttst", "tbt", "e2e", "remainder"])
def test_what_is_emulated_is_what_was_measured(metric: str) -> None:
    real, found = (figures_of(summary) for summary in summaries())
    assert found[f"{metric}_mean"] == pytest.approx(real[f"{metric}_mean"], rel=0.05)
    assert found[f"{metric}_p50"] == pytest.approx(real[f"{metric}_p50"], rel=0.05)
    assert found[f"{metric}_p99"] == pytest.approx(real[f"{metric}_p99"], rel=0.15)


@pytest.mark.parametrize(
    ("figure", "within"),
    [
        ("ttft_mean", 0.05),
        ("ttft_p99", 0.15),
        ("tpot_mean", 0.05),
        ("tpot_p99", 0.15),
        ("tbt_p99", 0.15),
        ("e2e_mean", 0.05),
        ("e2e_p99", 0.15),
    ],
)
def test_every_configuration_is_what_was_measured(figure: str, within: float) -> None:
    for name in CONFIGURATIONS:
        real = [run[figure] for run in shipped()[name]]
        assert emulated()[name][figure] == pytest.approx(sum(real) / len(real), rel=within)


def test_the_table_of_configurations_has_the_run_that_is_shipped() -> None:
    assert shipped()[BASE][0] == pytest.approx(figures_of(summaries()[0]), abs=1e-4)


@pytest.mark.parametrize(
    ("figure", "most_wrong"), [("ttft_mean", 0), ("ttft_p99", 0), ("tpot_mean", 0), ("e2e_mean", 0)]
)
def test_the_emulator_ranks_configurations_as_the_pair_does(figure: str, most_wrong: int) -> None:
    real = {name: runs for name, runs in shipped().items() if name != BASE}
    found = rank(real, emulated(), figure)
    assert found.told_apart + found.ties == 21
    assert found.told_apart > 10
    assert len(found.wrong) <= most_wrong
