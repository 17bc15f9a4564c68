"""Leaping and stepping write the same record, entry for entry and instant for instant."""

from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from small_clusters import Row, rows, scenarios, written

from emu.fuzz.clusters import Clusters
from emu.fuzz.judge import judge
from emu.record.entries import RequestEnded, StepsCut
from emu.scenario.load import load
from emu.scenario.schema import Fault, Scenario

REGRESSIONS = Path(__file__).parents[2] / "scenarios" / "regressions"


def bounded(scenario: Scenario, most: int) -> Scenario:
    return evolve(scenario, scheduler=evolve(scenario.scheduler, max_steps=most))


@settings(max_examples=150, deadline=None)
@given(scenarios(), rows, st.integers(2, 7))
def test_a_leap_is_the_steps_that_it_stands_for(scenario: Scenario, requests: list[Row], few: int) -> None:
    leaping = written(scenario, requests)
    for most in (1, few):
        stepping = written(bounded(scenario, most), requests)
        assert stepping.entries == leaping.entries
        assert stepping.digest == leaping.digest
    assert len(leaping.of(RequestEnded)) == len(requests)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(("crash", "restart", "drain")), st.integers(60, 2950), st.integers(1, 5))
def test_a_machine_goes_in_the_middle_of_a_leap(kind: str, at_ms: int, few: int) -> None:
    scenario, clusters = load(REGRESSIONS / "crash_in_a_leap.toml"), Clusters()
    when = {"crash": {"heal_after_s": 0.3}, "restart": {"startup_s": 0.3}, "drain": {"deadline_s": 0.001}}[kind]
    gone = Fault(kind=kind, machine="decode-0", at_s=at_ms / 1000, **when)  # type: ignore[arg-type]
    struck = evolve(scenario, faults=(gone,))
    leaping, stepping = judge(struck, clusters), judge(bounded(struck, few), clusters)
    assert stepping.entries == leaping.entries
    assert any(cut.grown_blocks for cut in leaping.entries if isinstance(cut, StepsCut)) or at_ms < 600


@pytest.mark.parametrize("path", sorted(REGRESSIONS.glob("*.toml")), ids=lambda path: path.stem)
def test_what_once_failed_is_the_same_in_steps(path: Path) -> None:
    scenario, clusters = evolve(load(path), goes_first=()), Clusters()  # other wakeups: it would name others of them
    assert judge(bounded(scenario, 1), clusters).digest == judge(scenario, clusters).digest
