"""Machines whose clocks differ do what they would do if they did not: nobody goes by another's clock."""

from typing import Any, Literal

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from small_clusters import workload_of
from test_recovery import LOAD, Found, struck

from emu.cluster import Cluster
from emu.record import entries as e
from emu.reliability.trial import Trials
from emu.run import build
from emu.scenario.draw import draw_plan, draw_scenario
from emu.scenario.schema import Fault, Network, Scenario, Transfer

OF_FAULTS = (e.FaultStruck, e.FaultHealed)
Direction = Literal["put", "get"]


def transfer_of(direction: Direction) -> Transfer:
    """Leases so short that a clock which is five minutes ahead would end them all, and heartbeats matter."""
    return Transfer(direction=direction, lease_s=1.0, heartbeat_s=0.1, max_flight_s=1.0, clock_error=0.05)


def happened(found: Found) -> list[e.Entry]:
    return [entry for entry in found.entries if not isinstance(entry, OF_FAULTS)]


@pytest.mark.parametrize("direction", ["put", "get"])
@pytest.mark.parametrize("machine", ["prefill-0", "decode-0"])
@pytest.mark.parametrize("offset_s", [300.0, -300.0, 0.05])
def test_a_clock_that_is_ahead_or_behind_changes_nothing(direction: Direction, machine: str, offset_s: float) -> None:
    keys: dict[str, Any] = {"transfer": transfer_of(direction), "network": Network(bandwidth_factor=0.05)}
    right = struck(Fault(kind="clock", machine=machine, at_s=0.0, offset_s=0.0), **keys)
    wrong = struck(Fault(kind="clock", machine=machine, at_s=0.0, offset_s=offset_s), **keys)
    assert happened(wrong) == happened(right)
    assert wrong.broken == ()


@pytest.mark.parametrize("drift", [0.05, -0.05])
@pytest.mark.parametrize("machine", ["prefill-0", "decode-0"])
def test_a_clock_that_drifts_changes_no_answer(machine: str, drift: float) -> None:
    fault = Fault(kind="clock", machine=machine, on="TransferStarted", nth=3, drift=drift, heal_after_s=2.0)
    found = struck(fault, transfer=transfer_of("put"))
    assert len(found.of(e.FaultStruck)) == len(found.of(e.FaultHealed)) == 1
    assert found.answers == struck().answers
    assert found.broken == ()


@given(st.integers(0, 10**6), st.sampled_from(("put", "get")))
@settings(max_examples=40, deadline=None)
def test_no_law_breaks_whatever_else_strikes(seed: int, direction: Direction) -> None:
    scenario = draw_scenario(seed)
    others = draw_plan(seed + 1, scenario, 2, ("crash", "pause", "lose", "delay", "link_down", "late_write", "hang"))
    plan = (*draw_plan(seed, scenario, 2, ("clock",)), *others)
    assert Trials().run(evolve(scenario, faults=plan, transfer=evolve(scenario.transfer, direction=direction))).clean


def test_a_clock_that_was_to_be_right_cannot_be_made_wrong() -> None:
    scenario: Scenario = evolve(draw_scenario(3), faults=())
    run = build(Cluster.of(scenario), workload_of(LOAD), (), injectable=True)
    with pytest.raises(ValueError, match="no fault can be injected"):
        run.inject(Fault(kind="clock", machine="decode-0", drift=0.01), 10**12)
