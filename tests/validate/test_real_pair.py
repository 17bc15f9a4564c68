"""Which configuration is better, in reality and emulated: ties are nobody's mistake."""

from pathlib import Path

import pytest

from emu.refusal import Refusal
from emu.validate.configurations import collect, figures_of, shipped
from emu.validate.real_pair import Ranking, rank


def test_configurations_whose_repeats_overlap_are_ties() -> None:
    real = {"a": [{"x": 1.0}, {"x": 2.0}], "b": [{"x": 1.5}, {"x": 4.0}], "c": [{"x": 5.0}, {"x": 6.0}]}
    right = {"a": {"x": 10.0}, "b": {"x": 9.0}, "c": {"x": 11.0}}
    assert rank(real, right, "x") == Ranking(2, 1, (), 2)
    wrong = {"a": {"x": 10.0}, "b": {"x": 12.0}, "c": {"x": 11.0}}
    assert rank(real, wrong, "x") == Ranking(1, 1, (("b", "c"),), 2)
    assert rank(real, wrong, "x").told_apart == 2


def test_a_run_without_transfers_has_no_figures_of_them() -> None:
    spread = {"mean": 0.001, "p50": 0.001, "p90": 0.002, "p99": 0.003, "max": 1.0}
    summary = {f"{metric}_s": spread for metric in ("ttft", "tpot", "ttst", "tbt", "e2e")}
    with_none = figures_of(summary | {"transfers": {"remainder_s": None}})
    assert with_none["ttft_p99"] == 3.0
    assert not any(name.startswith("remainder") for name in with_none)
    assert figures_of(summary | {"transfers": {"remainder_s": spread}})["remainder_p90"] == 2.0


def test_missing_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="expected runs of 'run'"):
        collect(tmp_path, tmp_path / "out.csv")
    with pytest.raises(Refusal, match="expected the table"):
        shipped(tmp_path / "none.csv")
