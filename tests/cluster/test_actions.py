"""What is done to a run on purpose: arrivals that come more or less densely, faults that are healed early."""

from fractions import Fraction

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from small_clusters import PS_PER_MS, Keep, Row, Written, rows, scenario_of, workload_of, written

from emu.cluster import Cluster
from emu.record import entries as e
from emu.run import build
from emu.scenario.schema import Action, Fault

LOAD: list[Row] = [(at * 100, 900, 60) for at in range(20)]

changes = st.tuples(st.integers(0, 3000), st.sampled_from((0.25, 0.5, 1.0, 1.5, 3.0, 10.0)))
rates = st.lists(changes, max_size=3, unique_by=lambda change: change[0]).map(sorted)


def rate(at_ms: int, factor: float) -> Action:
    return Action(kind="rate", at_s=at_ms / 1000, factor=factor)


def expected_ps(due_ps: int, changes: list[tuple[int, float]]) -> Fraction:
    """When an arrival of the workload comes, in exact arithmetic: its time in the workload passes at each rate."""
    now, passed, factor = Fraction(0), Fraction(0), Fraction(1)
    for at_ms, then in changes:
        at = Fraction(at_ms * PS_PER_MS)
        if passed + (at - now) * factor >= due_ps:
            break
        passed, now, factor = passed + (at - now) * factor, at, Fraction(then)
    return now + (due_ps - passed) / factor


@given(rows, rates)
@settings(max_examples=30, deadline=None)
def test_every_request_arrives_when_the_rates_say(load: list[Row], changes: list[tuple[int, float]]) -> None:
    found = written(scenario_of(actions=tuple(rate(*change) for change in changes)), load)
    due = workload_of(load).arrivals_ps
    for entry, due_ps in zip(found.of(e.Arrived), due, strict=True):
        assert 0 <= entry.at_ps - expected_ps(due_ps, changes) <= len(changes) + 1


def test_rates_are_told_and_leave_the_requests_as_they_were() -> None:
    hurried = written(scenario_of(actions=(rate(500, 2.0),)), LOAD)
    plain = written(scenario_of(), LOAD)
    assert hurried.of(e.RateChanged) == [e.RateChanged(500 * PS_PER_MS, 2000)]
    assert [entry[1:] for entry in hurried.of(e.Arrived)] == [entry[1:] for entry in plain.of(e.Arrived)]
    ends = [{entry.request: entry.output_digest for entry in run.of(e.RequestEnded)} for run in (hurried, plain)]
    assert ends[0] == ends[1]
    assert hurried.of(e.Arrived)[-1].at_ps == (500 + (1900 - 500) // 2) * PS_PER_MS


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="pause", machine="decode-0", at_s=0.7, heal_after_s=5.0),
        Fault(kind="pause", machine="decode-0", at_s=0.7),
        Fault(kind="slow", machine="prefill-0", at_s=0.7, factor=5.0, heal_after_s=5.0),
        Fault(kind="hang", machine="decode-0", at_s=0.7, heal_after_s=5.0),
        Fault(kind="crash", machine="decode-0", at_s=0.7),
        Fault(kind="restart", machine="prefill-0", at_s=0.7, startup_s=5.0),
        Fault(kind="link_down", machines=("prefill-0", "decode-0"), plane="data", at_s=0.7, heal_after_s=5.0),
        Fault(kind="nic_down", machine="decode-0", at_s=0.7),
        Fault(kind="stale_report", machine="decode-0", at_s=0.7),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.heal_after_s}",
)
def test_a_fault_that_is_healed_early_is_one_that_was_to_last_so_long(fault: Fault) -> None:
    """Healed once, at the time of the action, and everything that follows is the same."""
    action = Action(kind="heal", at_s=1.1, fault=0)
    shorter = evolve(fault, startup_s=0.4) if fault.kind == "restart" else evolve(fault, heal_after_s=0.4)
    early = written(scenario_of(faults=(fault,), actions=(action,)), LOAD)
    assert [entry.at_ps for entry in early.of(e.FaultHealed)] == [1100 * PS_PER_MS]
    assert early.digest == written(scenario_of(faults=(shorter,)), LOAD).digest


def test_what_has_healed_by_itself_is_not_healed_again() -> None:
    fault = Fault(kind="pause", machine="decode-0", at_s=0.7, heal_after_s=0.2)
    healed = written(scenario_of(faults=(fault,), actions=(Action(kind="heal", at_s=1.1, fault=0),)), LOAD)
    assert healed.digest == written(scenario_of(faults=(fault,)), LOAD).digest


def test_an_action_is_the_same_planned_or_injected() -> None:
    actions = (rate(600, 3.0), Action(kind="heal", at_s=0.9, fault=0))
    fault = Fault(kind="pause", machine="decode-0", at_s=0.7, heal_after_s=2.0)
    keep = Keep()
    run = build(Cluster.of(scenario_of()), workload_of(LOAD), (keep,), injectable=True)
    for action in actions:
        run.act(action, round(action.at_s * 1000) * PS_PER_MS)
    run.inject(fault, 700 * PS_PER_MS)
    run.go()
    injected = Written(run, run.log.digest(), tuple(keep.entries))
    assert injected.digest == written(scenario_of(faults=(fault,), actions=actions), LOAD).digest
    assert len(injected.of(e.FaultHealed)) == len(injected.of(e.RateChanged)) == 1


def test_nothing_can_be_done_where_it_was_not_expected() -> None:
    run = build(Cluster.of(scenario_of()), workload_of(LOAD))
    with pytest.raises(ValueError, match="nothing can be done"):
        run.act(rate(1, 2.0), PS_PER_MS)
