"""Who waits for too long beside somebody who waits gives way: one of two, and only while nothing changes."""

from emu.control.standoff import Standoff

LEASE = 30
MINE, THEIRS, OTHER = (1, 0), (2, 0), (3, 0)


def asked(standoff: Standoff, peer: int, busy: bool, *times: int) -> list[bool]:
    return [standoff.must_give_way(MINE, peer, THEIRS, busy, now) for now in times]


def test_the_first_of_two_machines_gives_way_after_a_lease_and_the_other_after_two() -> None:
    assert asked(Standoff(0, LEASE), 1, False, 100, 129, 130) == [False, False, True]
    assert asked(Standoff(1, LEASE), 0, False, 100, 130, 159, 160) == [False, False, False, True]


def test_a_machine_that_runs_something_waits_four_times_as_long() -> None:
    assert asked(Standoff(0, LEASE), 1, True, 0, 119, 120) == [False, False, True]


def test_a_wait_begins_anew_with_whoever_waits() -> None:
    standoff = Standoff(0, LEASE)
    assert asked(standoff, 1, False, 0, 29) == [False, False]
    assert not standoff.must_give_way(MINE, 1, OTHER, False, 30)
    assert not standoff.must_give_way(MINE, 1, OTHER, False, 59)
    assert standoff.must_give_way(MINE, 1, OTHER, False, 60)
