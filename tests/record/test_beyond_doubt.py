"""Giving up a run never changes what is said of it: it ends early only where a whole run would surely have failed."""

import random
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from emu.record.beyond_doubt import BeyondDoubt, SurelyMissed, interval
from emu.record.entries import RequestEnded
from emu.record.histogram import LogHistogram
from emu.record.life import Life
from emu.record.slo import Slowdowns

ALONE_PS = 1_000_000


def outcome(slowdowns: list[float], *, stop: bool) -> tuple[bool, dict[str, tuple[float, float]]]:
    """Whether it was given up, and otherwise each limit's interval over its limit."""
    slo = BeyondDoubt(Slowdowns(), len(slowdowns), stop=stop)
    try:
        for number, slowdown in enumerate(slowdowns):
            if slowdown == inf:
                slo.missed()
                continue
            life = Life(number, 0, 10, first_token_ps=round(slowdown * ALONE_PS), output_tokens=3)
            life.mean_gap_ps = round(slowdown * ALONE_PS)
            life.last_token_ps = round(slowdown * 3 * ALONE_PS)
            ended = RequestEnded(0, 0, number, 0, 0, 0, 3, 0, 0, 0, ALONE_PS, ALONE_PS, 3 * ALONE_PS)
            slo.completed(life, ended)
    except SurelyMissed as missed:
        return missed.over[missed.limit] > 0, {}
    rows = slo.rows(LogHistogram())
    return False, {
        f"{row['metric']}_p{row['percentile']}": (
            inf if row["low"] is None else row["low"] / row["limit"],
            inf if row["high"] is None else row["high"] / row["limit"],
        )
        for row in rows
    }


@given(
    st.integers(0, 2**32),
    st.integers(20, 400),
    st.floats(0.5, 7.0),
    st.floats(0.0, 1.5),
    st.floats(0.0, 0.2),
)
def test_a_run_is_given_up_only_where_a_whole_one_surely_fails(
    seed: int, requests: int, centre: float, spread: float, lost: float
) -> None:
    draw = random.Random(seed)
    slowdowns = [inf if draw.random() < lost else centre * draw.uniform(1, 1 + spread) for _ in range(requests)]
    given_up, _ = outcome(slowdowns, stop=True)
    _, whole = outcome(slowdowns, stop=False)
    surely_failed = any(low >= 1 for low, _ in whole.values())
    assert not given_up or surely_failed


def test_a_hopeless_run_is_given_up() -> None:
    assert outcome([10.0] * 200, stop=True)[0]
    assert outcome([inf] * 200, stop=True)[0]
    assert not outcome([0.5] * 200, stop=True)[0]


@given(st.lists(st.floats(0, 10), min_size=1, max_size=300), st.sampled_from([50, 90, 99]))
def test_an_interval_holds_its_percentile(values: list[float], percent: int) -> None:
    rising = sorted(values)
    low, high = interval(rising, percent)
    assert low is not None
    assert high is not None
    assert low <= rising[min(len(rising) - 1, int(len(rising) * percent / 100))] <= high
