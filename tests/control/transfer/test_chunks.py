"""What holds of ranges of layers: they are sets of layers, written in the shortest way."""

from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from emu.control.transfer.chunks import LayerRange, acknowledgement, groups, merge, whole

steady = settings(deadline=None, derandomize=True)


RANGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)).map(lambda pair: (pair[0], sum(pair))), max_size=12)


def layers(ranges: list[LayerRange] | tuple[LayerRange, ...]) -> set[int]:
    return {layer for first, last in ranges for layer in range(first, last + 1)}


@steady
@given(RANGES)
def test_merging_keeps_the_set_and_leaves_gaps_between_ranges(ranges: list[LayerRange]) -> None:
    merged = merge(ranges)
    assert layers(merged) == layers(ranges)
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(merged))
    assert merge(merged) == merged


@steady
@given(RANGES, st.randoms(use_true_random=False))
def test_the_order_in_which_chunks_came_does_not_matter(ranges: list[LayerRange], random: Random) -> None:
    shuffled = ranges.copy()
    random.shuffle(shuffled)
    assert merge(shuffled) == merge(ranges)
    assert acknowledgement(shuffled) == acknowledgement(ranges)


@steady
@given(RANGES)
def test_an_acknowledgement_says_exactly_what_arrived(ranges: list[LayerRange]) -> None:
    below, holes = acknowledgement(ranges)
    assert set(range(below)) - layers(holes) == layers(ranges)
    assert layers(holes) <= set(range(below))
    assert merge(holes) == holes


@steady
@given(st.integers(1, 200), st.lists(st.integers(1, 199), max_size=6))
def test_a_cache_that_was_cut_anywhere_is_whole_again(count: int, cuts: list[int]) -> None:
    edges = sorted({0, count, *(cut for cut in cuts if cut < count)})
    pieces = [(first, last - 1) for first, last in pairwise(edges)]
    assert merge(pieces) == whole(count)
    assert acknowledgement(pieces) == (count, ())


def test_nothing_has_arrived() -> None:
    assert merge([]) == ()
    assert acknowledgement([]) == (0, ())


@given(st.integers(1, 200))
def test_groups_are_all_of_the_layers_once_and_few(count: int) -> None:
    found = groups(count)
    assert merge(found) == whole(count)
    assert sum(last - first + 1 for first, last in found) == count
    assert len(found) <= 8
