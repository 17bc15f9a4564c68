"""What holds of the docket: it convicts by the word of machines, never one that stood by, and forgets who is over."""

from hypothesis import given, settings
from hypothesis import strategies as st

from emu.control.docket import Docket

APART = 6400
POISON = 99


def died(docket: Docket, incarnation: int, here: list[tuple[int, int]], step: list[tuple[int, int, int]]) -> None:
    """Machine 0 dies with these attempts there, and its next process says which were in its last step."""
    docket.died(0, incarnation, here, incarnation)
    docket.found(0, incarnation + 1, tuple(step))


crowds = st.lists(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), unique_by=lambda x: x[0], max_size=6), max_size=9
)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(crowds, st.integers(1, 3))
def test_a_culprit_among_many_is_found_and_no_other(crowds: list[list[tuple[int, bool]]], limit: int) -> None:
    """One request kills every machine that runs it, before its first token; others beside it get further each time."""
    docket, alone = Docket(limit, APART), 0
    for count, crowd in enumerate(crowds):
        here = [(request, count) for request, _ in crowd]
        step = [(request, count, 1 + count) for request, runs in crowd if runs]
        died(docket, count, [*here, (POISON, count)], [*step, (POISON, count, 0)])
        alone += not step
        if not step and (alone >= limit or count >= limit):
            assert docket.convicted == {POISON}
        assert docket.convicted <= {POISON}
        assert not docket.convicted or alone


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_who_is_never_in_the_step_is_never_suspected(dies_for_nothing: list[bool]) -> None:
    docket = Docket(2, APART)
    for count, pause in enumerate(dies_for_nothing):
        docket.died(0, count, [(1, count)], count)
        if pause:
            docket.survived(0, count)
        else:
            docket.found(0, count + 1, ())
        assert docket.earliest_ps(1, count) == count
    assert not docket.convicted
    assert docket.excused(1) == min(2, dies_for_nothing.count(False))


def test_two_that_were_in_the_same_steps_are_tried_one_after_the_other() -> None:
    docket = Docket(2, APART)
    for count in range(2):
        died(docket, count, [(1, count), (2, count)], [(1, count, 0), (2, count, 0)])
    assert docket.convicted == set(), "either may have done it"
    docket.placed(1, 50)
    assert 50 < docket.earliest_ps(2, 50) < 50 + APART, "it asks again, since the other may end"
    assert docket.earliest_ps(2, 50 + APART) == 50 + APART
    assert docket.earliest_ps(3, 50) == 50, "nobody has died under it"
    died(docket, 2, [(1, 2)], [(1, 2, 0)])
    assert docket.convicted == {1}
    assert docket.earliest_ps(2, 51) == 51


def test_a_death_of_its_own_and_one_beside_another_convict_nobody() -> None:
    docket = Docket(2, APART)
    died(docket, 0, [(1, 0)], [(1, 0, 0)])
    died(docket, 1, [(1, 1), (2, 0)], [(1, 1, 0), (2, 0, 0)])
    assert docket.convicted == set()
    docket.placed(1, 50)
    assert docket.earliest_ps(2, 50) > 50, "it was there, and would only be in the way"
    died(docket, 2, [(1, 2)], [(1, 2, 5)])
    assert docket.convicted == set(), "it got further this time"
    assert docket.earliest_ps(2, 50) == 50


def test_a_suspect_waits_for_word_of_its_machines_and_not_for_ever() -> None:
    docket = Docket(2, APART)
    docket.died(0, 0, [(1, 0)], 10)
    assert docket.earliest_ps(1, 11) == 11, "one death is nobody's"
    docket.died(1, 0, [(1, 1)], 20)
    assert 21 < docket.earliest_ps(1, 21) < 20 + APART
    assert docket.earliest_ps(1, 20 + APART) == 20 + APART
    docket.placed(1, 20 + APART)
    docket.died(2, 0, [(1, 2)], 30 + APART)
    assert docket.earliest_ps(1, 30 + 2 * APART) == 30 + 2 * APART
    assert docket.convicted == {1}, "tried apart, and three machines are gone without a word"


def test_word_of_another_death_says_nothing_of_this_one() -> None:
    docket = Docket(2, APART)
    docket.died(0, 1, [(1, 0)], 10)
    docket.found(0, 1, ())  # of the process before
    docket.survived(0, 0)
    docket.died(1, 0, [(1, 1)], 20)
    docket.found(0, 2, ((1, 0, 0),))
    assert docket.convicted == set()
    docket.found(1, 1, ((1, 1, 0),))
    assert docket.convicted == {1}


def test_who_is_over_is_forgotten() -> None:
    docket = Docket(1, APART)
    died(docket, 0, [(1, 0), (2, 0)], [(1, 0, 0)])
    assert docket.convicted == {1}
    docket.forget(1)
    docket.forget(2)
    assert (docket.deaths, docket.convicted, docket.earliest_ps(1, 5), bool(docket)) == ({}, set(), 5, False)
