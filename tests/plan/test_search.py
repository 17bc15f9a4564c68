"""The search against a look at everything, on clusters that are made up: the same answer, from far fewer trials."""

from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import Capacity, best_level, plan_with, search_of, seek

GAINS = st.floats(0.4, 9.0)
HARDWARE = st.sampled_from([("dgx-h100", "dgx-h100"), ("dgx-h100", "dgx-a100"), ("dgx-a100", "dgx-h100")])


def linear(first: float, second: float, share: float) -> Capacity:
    """Each phase carries what its machines give, and some of what the other's have to spare at that rate, though a
    machine that was moved to it for good would give more."""
    lent = share * min(first / second, second / first)

    def capacity(counts: tuple[int, ...], _seed: int) -> tuple[float, float]:
        one, other = counts[0] * first, counts[-1] * second
        return max(one, (one + lent * other) / (1 + lent)), max(other, (other + lent * one) / (1 + lent))

    return capacity


@settings(max_examples=40)
@given(GAINS, GAINS, st.sampled_from([0.0, 0.4, 0.8]))
def test_the_highest_rate_is_found(first: float, second: float, share: float) -> None:
    search, capacity = search_of(plan_with()), linear(first, second, share)
    answer, trials = seek(search, capacity)
    assert answer.level == best_level(search, capacity)
    everything = len(search.space.everything()) * search.plan.search.seeds
    assert trials <= everything / 10


@settings(max_examples=40)
@given(GAINS, GAINS, HARDWARE, st.sampled_from(["cost", "power"]), st.floats(3.0, 40.0))
def test_the_least_cluster_is_found(
    first: float, second: float, hardware: tuple[str, str], objective: str, rate_rps: float
) -> None:
    machines = [{"pool": "prefill", "hardware": hardware[0]}, {"pool": "decode", "hardware": hardware[1]}]
    plan = plan_with(
        objective=objective,
        designs=[{"name": "own", "machines": machines}],
        workload={"synthetic": "azure-conv", "rate_rps": rate_rps},
    )
    search, capacity = search_of(plan), linear(first, second, 0.0)
    answer, _ = seek(search, capacity)
    best = best_level(search, capacity)
    assert answer.level == best
    if answer.point is not None:
        assert answer.point.rate_rps < min(capacity(answer.point.counts, 0))


@settings(max_examples=40)
@given(st.floats(0.5, 8.0))
def test_one_pool_is_sized_by_halving(gain: float) -> None:
    plan = plan_with(
        designs=["baseline-h100"], objective="cost", workload={"synthetic": "azure-conv", "rate_rps": 10.0}
    )
    search, capacity = search_of(plan), linear(gain, gain, 0.0)
    answer, trials = seek(search, capacity)
    assert answer.level == best_level(search, capacity)
    assert trials <= 30


LUCK = st.tuples(st.floats(0.9, 1.1), st.floats(0.9, 1.1))


@settings(max_examples=60)
@given(GAINS, GAINS, st.lists(LUCK, min_size=3, max_size=3))
def test_seeds_that_differ_are_heard_and_told(first: float, second: float, luck: list[tuple[float, float]]) -> None:
    """Each seed has luck of its own in each phase; the one that is run first may be the odd one."""

    def capacity(counts: tuple[int, ...], seed: int) -> tuple[float, float]:
        one, other = linear(first, second, 0.0)(counts, seed)
        return one * luck[seed][0], other * luck[seed][1]

    search = search_of(plan_with())
    answer, trials = seek(search, capacity)
    best = best_level(search, capacity)
    assert answer.low <= best <= answer.high
    assert best - max(1, 0.05 * best) <= answer.level <= best
    assert trials <= len(search.space.everything()) * search.plan.search.seeds / 10


@settings(max_examples=30)
@given(GAINS, GAINS, st.sampled_from([0.01, 0.5, 0.8]))
def test_one_odd_seed_does_not_decide_for_all(first: float, second: float, odd: float) -> None:
    def capacity(counts: tuple[int, ...], seed: int) -> tuple[float, float]:
        one, other = linear(first, second, 0.0)(counts, seed)
        return (one, other) if seed else (one * odd, other * odd)

    search = search_of(plan_with())
    answer, _ = seek(search, capacity)
    best = best_level(search, capacity)
    assert answer.level == best
    assert answer.low <= best <= answer.high


@settings(max_examples=60)
@given(GAINS, GAINS, st.floats(0.5, 0.9))
def test_a_limit_that_names_the_wrong_group_does_not_lead_far_astray(first: float, second: float, lent: float) -> None:
    """Tokens are late because the first group is short and borrows: every failure says that the second one is."""

    def capacity(counts: tuple[int, ...], _seed: int) -> tuple[float, float]:
        one, other = counts[0] * first, counts[-1] * second
        return one, min(other, lent * one)

    search = search_of(plan_with())
    answer, _ = seek(search, capacity)
    best = best_level(search, capacity)
    assert best - max(1, best / 3) <= answer.level <= best


def test_nothing_that_can_be_met_says_what_comes_nearest() -> None:
    search = search_of(plan_with())
    answer, _ = seek(search, linear(0.05, 0.08, 0.0))
    assert answer.point is None
    assert answer.nearest is not None
    assert not answer.nearest.passed
    assert answer.nearest.found[0].worst in ("ttft_p99", "tbt_p50")


def test_bounds_close_while_it_goes_on() -> None:
    search = search_of(plan_with())
    seek(search, linear(2.0, 3.0, 0.0))
    assert search.bounds.carried + 1 == search.bounds.failed
