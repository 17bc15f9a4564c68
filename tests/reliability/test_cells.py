"""What is counted as a strike in a phase, what as lost, corrupted or orphaned: by records, made up and real."""

from itertools import pairwise

from attrs import evolve

from emu.record import entries as e
from emu.reliability.cells import Cell, base, table
from emu.reliability.orphans import Orphans
from emu.reliability.parts import CAPACITY_RPS
from emu.reliability.phases import PHASES, stays
from emu.reliability.rolling import crash_of_a_tenth, measured, rolling_restart, shipped, surge
from emu.reliability.trial import Trials
from emu.scenario.schema import Fault, machine_names

S = 10**12


def test_every_request_of_the_base_is_in_every_phase_and_phases_follow_each_other() -> None:
    trial = Trials().run(base("put"))
    assert trial.clean
    by_request: dict[int, list[tuple[str, int, int]]] = {}
    for stay in stays(trial.entries):
        by_request.setdefault(stay.request, []).append((stay.phase, stay.start_ps, stay.end_ps))
    assert len(by_request) == trial.wanted
    for found in by_request.values():
        assert [phase for phase, _, _ in found] == list(PHASES)
        assert all(end <= start for (_, _, end), (_, start, _) in pairwise(found[:5]))


def test_a_crash_strikes_every_phase_and_loses_nothing() -> None:
    cells = table(Trials(), "put", ("crash",), aimed_at=2)
    assert {phase for _, phase in cells} == set(PHASES)
    for cell in cells.values():
        assert cell.strikes == 4
        assert (cell.lost, cell.corrupted, cell.laws) == (0, 0, set())


def test_a_request_that_fails_counts_as_lost_and_a_changed_answer_as_corrupted() -> None:
    trials = Trials()
    forever = tuple(Fault(kind="crash", machine=name, at_s=0.4) for name in machine_names(base("put")))
    lost = trials.run(evolve(base("put"), faults=forever))
    assert lost.lost
    assert not lost.clean
    cell = Cell()
    cell.add(lost)
    assert (cell.lost, cell.bad) == (len(lost.lost), [repr(forever)])


def told(*entries: e.Entry) -> Orphans:
    fold = Orphans()
    for entry in entries:
        if type(entry) in fold.handlers:
            fold.handlers[type(entry)](entry)
    return fold


def test_blocks_of_a_lost_attempt_are_orphans_once_nothing_of_it_is_in_flight() -> None:
    lost = int(e.Reason.MACHINE_DEAD)
    fold = told(
        e.Reserved(0, 1, 7, 0, 3, 10, 0),
        e.TransferStarted(S, 0, 1, 7, 0, 0, 79, 1000, 0),
        e.AttemptLost(2 * S, 7, 0, lost),
        e.Landed(5 * S, 1, 7, 0, 3, 0, 79, 10, 1000),
        e.Released(8 * S, 1, 7, 0, 3, 10, 8, -1),
    )
    assert (fold.block_s, fold.longest_s) == (30.0, 3.0)


def test_memory_that_is_gone_is_no_orphan_any_more() -> None:
    fold = told(
        e.Reserved(0, 1, 7, 0, 3, 10, 0),
        e.AttemptLost(2 * S, 7, 0, 11),
        e.MachineCrashed(3 * S, 1, 0),
        e.Reserved(9 * S, 1, 8, 0, 3, 10, 0),
    )
    assert (fold.block_s, fold.longest_s) == (10.0, 1.0)


def test_whole_clusters_come_through() -> None:
    whole = shipped("hello.toml")
    scenario = evolve(whole, machines=tuple(evolve(group, count=2) for group in whole.machines))
    curve = measured("rolling", rolling_restart(scenario, 1.0, 4.0))
    assert curve.broken == ()
    assert curve.statuses == {"completed": curve.arrived}
    assert round(sum(rate for _, _, rate, _ in curve.rates) * 10) == curve.arrived
    faults = crash_of_a_tenth(shipped("splitwise_hh.toml"), 40.0).faults
    assert [fault.machine for fault in faults] == list(machine_names(shipped("splitwise_hh.toml")))[::10]


def test_after_a_surge_goodput_is_what_it_was() -> None:
    storm = surge(shipped("overload.toml"), 8.0, 60.0, 12.0, 17.0, 35.0)
    curve = measured("surge", storm, (12, 17))
    assert curve.arrived == len(storm.workload.requests) > 500
    assert set(curve.statuses) <= {"completed", "rejected"}
    assert curve.broken == ()
    assert curve.recovered_s is not None, "without a restart, at 95 % of what it was before"
    assert curve.recovered_s < 5


def test_goodput_at_twice_the_capacity_stays_near_its_peak() -> None:
    small = shipped("overload.toml")
    found = {}
    for rate_rps in (CAPACITY_RPS, 2 * CAPACITY_RPS):
        workload = evolve(small.workload, rate_rps=rate_rps, duration_s=40.0)
        curve = found[rate_rps] = measured("overload", evolve(small, workload=workload))
        assert curve.broken == ()
        assert set(curve.statuses) == {"completed", "rejected"}
    assert found[2 * CAPACITY_RPS].good_rps(10, 40) > 0.95 * found[CAPACITY_RPS].good_rps(10, 40)
