"""Rows: every figure of a summary once, and none of what making the run cost."""

from pathlib import Path
from typing import Any

from emu.execute import execute
from emu.scenario.load import load
from emu.sweep.rows import MAKING, cells, columns, making

HELLO = Path(__file__).parents[2] / "scenarios" / "hello.toml"


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list):
        if value and all(isinstance(inner, list) for inner in value):
            return [share for _, share in value]
        if value and all(isinstance(inner, dict) and "metric" in inner for inner in value):
            return [inner[key] for inner in value for key in ("unit", "limit", "value", "ratio", "passed")]
        if value and all(isinstance(inner, dict) for inner in value):
            return [leaf for inner in value for leaf in leaves(inner)]
        return [" ".join(map(str, value))]
    return [value]


def test_every_figure_of_a_summary_has_its_column() -> None:
    summary = execute(load(HELLO, ["workload.limit=6"])).summary
    row = cells(summary)
    kept = {name: value for name, value in summary.items() if name not in MAKING}
    assert sorted(map(repr, row.values())) == sorted(map(repr, leaves(kept)))
    assert row["slo.ttft_p50.limit"] == 2.0
    assert row["pools.prefill.machines"] == 1
    assert row["laws.broken"] == ""
    assert not set(row) & set(MAKING)
    assert making(summary) == {name: summary[name] for name in MAKING}


def test_two_makings_of_a_run_give_one_row() -> None:
    rows = [cells(execute(load(HELLO, ["workload.limit=6"])).summary) for _ in range(2)]
    assert rows[0] == rows[1]


def test_columns_stand_where_the_first_row_that_has_them_puts_them() -> None:
    assert columns([{"a": 1, "b": 2}, {"a": 1, "c": 3, "b": 2}]) == ["a", "b", "c"]
