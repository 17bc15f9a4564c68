"""--vary: what is written is what is run."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.refusal import Refusal
from emu.sweep.axes import parse_axes, points

STEPS = st.decimals("0.001", "50", places=3)


@given(st.decimals("-100", "100", places=3), STEPS, st.integers(0, 40), st.decimals("0", "0.999", places=3))
def test_a_span_counts_in_exact_steps_to_its_end(low: Decimal, step: Decimal, many: int, part: Decimal) -> None:
    high = low + step * many + step * part
    (axis,) = parse_axes([f"workload.rate_rps={low}:{high}:{step}"])
    assert [Decimal(value) for value in axis.values] == [low + step * index for index in range(many + 1)]


@given(st.lists(st.text("abcz0189._-", min_size=1, max_size=5), min_size=1, max_size=6, unique=True))
def test_a_list_is_its_values(values: list[str]) -> None:
    (axis,) = parse_axes(["router.policy=" + ", ".join(values)])
    assert axis.values == tuple(values)


def test_a_list_can_be_a_value_and_a_name_can_have_a_colon() -> None:
    (axis,) = parse_axes(['faults=[],[{kind = "crash", at_s = 1.0, machine = "decode-0"}]'])
    assert axis.values == ("[]", '[{kind = "crash", at_s = 1.0, machine = "decode-0"}]')
    (axis,) = parse_axes(["router.policy=my.module:Policy"])
    assert axis.values == ("my.module:Policy",)
    (axis,) = parse_axes(["machines[0].count=2:5"])
    assert axis.values == ("2", "3", "4", "5")


def test_every_combination_the_last_axis_fastest() -> None:
    axes = parse_axes(["a=1,2", "b=x,y,z"])
    assert points(axes, 1) == [("1", "x"), ("1", "y"), ("1", "z"), ("2", "x"), ("2", "y"), ("2", "z")]
    assert points((), 1) == [()]


@pytest.mark.parametrize(
    ("varied", "said"),
    [
        (["seed"], "KEY=A,B,C"),
        (["=1,2"], "KEY=A,B,C"),
        (["seed=1,,2"], "between the commas"),
        (["seed="], "between the commas"),
        (["seed=1,2,1"], "1 twice"),
        (["seed=5:1:1"], "LO at most HI"),
        (["seed=1:5:0"], "STEP above 0"),
        (["seed=1:5:-1"], "STEP above 0"),
        (["seed=0:nan:1"], "finite"),
        (["seed=1:1e12:1"], "at most 1,000,000 values"),
        (["seed=1,2", "seed=3"], "each key once"),
    ],
)
def test_a_bad_axis_is_refused(varied: list[str], said: str) -> None:
    with pytest.raises(Refusal, match="--vary") as refused:
        parse_axes(varied)
    assert said in str(refused.value)


def test_too_many_runs_are_refused() -> None:
    with pytest.raises(Refusal, match="at most 1,000,000 runs"):
        points(parse_axes(["seed=1:2000", "interleaving=1:2000"]), 1)
