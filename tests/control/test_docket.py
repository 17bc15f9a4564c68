"""What holds of the docket: nobody is tried before his time, trials stand apart, and one is convicted for one death."""

from hypothesis import given, settings
from hypothesis import strategies as st

from emu.control.docket import Docket

APART = 6400


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.lists(st.lists(st.integers(0, 9), unique=True, max_size=6), max_size=12), st.integers(1, 3))
def test_a_culprit_among_many_is_found_and_no_other(crowds: list[list[int]], limit: int) -> None:
    """Request 99 kills every machine that it comes to; others are there by chance, and tried as it is."""
    docket, now = Docket(limit, APART), 0
    for count, crowd in enumerate(crowds):
        here = [*crowd, 99]
        for request in here:
            now = max(now, docket.earliest_ps(request, now))
            docket.placed(request, now)
        now += 1
        docket.died(here)
        assert 99 in docket.convicted or count < limit
        assert docket.convicted <= {99}, "it was placed last of those that were tried"


def test_suspects_are_tried_one_after_the_other() -> None:
    docket = Docket(1, APART)
    docket.placed(1, 7)
    docket.died([1, 2, 3])
    assert docket.convicted == set(), "it was not tried"
    docket.placed(2, 50)
    assert 50 < docket.earliest_ps(1, 50) < 50 + APART, "it asks again, since the other may end"
    assert docket.earliest_ps(1, 50 + APART) == 50 + APART
    docket.forget(2)
    assert docket.earliest_ps(1, 51) == 51
    assert docket.earliest_ps(4, 50) == 50, "nobody has died under it"


def test_who_is_over_is_forgotten() -> None:
    docket = Docket(1, APART)
    docket.died([1])
    docket.placed(1, 0)
    docket.died([1])
    assert docket.convicted == {1}
    docket.forget(1)
    assert (docket.deaths, docket.convicted, docket.earliest_ps(1, 5)) == ({}, set(), 5)
