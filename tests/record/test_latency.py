"""Percentiles and the histogram, against numpy and against lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.record.histogram import LogHistogram
from emu.record.latency import PERCENTILES, PS_PER_S, percentile, spread, spread_of

durations = st.integers(0, 10**16)


@given(st.lists(durations, min_size=1), st.integers(0, 100))
def test_percentiles_are_numpys(values: list[int], percent: int) -> None:
    found = percentile(sorted(values), percent)
    assert found == pytest.approx(float(np.percentile(values, percent)), rel=1e-12)


@given(st.lists(st.floats(0, 1e6)), st.integers(1, 5), st.integers(0, 100))
def test_endless_ones_come_last(values: list[float], endless: int, percent: int) -> None:
    found = percentile(sorted(values), percent, endless)
    assert found is not None
    place = (len(values) + endless - 1) * percent / 100
    assert (found == float("inf")) == (place > len(values) - 1)


def test_nothing_has_no_percentiles() -> None:
    assert percentile([], 50) is None
    assert percentile([], 50, 1) == float("inf")
    assert spread([]) == spread_of(LogHistogram()) == dict.fromkeys(("mean", "p50", "p90", "p99", "max"))


@given(st.lists(durations, min_size=1))
def test_a_spread_is_in_seconds(values: list[int]) -> None:
    found = spread(values)
    assert found["mean"] == pytest.approx(sum(values) / len(values) / PS_PER_S)
    assert found["max"] == max(values) / PS_PER_S
    for percent in PERCENTILES:
        assert found[f"p{percent}"] == pytest.approx(float(np.percentile(values, percent)) / PS_PER_S)


runs = st.tuples(
    durations, st.sampled_from((0, 1, 10**3, 10**6, 10**9, 10**13)), st.integers(1, 300), st.integers(1, 9)
)


@given(st.lists(runs, min_size=1, max_size=6))
def test_runs_are_counted_as_their_steps(fed: list[tuple[int, int, int, int]]) -> None:
    histogram, values = LogHistogram(), []
    for first, growth, steps, times in fed:
        histogram.add_run(first, growth, steps, times)
        values += [first + growth * step for step in range(steps) for _ in range(times)]
    values.sort()
    assert (histogram.count, histogram.sum_ps, histogram.max_ps) == (len(values), sum(values), values[-1])
    counted = histogram.ordered()
    assert [counted[index] for index in range(len(counted))] == pytest.approx(values, rel=5.1e-4)
    found = spread_of(histogram)
    for percent in PERCENTILES:
        assert found[f"p{percent}"] == pytest.approx(float(np.percentile(values, percent)) / PS_PER_S, rel=5.1e-4)


def test_a_long_run_costs_its_bins() -> None:
    histogram = LogHistogram()
    histogram.add_run(30_000_000_000, 1, 10**9, 1)  # would take minutes step by step
    assert len(histogram.ordered()) == 10**9
    assert histogram.ordered()[5 * 10**8] == pytest.approx(30_500_000_000, rel=5.1e-4)
