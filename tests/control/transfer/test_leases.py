"""What holds of leases: the later deadline wins, every expired one is found, and none comes back by itself."""

from hypothesis import given, settings
from hypothesis import strategies as st

from emu.control.transfer.leases import Key, Leases, spans

steady = settings(deadline=None, derandomize=True)


DURATION = 10
KEYS = st.tuples(st.integers(0, 5), st.integers(0, 1))
TIMES = st.integers(0, 60)
DEEDS = st.one_of(
    st.tuples(st.just("grant"), KEYS, TIMES),
    st.tuples(st.just("renew"), KEYS, TIMES),
    st.tuples(st.just("until"), KEYS, TIMES),
    st.tuples(st.just("end"), KEYS, TIMES),
    st.tuples(st.just("sweep"), KEYS, TIMES),
)


@steady
@given(st.lists(DEEDS, max_size=40))
def test_leases_are_the_latest_deadlines_that_were_given(deeds: list[tuple[str, Key, int]]) -> None:
    leases, deadlines = Leases(DURATION), dict[Key, int]()
    for deed, key, now in deeds:
        if deed == "grant":
            leases.grant(key, now)
            deadlines[key] = now + DURATION
        elif deed == "until":
            leases.until(key, now)
            deadlines[key] = max(now, deadlines.get(key, now))
        elif deed == "renew":
            leases.renew((key,), now)
            if key in deadlines:
                deadlines[key] = max(deadlines[key], now + DURATION)
        elif deed == "end":
            leases.end(key)
            deadlines.pop(key, None)
        else:
            expired = {key for key, deadline in deadlines.items() if deadline <= now}
            assert set(leases.sweep(now)) == expired
            deadlines = {key: deadline for key, deadline in deadlines.items() if key not in expired}
        assert len(leases) == len(deadlines)


@steady
@given(st.lists(st.tuples(KEYS, TIMES), max_size=20), st.lists(TIMES, max_size=5), TIMES)
def test_no_renewal_shortens_a_lease(granted: list[tuple[Key, int]], renewals: list[int], asked: int) -> None:
    plain, renewed = Leases(DURATION), Leases(DURATION)
    for key, now in granted:
        plain.grant(key, now)
        renewed.grant(key, now)
    for now in renewals:
        renewed.renew([key for key, _ in granted], now)
    assert set(renewed.sweep(asked)) <= set(plain.sweep(asked))


def test_a_lease_that_expired_stays_so() -> None:
    leases = Leases(DURATION)
    leases.grant((1, 0), 0)
    assert leases.sweep(DURATION - 1) == ()
    assert leases.sweep(DURATION) == ((1, 0),)
    leases.renew([(1, 0)], DURATION)
    assert len(leases) == 0


@steady
@given(st.integers(1, 10**14), st.integers(0, 10**14), st.integers(0, 400_000))
def test_who_lent_blocks_keeps_them_until_all_that_may_be_begun_there_has_ended(
    lease_ps: int, flight_ps: int, error_ppm: int
) -> None:
    """By the fastest clock, where the right to begin is measured by the slowest, and the word of it came late."""
    found = spans(lease_ps, flight_ps, error_ppm)
    slow, fast, late_ps = 10**6 - error_ppm, 10**6 + error_ppm, lease_ps // 4
    begun_true_ps = -(-found.right_ps * 10**6 // slow) + late_ps
    assert found.hold_ps * 10**6 >= (begun_true_ps + flight_ps) * fast
    assert found.flight_ps * 10**6 >= flight_ps * fast
    assert lease_ps // 3 <= found.right_ps <= lease_ps
    if not error_ppm and 5 * lease_ps >= 12 * flight_ps + 12:
        assert found.hold_ps <= lease_ps, "it is over when its lease is"
