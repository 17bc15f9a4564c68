"""The traces that the field publishes, where they are at hand: what is in them, and how long reading takes."""

from pathlib import Path
from statistics import median

import pytest

from emu.workload.traces import read_trace

SHARED = Path(__file__).parents[2].parent / "shared"


def real(path: str) -> Path:
    if not (SHARED / path).exists():
        pytest.skip(f"../shared/{path} is not there")
    return SHARED / path


@pytest.mark.parametrize(
    ("path", "requests", "prompt", "output", "last_ps"),
    [
        ("data/AzureLLMInferenceTrace_conv.csv", 19_366, 1020, 129, 3_501_721_937_000_000),
        ("data/AzureLLMInferenceTrace_code.csv", 8_819, 1469, 13, 3_435_948_056_000_000),
        ("data/mooncake_conversation_trace.jsonl", 12_031, 6909, 350, 3_536_999_000_000_000),
        ("data/mooncake_synthetic_trace.jsonl", 3_993, 11587, 69, 1_022_025_000_000_000),
        ("reference/splitwise_sim_hh_25p_15t.csv", 8_502, 1015, 129, 119_992_389_057_000),
    ],
)
def test_counts_and_medians(path: str, requests: int, prompt: int, output: int, last_ps: int) -> None:
    read = read_trace(real(path))
    assert len(read) == requests
    assert (median(read.prompt_tokens), median(read.output_tokens)) == (prompt, output)
    assert read.arrivals_ps[-1] == last_ps
    assert list(read.arrivals_ps) == sorted(read.arrivals_ps)
    assert read.left_out == 0


@pytest.mark.parametrize(
    ("path", "offered"),
    [("data/mooncake_conversation_trace.jsonl", 0.3736), ("data/mooncake_synthetic_trace.jsonl", 0.6513)],
)
def test_mooncake_offers_prefix_reuse(path: str, offered: float) -> None:
    read = read_trace(real(path))
    assert read.prefix is not None
    assert read.prefix.tokens_total == sum(read.prompt_tokens)
    assert read.prefix.tokens_offered / read.prefix.tokens_total == pytest.approx(offered, abs=1e-4)
    assert [len(read.prefix.ids.row(i)) for i in range(len(read))] == [-(-p // 512) for p in read.prompt_tokens]


def test_a_row_takes_at_most_32_bytes() -> None:
    read = read_trace(real("data/AzureLLMInferenceTrace_conv.csv"))
    columns = (read.arrivals_ps, read.prompt_tokens, read.output_tokens)
    assert sum(column.itemsize for column in columns) <= 32
    assert {len(column) for column in columns} == {19366}


def test_twelve_times_as_fast() -> None:
    path = real("data/AzureLLMInferenceTrace_conv.csv")
    hour, minutes = read_trace(path), read_trace(path, speedup=12)
    assert list(minutes.arrivals_ps) == [at_ps // 12 for at_ps in hour.arrivals_ps]
