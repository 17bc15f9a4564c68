"""Limits: what passes, by how much, and which requests are good."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.record.entries import RequestEnded, Status
from emu.record.histogram import LogHistogram
from emu.record.life import Life
from emu.record.slo import Absolute, Limit, Slo, Slowdowns

S = 10**12
ALONE = (100, 10, 1000)


def completed(slo: Slo, ttft_ps: int, gap_ps: int, e2e_ps: int, tokens: int = 2, longest_ps: int = 0) -> None:
    life = Life(0, 1000, 10)
    life.first_token_ps = 1000 + ttft_ps
    life.second_token_ps = 1000 + ttft_ps + gap_ps if tokens > 1 else -1
    life.last_token_ps = 1000 + e2e_ps
    life.longest_gap_ps = longest_ps or -1
    life.output_tokens = tokens
    life.mean_gap_ps = gap_ps if tokens > 1 else -1
    slo.completed(life, RequestEnded(1000 + e2e_ps, 0, 0, 0, Status.COMPLETED, 0, tokens, 0, 0, 0, *ALONE))


def rows_of(slo: Slo, gaps: LogHistogram | None = None) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["metric"], row["percentile"]): row for row in slo.rows(gaps or LogHistogram())}


def test_the_papers_nine() -> None:
    slo = Slowdowns()
    for times in range(101):
        completed(slo, ttft_ps=100 + times, gap_ps=10, e2e_ps=1000)
    rows = rows_of(slo)
    assert {key: row["limit"] for key, row in rows.items()} == {
        ("ttft", 50): 2.0,
        ("ttft", 90): 3.0,
        ("ttft", 99): 6.0,
        ("tbt", 50): 1.25,
        ("tbt", 90): 1.5,
        ("tbt", 99): 5.0,
        ("e2e", 50): 1.25,
        ("e2e", 90): 1.5,
        ("e2e", 99): 5.0,
    }
    assert rows["ttft", 50]["value"] == pytest.approx(1.5)
    assert rows["ttft", 99]["value"] == pytest.approx(1.99)
    assert rows["ttft", 99]["ratio"] == pytest.approx(1.99 / 6)
    assert all(row["passed"] and row["unit"] == "x" for row in rows.values())
    assert slo.within == 101


def test_a_limit_that_is_met_exactly_is_missed() -> None:
    slo = Slowdowns()
    completed(slo, ttft_ps=600, gap_ps=49, e2e_ps=4999)
    completed(slo, ttft_ps=599, gap_ps=50, e2e_ps=4999)
    completed(slo, ttft_ps=599, gap_ps=49, e2e_ps=5000)
    assert slo.within == 0
    completed(slo, ttft_ps=599, gap_ps=49, e2e_ps=4999)
    assert slo.within == 1
    exact = Slowdowns()
    completed(exact, ttft_ps=200, gap_ps=1, e2e_ps=1)
    assert not rows_of(exact)["ttft", 50]["passed"]


def test_one_token_has_no_gap() -> None:
    slo = Slowdowns()
    completed(slo, ttft_ps=100, gap_ps=0, e2e_ps=100, tokens=1)
    row = rows_of(slo)["tbt", 99]
    assert (row["value"], row["ratio"], row["passed"]) == (None, None, True)
    assert slo.within == 1


@given(st.integers(1, 200), st.integers(0, 50))
def test_requests_that_did_not_complete_miss_every_limit(good: int, missed: int) -> None:
    slo = Slowdowns()
    for _ in range(good):
        completed(slo, ttft_ps=100, gap_ps=10, e2e_ps=1000)
    for _ in range(missed):
        slo.missed()
    for (_, percent), row in rows_of(slo).items():
        holds = (good + missed - 1) * percent <= (good - 1) * 100
        assert row["passed"] == holds
        assert row["value"] == (1.0 if holds else None)
    assert slo.within == good


LIMITS: tuple[Limit, ...] = (
    ("ttft", 50, 1.0),
    ("ttft", 99, 2.0),
    ("ttst", 99, 3.0),
    ("tbt", 99, 0.5),
    ("tpot", 90, 0.25),
    ("e2e", 99, 9.0),
)


def test_limits_in_seconds() -> None:
    slo = Absolute(LIMITS)
    good = {"ttft_ps": S * 3 // 2, "gap_ps": S // 5, "e2e_ps": 8 * S, "tokens": 9, "longest_ps": S // 3}
    completed(slo, **good)
    assert slo.within == 1
    for worse in ({"ttft_ps": 2 * S}, {"gap_ps": S // 4}, {"e2e_ps": 9 * S}, {"longest_ps": S // 2}):
        completed(slo, **{**good, **worse})
    assert slo.within == 1
    gaps = LogHistogram()
    gaps.add(S // 3, 99)
    gaps.add(S // 2)
    rows = rows_of(slo, gaps)
    assert list(rows) == [(metric, percentile) for metric, percentile, _ in LIMITS]
    assert (rows["ttft", 50]["value"], rows["ttft", 50]["passed"]) == (1.5, False)
    assert rows["tbt", 99]["value"] == pytest.approx(1 / 3 + (1 / 2 - 1 / 3) * 0.01, rel=1e-3)
    assert rows["tbt", 99]["passed"]
    assert all(row["unit"] == "s" for row in rows.values())


def test_limits_in_seconds_are_missed_by_what_did_not_complete() -> None:
    slo = Absolute(LIMITS)
    slo.missed()
    assert [row["passed"] for row in slo.rows(LogHistogram())] == [False] * len(LIMITS)
    assert slo.within == 0


def test_the_largest_percentile_of_a_metric_decides_what_is_good() -> None:
    for limits in (LIMITS[:2], tuple(reversed(LIMITS[:2]))):
        slo = Absolute(limits)
        completed(slo, ttft_ps=S * 3 // 2, gap_ps=1, e2e_ps=9 * S)
        assert slo.within == 1
