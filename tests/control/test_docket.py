"""What holds of the docket: it convicts by the word of machines, never one that only stood by or was in company."""

from hypothesis import given, settings
from hypothesis import strategies as st

from emu.control.docket import Docket

APART = 6400
POISON = 99
OPEN = range(100)


def died(docket: Docket, incarnation: int, here: list[int], step: list[int], *, word_first: bool = False) -> None:
    """Machine 0 dies with these requests there, and says which were in the step that ended it."""
    words = tuple((request, incarnation, 0) for request in step)
    if word_first:
        docket.found(0, incarnation + 1, words, OPEN)
    docket.died(0, incarnation, [(request, incarnation) for request in here], incarnation)
    if not word_first:
        docket.found(0, incarnation + 1, words, OPEN)


crowds = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 9), st.booleans()), unique_by=lambda x: x[0], max_size=6), st.booleans()
    ),
    max_size=9,
)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(crowds, st.integers(1, 3))
def test_a_culprit_among_many_is_found_and_no_other(
    crowds: list[tuple[list[tuple[int, bool]], bool]], limit: int
) -> None:
    """One request kills every machine that runs it, in whatever company: it falls when nobody was always there."""
    docket, always = Docket(limit, APART), set(range(10))
    for count, (crowd, word_first) in enumerate(crowds):
        step = [request for request, runs in crowd if runs]
        died(docket, count, [*(request for request, _ in crowd), POISON], [*step, POISON], word_first=word_first)
        always &= set(step)
        found = count + 1 >= limit and not always
        assert docket.convicted == ({POISON} if found else set())


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.lists(st.sampled_from(("paused", "gone", "beside")), min_size=1, max_size=8))
def test_who_is_never_in_the_step_is_never_suspected(fates: list[str]) -> None:
    docket = Docket(2, APART)
    for count, fate in enumerate(fates):
        docket.died(0, count, [(1, count)], count)
        if fate == "paused":
            docket.survived(0, count)
        else:
            docket.found(0, count + 1, ((2, count, 0),) if fate == "beside" else (), OPEN)
        assert docket.earliest_ps(1, count) == count
    assert docket.convicted <= {2}
    assert docket.excused(1) == min(2, fates.count("beside")), "what is just gone has ended nothing for anybody"


def test_two_that_were_in_one_step_are_tried_one_after_the_other() -> None:
    docket = Docket(2, APART)
    died(docket, 0, [1, 2, 3], [1, 2])
    docket.placed(1, 50)
    assert 50 < docket.earliest_ps(2, 50) < 50 + APART, "it asks again, since the other may end"
    assert docket.earliest_ps(2, 50 + APART) == 50 + APART
    assert docket.earliest_ps(3, 50) == 50, "it was not in that step"
    died(docket, 1, [1, 3], [1, 3])
    assert docket.convicted == {1}, "the second machine is its last"
    assert docket.earliest_ps(2, 51) == 51
    docket.placed(2, 51)
    docket.forget(2)
    assert docket.excused(2) == 0


def test_who_was_in_the_same_steps_is_told_apart_by_a_third() -> None:
    """The word of the first machine came when both had been tried again, together."""
    docket = Docket(2, APART)
    for count in range(2):
        docket.died(0, count, [(1, count), (2, count)], count)
    for count in range(2):
        docket.found(0, 1 + count, ((1, count, 0), (2, count, 0)), OPEN)
    assert docket.convicted == set(), "either may have done it"
    docket.placed(1, 50)
    assert docket.earliest_ps(2, 50) > 50
    docket.forget(1)
    assert docket.earliest_ps(2, 50) == 50, "the other one has come through"
    died(docket, 2, [2, 3], [2, 3])
    assert docket.convicted == {2}


def test_after_two_machines_it_waits_for_their_word_and_not_for_ever() -> None:
    docket = Docket(2, APART)
    docket.died(0, 0, [(1, 0)], 10)
    assert docket.earliest_ps(1, 11) == 11, "one machine that is gone is nobody's"
    docket.died(1, 0, [(1, 1)], 20)
    assert 21 < docket.earliest_ps(1, 21) < 20 + APART
    assert docket.earliest_ps(1, 20 + APART) == 20 + APART
    docket.died(2, 0, [(1, 2)], 30 + APART)
    assert docket.earliest_ps(1, 30 + 2 * APART) == 30 + 2 * APART
    assert not docket.convicted, "without a word nobody is"


def test_word_of_another_death_says_nothing_of_this_one() -> None:
    docket = Docket(2, APART)
    docket.died(0, 1, [(1, 0)], 10)
    docket.found(0, 1, (), OPEN)  # of the process before
    docket.survived(0, 0)
    docket.died(1, 0, [(1, 1)], 20)
    docket.found(0, 2, ((1, 0, 0),), OPEN)
    docket.found(0, 2, ((1, 0, 0),), OPEN)
    assert docket.convicted == set(), "the same word twice"
    docket.found(1, 1, ((1, 1, 0),), OPEN)
    assert docket.convicted == {1}


def test_who_is_over_is_forgotten() -> None:
    docket = Docket(1, APART)
    died(docket, 0, [1, 2], [1])
    assert docket.convicted == {1}
    docket.forget(1)
    docket.forget(2)
    docket.found(0, 2, ((1, 0, 0),), ())
    assert (docket.deaths, docket.convicted, docket.earliest_ps(1, 5), bool(docket)) == ({}, set(), 5, False)


def test_a_word_counts_though_its_attempt_was_given_up_for_another_reason_first() -> None:
    """Its decode machine was gone when the step that it was in ended its prefill machine: nobody died there with it."""
    docket = Docket(2, APART)
    for machine in range(2):
        docket.found(machine, 1, ((1, machine, 0),), OPEN)
    assert docket.convicted == {1}
