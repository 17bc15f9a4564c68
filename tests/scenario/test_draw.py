"""Drawn plans are scenarios like any other: they load as they were drawn, the same ones for the same seed."""

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from emu.scenario.draw import KINDS, draw_plan, draw_scenario
from emu.scenario.load import load
from emu.scenario.write import resolved_toml


@given(st.integers(0, 10**6))
def test_the_same_seed_draws_the_same(seed: int) -> None:
    scenario = draw_scenario(seed)
    assert scenario == draw_scenario(seed)
    assert 1 <= len(draw_plan(seed, scenario, 2)) <= 2


def test_every_kind_is_drawn_and_loads(tmp_path: Path) -> None:
    kinds: Counter[str] = Counter()
    for seed in range(150):
        scenario = draw_scenario(seed)
        path = tmp_path / f"{seed}.toml"
        path.write_text(resolved_toml(scenario))
        assert load(path).faults == scenario.faults
        kinds.update(fault.kind for fault in scenario.faults)
    assert set(kinds) == set(KINDS)
