"""A circle is found where there is one, and only there."""

from hypothesis import given
from hypothesis import strategies as st

from emu.laws.circles import circle

waits = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 5), st.integers(0, 5)).filter(lambda w: w[1] != w[2]))


def has_circle(found: list[tuple[int, int, int]]) -> bool:
    """By what can be reached, step after step."""
    reach = {(holder, target) for _, holder, target in found}
    while more := {(a, d) for a, b in reach for c, d in reach if b == c} - reach:
        reach |= more
    return any(a == b for a, b in reach)


@given(waits)
def test_a_circle_is_found_where_there_is_one(found: list[tuple[int, int, int]]) -> None:
    ring = circle(found)
    assert bool(ring) is has_circle(found)
    assert set(ring) <= set(found)
    for wait, after in zip(ring, (*ring[1:], *ring[:1]), strict=True):
        assert wait[2] == after[1]


def test_the_smallest_one_is_two_machines() -> None:
    assert circle([(5, 0, 2), (2, 2, 0), (9, 1, 0)]) == ((5, 0, 2), (2, 2, 0))
