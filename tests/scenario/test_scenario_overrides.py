"""`--set` and `--seed`: paths, values, and what replaces what."""

from pathlib import Path

import pytest
from scenario_documents import load_document, refusal_line
from test_scenario_checks import SMALL

from emu.refusal import Refusal
from emu.scenario.load import load
from emu.scenario.overrides import parse


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("machines.0.count=30", ("machines", 0, "count"), 30),
        ("machines[0].count=30", ("machines", 0, "count"), 30),
        ("router.policy=jsq", ("router", "policy"), "jsq"),
        ('router.policy="jsq"', ("router", "policy"), "jsq"),
        ("workload.trace=a=b.csv", ("workload", "trace"), "a=b.csv"),
        (" workload.rate_rps = 1e1 ", ("workload", "rate_rps"), 10.0),
        ("machines=[{pool='mixed'}]", ("machines",), [{"pool": "mixed"}]),
        ("name=1\nseed=2", ("name",), "1\nseed=2"),
    ],
)
def test_a_value_is_toml_or_else_text(override: str, key: tuple[str | int, ...], value: object) -> None:
    assert parse(override) == (key, value)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("router.polcy=x", "--set router.polcy: expected a known key (the nearest is router.policy)"),
        ("workload.rate=1", "--set workload.rate: expected a known key (the nearest is workload.rate_rps)"),
        ("machines.1.cuont=1", "--set machines[1].cuont: expected a known key (the nearest is machines[1].count)"),
        ("machines[2].count=1", "--set machines[2].count: expected the index of one of 2 entries, got 2"),
        ("machines.count=1", "--set machines.count: expected an index after machines, got 'count'"),
        ("seed.x=1", "--set seed.x: expected nothing after seed, got 'x'"),
        ("seed", "--set 'seed': expected KEY=VALUE, got no '='"),
        ("a..b=1", "--set 'a..b': expected a path such as router.policy or machines[0].count"),
        ("seed=true", "--set seed: expected a whole number, got true"),
        ("machines[0].count=many", "--set machines[0].count: expected a whole number, got 'many'"),
    ],
)
def test_a_wrong_override_is_refused_as_one(tmp_path: Path, override: str, line: str) -> None:
    assert refusal_line(tmp_path, SMALL, override) == line


def test_an_override_creates_its_table_and_the_last_one_wins(tmp_path: Path) -> None:
    scenario = load_document(tmp_path, SMALL, "scheduler.max_steps=1", "scheduler.max_steps=2")
    assert scenario.scheduler.max_steps == 2


def test_an_override_below_something_that_is_no_table_is_refused_by_the_file(tmp_path: Path) -> None:
    line = refusal_line(tmp_path, {**SMALL, "router": 3}, "router.policy=jsq")
    assert line == f"{tmp_path / 's.toml'}: router: expected a table, got 3"


def test_a_trace_replaces_the_generator_of_the_file_and_is_found_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "trace.csv").touch()
    monkeypatch.chdir(here)
    scenario = load_document(tmp_path, SMALL, "workload.speedup=12", "workload.trace=trace.csv")
    assert scenario.workload.trace == (here / "trace.csv").resolve()
    assert (scenario.workload.synthetic, scenario.workload.rate_rps, scenario.workload.speedup) == (None, None, 12.0)
    line = refusal_line(tmp_path, SMALL, "workload.trace=trace.csv", "workload.rate_rps=2")
    assert line == "--set workload.rate_rps: expected nothing beside workload.trace, got 2"


def test_a_limit_replaces_the_preset_of_the_file(tmp_path: Path) -> None:
    scenario = load_document(tmp_path, {**SMALL, "slo": {"preset": "splitwise"}}, "slo.e2e_p90_s=9")
    assert scenario.slo.preset is None
    assert scenario.slo.limits() == (("e2e", 90, 9.0),)


def test_the_seed_option_goes_over_file_and_overrides(tmp_path: Path) -> None:
    load_document(tmp_path, {**SMALL, "seed": 1})
    path = tmp_path / "s.toml"
    assert load(path).seed == 1
    assert load(path, ["seed=2"]).seed == 2
    assert load(path, ["seed=2"], seed=3).seed == 3
    with pytest.raises(Refusal, match=r"^--seed: expected a number from 0 "):
        load(path, seed=-1)
