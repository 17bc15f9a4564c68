"""Synthetic workloads: true to the traces in sizes, to the rate in arrivals, and to the seed in everything.

Sizes are judged in the limit, on 200,000 draws spread evenly over both ranks (a lattice of the golden ratio), so that
the figures are held to their 2 %, not to the luck of a seed.
"""

import os
import subprocess
import sys
from functools import cache
from itertools import pairwise
from math import ceil, floor
from pathlib import Path
from random import Random
from statistics import fmean, median_low, pvariance

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.workload import shape_of_trace
from emu.workload.sizes import SHAPES, size_table
from emu.workload.synthetic import ARRIVALS, gamma_draw, synthetic
from emu.workload.traces import read_trace

SHARED = Path(__file__).parents[2].parent / "shared"
TRACES = {"azure-conv": "AzureLLMInferenceTrace_conv.csv", "azure-code": "AzureLLMInferenceTrace_code.csv"}
PERCENTS = (1, 5, 10, 25, 50, 75, 90, 95, 99)
Pairs = list[tuple[int, int]]

# What the traces are known to be, for when they are not at hand: prompts and outputs at PERCENTS, then the longest
# prompt of each tenth of the requests but the last, and the median output between those.
FACTS = {
    "azure-conv": (
        (29, 181, 207, 396, 1020, 1189, 2735, 4083, 4142),
        (16, 41, 54, 85, 129, 395, 424, 451, 601),
        (207, 387, 403, 703, 1020, 1071, 1130, 1315, 2734),
        (161, 76, 96, 98, 396, 407, 407, 396, 95, 58),
    ),
    "azure-code": (
        (17, 75, 147, 578, 1469, 2745, 5186, 7302, 7436),
        (6, 6, 7, 9, 13, 24, 55, 90, 252),
        (147, 384, 768, 1075, 1469, 1909, 2433, 3192, 5186),
        (14, 14, 14, 13, 13, 13, 12, 12, 13, 13),
    ),
}
every_shape = pytest.mark.parametrize("shape", SHAPES)


@cache
def drawn(shape: str) -> Pairs:
    count, table = 200_000, size_table(shape)
    return [table.sizes((i + 0.5) / count, i * 0.6180339887498949 % 1.0) for i in range(count)]


def trace_of(shape: str) -> Path:
    path = SHARED / "data" / TRACES[shape]
    if not path.exists():
        pytest.skip(f"../shared/data/{TRACES[shape]} is not there")
    return path


def at_percents(values: list[int]) -> list[int]:
    ordered = sorted(values)
    return [ordered[(percent * (len(ordered) - 1) + 50) // 100] for percent in PERCENTS]


def medians_between(pairs: Pairs, bounds: tuple[int, ...]) -> list[int]:
    ends = (0, *bounds, 2**31)
    return [median_low(output for prompt, output in pairs if low < prompt <= high) for low, high in pairwise(ends)]


def hold(drawn_values: list[int], expected: list[int], share: float) -> None:
    """Each within this share of what is expected, or within one token."""
    for value, wanted in zip(drawn_values, expected, strict=True):
        assert abs(value - wanted) <= max(1.0, share * wanted), (value, wanted, drawn_values, expected)


@every_shape
def test_sizes_are_those_that_the_traces_are_known_for(shape: str) -> None:
    prompts, outputs, bounds, medians = FACTS[shape]
    pairs = drawn(shape)
    hold(at_percents([prompt for prompt, _ in pairs]), list(prompts), 0.02)
    hold(at_percents([output for _, output in pairs]), list(outputs), 0.02)
    hold(medians_between(pairs, bounds), list(medians), 0.10)


@every_shape
def test_sizes_are_those_of_the_trace_at_hand(shape: str) -> None:
    trace = read_trace(trace_of(shape))
    pairs = drawn(shape)
    for column, values in enumerate((trace.prompt_tokens, trace.output_tokens)):
        sizes = [pair[column] for pair in pairs]
        hold(at_percents(sizes), at_percents(list(values)), 0.02)
        assert fmean(sizes) == pytest.approx(fmean(values), rel=0.01)
        assert min(values) <= min(sizes) <= max(sizes) <= max(values)
    ordered = sorted(trace.prompt_tokens)
    bounds = tuple(ordered[tenth * len(ordered) // 10 - 1] for tenth in range(1, 10))
    real = list(zip(trace.prompt_tokens, trace.output_tokens, strict=True))
    hold(medians_between(pairs, bounds), medians_between(real, bounds), 0.10)


@every_shape
def test_the_facts_in_this_file_are_those_of_the_trace(shape: str) -> None:
    trace = read_trace(trace_of(shape))
    prompts, outputs, bounds, medians = FACTS[shape]
    assert at_percents(list(trace.prompt_tokens)) == list(prompts)
    assert at_percents(list(trace.output_tokens)) == list(outputs)
    real = list(zip(trace.prompt_tokens, trace.output_tokens, strict=True))
    hold(medians_between(real, bounds), list(medians), 0.0)


@every_shape
def test_the_shipped_figures_can_be_made_again(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shape_of_trace.main([str(trace_of(shape)), shape]) is None
    shipped = Path(shape_of_trace.__file__).parent / "shapes" / f"{shape}.json"
    assert capsys.readouterr().out == shipped.read_text(encoding="utf-8")


def test_making_figures_of_nothing_says_why(tmp_path: Path) -> None:
    assert "usage" in (shape_of_trace.main([]) or "")
    assert "No such file" in (shape_of_trace.main([str(tmp_path / "none.csv"), "x"]) or "")


@given(st.lists(st.integers(1, 99), min_size=1, max_size=50).map(sorted), st.integers(0, 1000))
def test_quantiles_lie_among_the_values_around_them(ordered: list[int], rank: int) -> None:
    value = shape_of_trace.quantiles(ordered, [rank])[0]
    middle = min(max(rank * len(ordered) / 1000 - 0.5, 0), len(ordered) - 1)
    assert ordered[floor(middle)] <= value <= ordered[ceil(middle)]


@every_shape
def test_every_pair_of_ranks_has_sizes(shape: str) -> None:
    table, last = size_table(shape), 1.0 - 2.0**-53
    assert table.name == shape
    assert "AzurePublicDataset" in table.source
    for prompt_rank in (0.0, 0.5, last):
        for output_rank in (0.0, 0.5, last):
            assert min(table.sizes(prompt_rank, output_rank)) >= 1
    assert table.sizes(last, last)[0] == table.prompt.tokens[-1]
    for curve in (table.prompt, *table.outputs):
        assert list(curve.tokens) == sorted(curve.tokens)
        assert (curve.ranks[0], curve.ranks[-1]) == (0.0, 1.0)


options = st.fixed_dictionaries(
    {
        "shape": st.sampled_from(SHAPES),
        "arrivals": st.sampled_from(ARRIVALS),
        "rate_rps": st.floats(0.1, 50),
        "duration_s": st.floats(0.1, 10),
        "burstiness": st.floats(0.05, 20),
        "seed": st.integers(-(2**70), 2**70),
    }
)


@settings(max_examples=50)
@given(options, st.integers(1, 50))
def test_same_arguments_same_workload_sorted_and_in_time(chosen: dict[str, object], limit: int) -> None:
    whole = synthetic(**chosen)  # type: ignore[arg-type]
    assert whole == synthetic(**chosen)  # type: ignore[arg-type]
    assert list(whole.arrivals_ps) == sorted(whole.arrivals_ps)
    assert all(0 <= at_ps < chosen["duration_s"] * 10**12 + 1 for at_ps in whole.arrivals_ps)  # type: ignore[operator]
    part = synthetic(**chosen, limit=limit)  # type: ignore[arg-type]
    assert part == whole.take(limit=limit)


@settings(max_examples=30)
@given(options, options, st.sampled_from(SHAPES), st.integers(0, 9))
def test_sizes_do_not_depend_on_arrivals(
    one: dict[str, object], other: dict[str, object], shape: str, seed: int
) -> None:
    a = synthetic(**(one | {"shape": shape, "seed": seed}))  # type: ignore[arg-type]
    b = synthetic(**(other | {"shape": shape, "seed": seed}))  # type: ignore[arg-type]
    both = min(len(a), len(b))
    assert a.prompt_tokens[:both] == b.prompt_tokens[:both]
    assert a.output_tokens[:both] == b.output_tokens[:both]


def test_another_seed_is_another_workload() -> None:
    a, b = (synthetic("azure-conv", rate_rps=50, duration_s=10, seed=seed) for seed in (0, 1))
    assert a.arrivals_ps != b.arrivals_ps
    assert a.prompt_tokens[:100] != b.prompt_tokens[:100]


@pytest.mark.parametrize(
    ("arrivals", "burstiness", "variation"),
    [("poisson", 7.0, 1.0), ("gamma", 1.0, 1.0), ("gamma", 0.25, 4.0), ("gamma", 0.5, 2.0), ("gamma", 4.0, 0.25)],
)
def test_gaps_have_the_mean_and_the_scatter_that_were_asked_for(
    arrivals: str, burstiness: float, variation: float
) -> None:
    workload = synthetic("azure-code", rate_rps=70, duration_s=600, arrivals=arrivals, burstiness=burstiness)
    gaps = [(b - a) / 10**12 for a, b in pairwise(workload.arrivals_ps)]
    assert len(workload) == pytest.approx(42_000, rel=0.02)
    assert pvariance(gaps) / fmean(gaps) ** 2 == pytest.approx(variation, rel=0.08)
    assert all(at_ps % 10**6 == 0 for at_ps in workload.arrivals_ps)


def test_gamma_of_shape_one_is_poisson() -> None:
    gamma = synthetic("azure-conv", rate_rps=20, duration_s=20, arrivals="gamma", burstiness=1.0)
    assert gamma == synthetic("azure-conv", rate_rps=20, duration_s=20, arrivals="poisson")


@pytest.mark.parametrize("shape", [0.01, 0.3, 1.0, 2.5, 100.0])
def test_gamma_draws_have_their_mean_and_variance(shape: float) -> None:
    draw = Random("gamma").random
    draws = [gamma_draw(draw, shape) for _ in range(40_000)]
    assert fmean(draws) == pytest.approx(shape, rel=0.12 if shape < 0.1 else 0.03)
    assert pvariance(draws) == pytest.approx(shape, rel=0.3 if shape < 0.1 else 0.06)


def test_constant_arrivals_do_not_drift() -> None:
    workload = synthetic("azure-conv", rate_rps=3, duration_s=10, arrivals="constant")
    assert list(workload.arrivals_ps) == [k * 10**12 // 3 for k in range(30)]


def test_the_same_in_a_process_with_another_hash_seed() -> None:
    program = (
        "from emu.workload.synthetic import synthetic\n"
        "w = synthetic('azure-conv', rate_rps=9, duration_s=9, arrivals='gamma', burstiness=0.5, seed=4)\n"
        "print(list(w.arrivals_ps), list(w.prompt_tokens), list(w.output_tokens))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    here = synthetic("azure-conv", rate_rps=9, duration_s=9, arrivals="gamma", burstiness=0.5, seed=4)
    assert printed == {f"{list(here.arrivals_ps)} {list(here.prompt_tokens)} {list(here.output_tokens)}\n"}


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("shape", "azure-chat"),
        ("shape", "../azure-conv"),
        ("arrivals", "uniform"),
        ("rate_rps", 0.0),
        ("rate_rps", -1.0),
        ("rate_rps", float("nan")),
        ("rate_rps", float("inf")),
        ("duration_s", 0.0),
        ("duration_s", float("nan")),
        ("duration_s", 1e7),
        ("burstiness", 0.0),
        ("burstiness", float("nan")),
        ("limit", 0),
    ],
)
def test_arguments_that_make_no_sense(argument: str, value: object) -> None:
    arguments: dict[str, object] = {"shape": "azure-conv", "rate_rps": 1.0, "duration_s": 1.0}
    with pytest.raises(ValueError, match=f"{argument}: expected"):
        synthetic(**(arguments | {argument: value}))  # type: ignore[arg-type]
