"""Measured signal times: read strictly, drawn evenly, and told apart by mode and by what the sender does."""

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from emu.fake.even import WHOLE
from emu.fake.profiles import has_table
from emu.fake.signals import SignalTimes, load_signals, parse_signals
from emu.refusal import Refusal

TABLE: dict[str, Any] = {
    "shares": [0.0, 0.5, 1.0],
    "serialized_s": [1e-3, 2e-3, 4e-3],
    "serialized_busy_s": [2e-3, 2e-3, 2e-3],
    "layer_wise_s": [1e-6, 1e-6, 3e-6],
    "layer_wise_busy_s": [5e-6, 6e-6, 7e-6],
    "source": "made up",
}
TIMES = SignalTimes.of(parse_signals(TABLE, "here"))


@pytest.mark.parametrize(
    ("part", "layer_wise", "busy", "expected_ps"),
    [
        (0, False, False, 10**9),
        (WHOLE // 4, False, False, 1_500_000_000),
        (WHOLE // 4 * 3, False, False, 3 * 10**9),
        (WHOLE // 2, False, True, 2 * 10**9),
        (WHOLE // 2, True, False, 10**6),
        (WHOLE - 1, True, True, 6_999_999),
    ],
)
def test_a_time_is_that_of_its_curve_and_share(part: int, layer_wise: bool, busy: bool, expected_ps: int) -> None:
    assert evolve(TIMES, first=part).ps(0, layer_wise=layer_wise, busy=busy) == expected_ps


@given(st.integers(0, 2**32), st.integers(20, 400))
def test_draws_are_spread_evenly_however_few(seed: int, draws: int) -> None:
    one_to_one = SignalTimes((0, WHOLE), {(True, False): (0, WHOLE)}).seeded(seed)
    parts = sorted(one_to_one.ps(before, layer_wise=True, busy=False) for before in range(draws))
    assert 0 <= parts[0] <= parts[-1] < WHOLE
    gaps = [later - earlier for earlier, later in zip(parts, [*parts[1:], parts[0] + WHOLE], strict=True)]
    assert max(gaps) < 3 * WHOLE / draws


def test_seeds_begin_elsewhere() -> None:
    assert len({TIMES.seeded(seed).first for seed in range(50)}) == 50


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shares": [0.0, 0.5, 0.9]}, "from 0 to 1"),
        ({"shares": [0.0, 0.5, 0.5, 1.0]}, "from 0 to 1"),
        ({"layer_wise_s": [1e-6, 1e-6]}, "layer_wise_s: expected a time for each share"),
        ({"serialized_s": [3e-3, 2e-3, 4e-3]}, "serialized_s: expected a time for each share, none less"),
        ({"serialized_s": [0.0, 2e-3, 4e-3]}, "above zero"),
        ({"signal_s": 1.0}, "unknown key"),
    ],
)
def test_a_table_that_is_none_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Refusal, match=words):
        parse_signals(TABLE | change, "here")
    with pytest.raises(Refusal, match="expected a table"):
        parse_signals(3, "here")


def test_only_the_pair_was_measured_so() -> None:
    assert not has_table("dgx-h100", "signals")
    assert has_table("h200-pair", "signals")
    assert load_signals("h200-pair").ps(0, layer_wise=False, busy=False) > 0
