"""Control does not know the future: nothing that it does depends on a token that has not been made."""

from attrs import evolve
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_clusters import Row, rows, scenarios, workload_of, written

from emu.record.entries import Arrived, BeliefClosed, MachineClosed, MachineMoved, RequestEnded, RunEnded
from emu.scenario.schema import Scenario

AT_THE_END = (MachineClosed, BeliefClosed, RunEnded, MachineMoved)  # a run that ends early says these early


@settings(max_examples=60, deadline=None)
@given(scenarios(), rows, st.data())
def test_a_longer_answer_changes_nothing_before_the_token_that_differs(
    scenario: Scenario, requests: list[Row], data: st.DataObject
) -> None:
    scenario = evolve(scenario, workload=evolve(scenario.workload, max_tokens=200))
    ordered = sorted(requests, key=lambda row: row[0])
    changed = data.draw(st.integers(0, len(ordered) - 1))
    at_ms, prompt, output = ordered[changed]
    assume(output < 190)
    longer = [*ordered[:changed], (at_ms, prompt, output + 7), *ordered[changed + 1 :]]
    short_run, long_run = written(scenario, ordered), written(scenario, longer)
    (end,) = (end for end in short_run.of(RequestEnded) if end.request == changed)
    before = [entry for entry in short_run.entries if entry.at_ps < end.at_ps]
    assert [entry for entry in long_run.entries if entry.at_ps < end.at_ps] == before


@settings(max_examples=40, deadline=None)
@given(scenarios(), rows, rows)
def test_later_arrivals_change_nothing_before_them(scenario: Scenario, requests: list[Row], later: list[Row]) -> None:
    last_ms = max(at_ms for at_ms, _, _ in requests)
    appended = [(at_ms + last_ms + 1, prompt, output) for at_ms, prompt, output in later]
    alone, both = written(scenario, requests), written(scenario, requests + appended)
    first_ps = workload_of(appended).arrivals_ps[0]
    before = [entry for entry in both.entries if entry.at_ps < first_ps and not isinstance(entry, AT_THE_END)]
    assert before == [entry for entry in alone.entries if entry.at_ps < first_ps and not isinstance(entry, AT_THE_END)]
    assert sum(isinstance(entry, Arrived) for entry in before) == len(requests)
