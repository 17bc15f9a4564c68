"""Leaping and stepping write the same record, entry for entry and instant for instant."""

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from small_clusters import Row, rows, scenarios, written

from emu.record.entries import RequestEnded
from emu.scenario.schema import Scenario


@settings(max_examples=150, deadline=None)
@given(scenarios(), rows, st.integers(2, 7))
def test_a_leap_is_the_steps_that_it_stands_for(scenario: Scenario, requests: list[Row], few: int) -> None:
    leaping = written(scenario, requests)
    for most in (1, few):
        bounded = evolve(scenario, scheduler=evolve(scenario.scheduler, max_steps=most))
        stepping = written(bounded, requests)
        assert stepping.entries == leaping.entries
        assert stepping.digest == leaping.digest
    assert len(leaping.of(RequestEnded)) == len(requests)
