"""Routers die or are replaced: what machines hold goes on, what only the router knew comes back from its clients."""

from typing import Any, Literal

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from test_recovery import Found, struck

from emu.record import entries as e
from emu.reliability.trial import Trials
from emu.scenario.draw import draw_plan, draw_scenario
from emu.scenario.schema import Fault, WorkloadSource

CLIENTS = WorkloadSource(synthetic="azure-conv", rate_rps=1.0, duration_s=1.0, client_timeout_s=4.0, client_retries=4)
TERM_1 = 1 << 10  # the first attempt of a router of term 1


def succeeded(*faults: Fault, **keys: Any) -> Found:
    return struck(*faults, workload=CLIENTS, **keys)


@pytest.fixture(scope="module")
def plain() -> dict[int, int]:
    return struck().answers


@pytest.mark.parametrize("at_s", [0.0, 0.43, 0.7, 1.5])
@pytest.mark.parametrize(
    "fault",
    [{"kind": "router_crash", "startup_s": 0.3}, {"kind": "router_failover", "overlap_s": 0.3}],
    ids=lambda fault: str(fault["kind"]),
)
def test_a_router_is_replaced_and_every_request_is_answered_as_if_it_had_not(
    fault: dict[str, Any], at_s: float, plain: dict[int, int]
) -> None:
    found = succeeded(Fault(at_s=at_s, **fault))
    assert len(found.of(e.TermTaken)) == 4
    assert found.answers == plain
    assert found.broken == ()


def test_what_machines_hold_goes_on_and_the_new_router_assigns_nothing_before_all_have_answered() -> None:
    found = succeeded(Fault(kind="router_crash", at_s=0.7, startup_s=0.2))
    [gone], [started] = found.of(e.RouterGone), found.of(e.RouterStarted)
    last = max(entry.at_ps for entry in found.of(e.TermTaken))
    placed = [entry for entry in found.of(e.Assigned) if entry.at_ps > gone.at_ps]
    assert not [entry for entry in placed if entry.at_ps <= last]
    assert {entry.attempt for entry in placed} == {TERM_1}  # type: ignore[union-attr]
    before = {entry.request for entry in found.of(e.Assigned) if entry.at_ps < gone.at_ps}  # type: ignore[union-attr]
    ended = {entry.request for entry in found.of(e.RequestEnded) if entry.at_ps > started.at_ps}  # type: ignore[union-attr]
    assert before & ended, "some were under way"
    assert not found.of(e.AttemptLost)


def test_a_machine_that_does_not_answer_is_declared_dead_and_the_others_are_not_kept_waiting(
    plain: dict[int, int],
) -> None:
    crash = Fault(kind="restart", machine="decode-1", at_s=0.65, startup_s=30.0)
    found = succeeded(crash, Fault(kind="router_crash", at_s=0.7, startup_s=0.2))
    [dead], [started] = found.of(e.MachineDead), found.of(e.RouterStarted)
    assert started.at_ps + 0.5e12 <= dead.at_ps <= started.at_ps + 0.6e12
    assert [entry for entry in found.of(e.Assigned) if dead.at_ps <= entry.at_ps < dead.at_ps + 0.1e12]
    assert found.answers == plain
    assert found.broken == ()


def test_machines_refuse_what_the_old_router_goes_on_to_assign(plain: dict[int, int]) -> None:
    found = succeeded(Fault(kind="router_failover", at_s=0.7, overlap_s=0.5))
    [started], turned = found.of(e.RouterStarted), found.of(e.TermTaken)
    late = {
        entry.request  # type: ignore[union-attr]
        for entry in found.of(e.Assigned)
        if entry.at_ps > max(turn.at_ps for turn in turned) and entry.attempt < TERM_1  # type: ignore[union-attr]
    }
    assert late, "it does"
    taken = [entry for entry in found.of(e.Queued) if entry.at_ps > started.at_ps and entry.request in late]  # type: ignore[union-attr]
    assert {entry.attempt for entry in taken} == {TERM_1}, "when their clients send them again"  # type: ignore[union-attr]
    assert found.answers == plain


def test_a_lost_inquiry_is_made_again(plain: dict[int, int]) -> None:
    lose = [Fault(kind="lose", message=message, at_s=0.7, nth=2) for message in ("Inquire", "Inventory")]
    found = succeeded(*lose, Fault(kind="router_crash", at_s=0.7, startup_s=0.2))
    assert len(found.of(e.FaultStruck)) == 3
    assert not found.of(e.MachineDead)
    assert found.answers == plain
    assert found.broken == ()


@given(st.integers(0, 10**6), st.sampled_from(("put", "get")))
@settings(max_examples=40, deadline=None)
def test_no_law_breaks_whatever_else_strikes(seed: int, direction: Literal["put", "get"]) -> None:
    scenario = draw_scenario(seed)
    routers = draw_plan(seed, scenario, 2, ("router_crash", "router_failover"))
    plan = (*routers, *draw_plan(seed + 1, scenario, 2, ("crash", "pause", "lose", "delay", "link_down", "restart")))
    transfer = evolve(scenario.transfer, direction=direction)
    trial = Trials().run(evolve(scenario, faults=plan, transfer=transfer))
    assert trial.clean
