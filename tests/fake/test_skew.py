"""A clock that differs: what it says is found again, and it never goes back."""

from hypothesis import given
from hypothesis import strategies as st

from emu.fake.skew import Skew

S = 10**12
times = st.integers(0, 10**5 * S)
drifts = st.integers(-(10**5), 10**5)


@given(
    st.integers(-(10**4) * S, 10**4 * S), st.lists(st.tuples(times, drifts), max_size=4), st.lists(times, min_size=1)
)
def test_what_a_clock_says_is_found_again(ahead_ps: int, changes: list[tuple[int, int]], asked: list[int]) -> None:
    skew, said = Skew(), []
    skew.set_ahead(ahead_ps)
    acts = sorted([(at_ps, 0, drift) for at_ps, drift in changes] + [(at_ps, 1, 0) for at_ps in asked])
    for at_ps, asks, drift in acts:
        if asks:
            said.append((at_ps, skew.own(at_ps)))
        else:
            skew.drift(at_ps, drift)
    assert [own_ps for _, own_ps in said] == sorted(own_ps for _, own_ps in said)
    for at_ps, own_ps in said:
        assert at_ps - 1 <= skew.true(own_ps) <= at_ps, "a slow clock says the same at most twice"


def test_a_drift_is_gained_and_kept() -> None:
    skew = Skew()
    skew.drift(10 * S, 10**5)
    assert skew.own(20 * S) == 21 * S
    skew.drift(20 * S, 0)
    assert skew.own(30 * S) == 31 * S
    assert skew.true(31 * S) == 30 * S
    assert skew.true(21 * S) == 20 * S
