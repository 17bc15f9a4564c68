"""The laws of `Workload.take`, and how much prefix reuse hash ids offer."""

from array import array
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.workload.prefixes import PrefixIds, PrefixReuse
from emu.workload.table import Workload, by_arrival, exact, instant_ps


def workload_of(arrivals_ps: list[int], prefix: PrefixReuse | None = None) -> Workload:
    tokens = array("i", range(1, len(arrivals_ps) + 1))
    return Workload("w", array("q", arrivals_ps), tokens, tokens[::-1], 3, "reason", prefix)


def ids_of(rows: list[list[int]]) -> PrefixIds:
    offsets, ids = array("q", [0]), array("q")
    for row in rows:
        ids.extend(row)
        offsets.append(len(ids))
    return PrefixIds(offsets, ids)


workloads = st.lists(st.integers(0, 10**15), min_size=1, max_size=30).map(sorted).map(workload_of)
speedups = st.floats(0.01, 1000) | st.sampled_from([1.0, 2.0, 12.0, 1.2, 0.1])


@given(workloads)
def test_taking_everything_changes_nothing(workload: Workload) -> None:
    assert workload.take() is workload
    assert workload.take(limit=len(workload), until_s=10**4, speedup=1.0) == workload


@given(workloads, st.integers(1, 40), st.integers(0, 10**6).map(lambda ms: ms / 1000), speedups)
def test_take_is_limit_then_until_then_speedup(workload: Workload, limit: int, until_s: float, speedup: float) -> None:
    taken = workload.take(limit, until_s, speedup)
    assert taken == workload.take(limit=limit).take(until_s=until_s).take(speedup=speedup)
    assert taken == workload.take(until_s=until_s).take(limit=limit).take(speedup=speedup)
    early = [at_ps for at_ps in workload.arrivals_ps[:limit] if Fraction(at_ps, 10**12) < Fraction(repr(until_s))]
    assert list(taken.arrivals_ps) == [int(at_ps / Fraction(repr(speedup))) for at_ps in early]
    assert taken.prompt_tokens == workload.prompt_tokens[: len(early)]
    assert taken.output_tokens == workload.output_tokens[: len(early)]
    assert (taken.name, taken.left_out, taken.left_out_reason) == ("w", 3, "reason")


def test_speedup_is_the_decimal_that_was_written() -> None:
    assert exact(1.2) == Fraction(6, 5)
    assert [instant_ps(seconds) for seconds in (0, 3, 7.0, 1.2, 1e-13)] == [0, 3 * 10**12, 7 * 10**12, 12 * 10**11, 1]
    assert list(workload_of([6, 12, 3 * 10**18]).take(speedup=1.2).arrivals_ps) == [5, 10, 25 * 10**17]


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 0},
        {"limit": -1},
        {"until_s": -0.1},
        {"until_s": float("inf")},
        {"speedup": 0.0},
        {"speedup": float("nan")},
    ],
)
def test_options_that_make_no_sense(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        workload_of([0]).take(**options)  # type: ignore[arg-type]


def test_columns_of_different_lengths_are_no_workload() -> None:
    with pytest.raises(ValueError, match="as many"):
        Workload("w", array("q", [0]), array("i"), array("i"))


def test_a_row_takes_16_bytes() -> None:
    columns = workload_of([0])
    assert sum(c.itemsize for c in (columns.arrivals_ps, columns.prompt_tokens, columns.output_tokens)) <= 32


@given(st.lists(st.integers(0, 5)))
def test_the_order_by_arrival_keeps_equal_ones_as_they_stand(arrivals_ps: list[int]) -> None:
    order = list(by_arrival(array("q", arrivals_ps)))
    assert order == [i for _, i in sorted((at_ps, i) for i, at_ps in enumerate(arrivals_ps))]


@pytest.mark.parametrize(
    ("rows", "prompts", "offered"),
    [
        ([[1, 2, 3]], [1500], 0),
        ([[1, 2, 3], [1, 2, 4]], [1500, 1500], 1024),
        ([[1, 2, 3], [1, 2, 3]], [1500, 1500], 1500),  # the last block is shared as far as it is filled
        ([[1, 2], [3, 2], [1, 5]], [1024, 1024, 1024], 512),  # a block counts only behind a prefix that counts
        ([[1, 1]], [1024], 0),  # nothing is reused from the request itself
        ([[], [1], [1]], [5, 5, 5], 5),
    ],
)
def test_prefix_reuse_counts_leading_ids_seen_before(rows: list[list[int]], prompts: list[int], offered: int) -> None:
    reuse = PrefixReuse.of(ids_of(rows), prompts)
    assert (reuse.tokens_offered, reuse.tokens_total) == (offered, sum(prompts))


@given(st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=8), st.integers(1, 8))
def test_what_is_taken_offers_what_its_own_rows_offer(rows: list[list[int]], limit: int) -> None:
    prompts = list(range(1, len(rows) + 1))
    workload = workload_of([0] * len(rows), PrefixReuse.of(ids_of(rows), prompts))
    taken = workload.take(limit=limit)
    assert taken.prefix == PrefixReuse.of(ids_of(rows[:limit]), prompts[:limit])


@given(st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=8), st.integers(1, 8))
def test_a_cut_shortens_prompts_and_what_they_offer_and_nothing_else(rows: list[list[int]], longest: int) -> None:
    prompts = list(range(1, len(rows) + 1))
    workload = workload_of([0] * len(rows), PrefixReuse.of(ids_of(rows), prompts))
    cut = workload.cut(longest)
    shorter = [min(tokens, longest) for tokens in prompts]
    assert cut.prompt_tokens.tolist() == shorter
    assert cut.prefix == PrefixReuse.of(ids_of(rows), shorter)
    assert (cut.arrivals_ps, cut.output_tokens) == (workload.arrivals_ps, workload.output_tokens)
