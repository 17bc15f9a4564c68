"""Paced time: a run that is held back writes the record of one that is not, and holds the pace that was asked for."""

from collections.abc import Sequence
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_clusters import Row, rows, scenario_of, scenarios, workload_of, written

from emu.cluster import Cluster, to_ps
from emu.execute import go
from emu.fake.paced import LATEST_S, Pace, PacedClock
from emu.run import build
from emu.scenario.schema import Fault, Scenario

S = 10**12


class Held:
    """A gate that asks `instants` when each may fire, and looks twice at some of them."""

    def __init__(self, *, always_open: bool = False, twice_every: int = 3) -> None:
        self.open = always_open
        self.instants: list[int] = []
        self._twice_every = twice_every
        self._asked = 0

    def passes(self, at_ps: int) -> bool:
        self._asked += 1
        if self._asked % self._twice_every == 0:
            return False
        self.instants.append(at_ps)
        return True


def paced_digest(scenario: Scenario, arrivals: Sequence[Row], gate: Held, injectable: bool = False) -> str:
    clock = PacedClock(gate, scenario.interleaving, to_ps(scenario.run.liveness_s))
    run = build(Cluster.of(scenario), workload_of(arrivals), clock=clock, injectable=injectable)
    run.go()
    return run.log.digest()


@settings(max_examples=20)
@given(scenarios(), rows, st.booleans())
def test_a_paced_run_writes_the_record_of_one_that_is_not(
    scenario: Scenario, arrivals: list[Row], always_open: bool
) -> None:
    gate = Held(always_open=always_open)
    assert paced_digest(scenario, arrivals, gate) == written(scenario, arrivals).digest
    assert gate.instants == sorted(gate.instants)


class Gone(Exception):
    """Nobody holds the gate any more."""


class Leaving(Held):
    """Goes before its nth answer."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._left = after

    def passes(self, at_ps: int) -> bool:
        if not self._left:
            raise Gone
        self._left -= 1
        return super().passes(at_ps)


@pytest.mark.parametrize("after", [0, 1, 7, 8, 9, 20])
def test_what_a_gate_raises_ends_the_run_and_comes_out_of_it(after: int) -> None:
    clock = PacedClock(Leaving(after), 0, 120 * S)
    run = build(Cluster.of(scenario_of()), workload_of([(0, 100, 5), (50, 300, 9)]), clock=clock)
    with pytest.raises(Gone):
        go(run)


def test_every_instant_is_asked_for_before_it_fires() -> None:
    gate = Held()
    paced_digest(scenario_of(), [(0, 100, 5), (50, 300, 9)], gate)
    entries = written(scenario_of(), [(0, 100, 5), (50, 300, 9)]).entries
    assert {entry[0] for entry in entries if not type(entry).__name__.endswith(("Closed", "Ended"))} <= set(
        gate.instants
    )


def test_a_fault_that_is_struck_between_two_instants_is_one_that_was_planned() -> None:
    arrivals = [(0, 1000, 40), (100, 700, 30), (220, 400, 20)]
    fault = Fault(kind="slow", machine="decode-0", factor=3.0, at_s=0.25, heal_after_s=1.0)
    planned = written(scenario_of(faults=(fault,)), arrivals).digest

    class Striking(Held):
        struck = False

        def passes(self, at_ps: int) -> bool:
            if at_ps > S // 4 and not self.struck:
                self.struck = True
                run.inject(fault, S // 4)
                return False
            return super().passes(at_ps)

    gate = Striking()
    run = build(Cluster.of(scenario_of()), workload_of(arrivals), clock=PacedClock(gate), injectable=True)
    run.go()
    assert gate.struck
    assert run.log.digest() == planned
    assert planned != written(scenario_of(), arrivals).digest


def test_a_pace_says_when_an_instant_is_due() -> None:
    pace = Pace(now_s=100.0, factor=2.0)
    assert pace.due_s(4 * S) == 102.0
    assert pace.virtual_ps(101.0) == 2 * S
    pace.set(0.1, 101.0, 2 * S)
    assert pace.due_s(3 * S) == 111.0
    pace.set(inf, 101.0, 2 * S)
    assert pace.due_s(3 * S) == -inf


def test_what_is_late_is_caught_up_but_not_without_end() -> None:
    pace = Pace(now_s=0.0)
    pace.late(1 * S, 1.5)
    assert pace.due_s(2 * S) == 2.0
    pace.late(2 * S, 10.0)
    assert pace.due_s(3 * S) == 11.0 - LATEST_S
