"""Plan files: what is refused, in one line that names the key, and what bounds come to."""

from pathlib import Path
from typing import Any

import pytest
from made_up import plan_document, plan_with

from emu.plan.load import load_plan, plan_of
from emu.refusal import Refusal


def refusal(**changes: Any) -> str:
    with pytest.raises(Refusal) as refused:
        plan_of(plan_document(**changes), Path("plan.toml"))
    said = str(refused.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"designs": ["hhh"]}, "designs[0]: expected a known design (the nearest is hh), got hhh"),
        ({"designs": []}, "designs: expected a list of designs"),
        ({"designs": ["hh", "HH"]}, "designs[1]: expected each design once"),
        ({"designs": [{"name": "x", "machines": [{"pool": "decode", "hardware": "dgx-h100"}]}]}, "can prefill"),
        ({"designs": [{"name": "x", "machines": [{"pool": "mixed", "hardware": "dgx-x9"}]}]}, "dgx-x9"),
        (
            {"designs": [{"name": "x", "machines": [{"pool": "mxed", "hardware": "dgx-h100"}]}]},
            "designs[0].machines[0].pool",
        ),
        ({"constraint": {}}, "constraint: expected at least one of"),
        ({"constraint": {"watts": 5}}, "constraint.watts: expected a known key"),
        ({"constraint": {"power_w": -1}}, "constraint.power_w: expected a positive number"),
        ({"constraint": {"power_w": "like 40 dgx-h100"}}, "a number or 'as 40 dgx-h100'"),
        ({"constraint": {"power_w": "as 40 dgx-x9"}}, "dgx-x9"),
        ({"constraint": {"machines": 1}}, "constraint: expected room for one machine a group of HH"),
        ({"objective": "speed"}, "objective"),
        ({"objective": "cost"}, "workload.rate_rps: expected the requests a second"),
        ({"workload": {"synthetic": "azure-conv", "rate_rps": 5.0}}, "workload.rate_rps: expected nothing"),
        ({"workload": {"synthetic": "azure-conv", "duration_s": 5.0}}, "workload.duration_s: expected nothing"),
        ({"workload": {"synthetic": "azure-cnv"}}, "workload.synthetic"),
        ({"workload": {"trace": "nowhere.csv"}}, "nowhere.csv"),
        ({"model": "bloom-560m"}, "bloom-560m"),
        ({"scenario": {"machines": []}}, "scenario.machines: expected nothing"),
        ({"scenario": {"router": {"polcy": "jsq"}}}, "router.policy"),
        ({"search": {"short_s": 30.0, "long_s": 20.0}}, "search.short_s: expected at most search.long_s"),
        ({"search": {"seeds": 0}}, "search.seeds"),
        ({"search": {"sedes": 1}}, "search.sedes"),
        ({"slo": {"ttft_p98_s": 1.0}}, "slo.ttft_p9"),
        ({"figures": {"dgx-h100": {"watts": 1.0}}}, "figures"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_a_bad_plan_is_refused_by_its_key(changes: dict[str, Any], said: str) -> None:
    assert said in refusal(**changes)


def test_bounds_are_numbers_or_as_so_many_machines() -> None:
    figures = {"dgx-h100": {"power_w": 44.0}, "dgx-a100": {"power_w": 24.8}}
    plan = plan_with(constraint={"power_w": "As 40 DGX-H100", "space": 90, "machines": 80}, figures=figures)
    assert plan.bounds.power_w == 40 * 44.0
    assert plan.bounds.machines == 80
    assert plan.bounds.cost_per_hour is None
    assert plan.hardware["dgx-h100"].power_w == 44.0


def test_a_file_that_is_no_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="plan"):
        load_plan(tmp_path / "nowhere.toml")
    (tmp_path / "bad.toml").write_text("name = \n")
    with pytest.raises(Refusal, match=r"bad.toml:1"):
        load_plan(tmp_path / "bad.toml")
