"""Student's t against a published table, and against itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.plan.student import t_below, t_quantile

# Abramowitz and Stegun, table 26.10
TABLE = ((1, 0.975, 12.706), (2, 0.95, 2.920), (2, 0.975, 4.303), (5, 0.95, 2.015), (9, 0.9, 1.383), (30, 0.975, 2.042))


@pytest.mark.parametrize(("freedom", "probability", "value"), TABLE)
def test_the_table(freedom: int, probability: float, value: float) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(value, abs=6e-4)


@given(st.integers(1, 60), st.floats(0.01, 0.99))
def test_a_quantile_is_where_its_probability_lies(freedom: int, probability: float) -> None:
    assert t_below(t_quantile(probability, freedom), freedom) == pytest.approx(probability, abs=1e-7)
    assert t_below(0.0, freedom) == 0.5
