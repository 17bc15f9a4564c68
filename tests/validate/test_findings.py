"""What docs/validation.md concludes, on runs small enough for a test; where one falls, its words must change."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emu.validate.corrections import CORRECTIONS, Correction
from emu.validate.lab import Lab, Measured, merged


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def cluster(model: str, decode: str = "dgx-h100", **tables: Any) -> dict[str, Any]:
    """3 + 2 machines under the load, a machine, of the paper's 25 + 15 at some 70 a second."""
    return {
        "name": "small",
        "model": model,
        "machines": [
            {"pool": "prefill", "hardware": "dgx-h100", "count": 3},
            {"pool": "decode", "hardware": decode, "count": 2},
        ],
        "workload": {"synthetic": "azure-conv", "rate_rps": 9.0, "duration_s": 20.0},
        **tables,
    }


def tpot_s(run: Measured) -> float:
    return float(np.nanmean(run.each(lambda served: served.tpot_s)))


def second_gap_s(run: Measured) -> float:
    return float(np.nanmean(run.each(lambda served: served.ttst_s - served.ttft_s)))


def titled(words: str) -> Correction:
    return next(correction for correction in CORRECTIONS if words in correction.title)


def test_the_decode_step_is_worth_more_than_every_other_error(lab: Lab) -> None:
    rules = cluster("llama2-70b", parity="splitwise-sim")
    before_s = tpot_s(lab.run(rules))
    changes = {
        correction.title: tpot_s(lab.run(merged(rules, correction.keys), correction.swap("llama2-70b"))) / before_s - 1
        for correction in CORRECTIONS
    }
    batch, context = (changes.pop(titled(words).title) for words in ("by its batch", "its batch and its context"))
    assert context > batch > 0.1
    assert all(abs(change) < batch / 4 for change in changes.values())


def test_kv_bytes_and_overlap_decide_the_second_token(lab: Lab) -> None:
    rules = cluster("llama2-70b", parity="splitwise-sim")
    before = lab.run(rules)
    for words in ("8 heads", "layer by layer under prefill"):
        after = lab.run(merged(rules, titled(words).keys))
        assert second_gap_s(after) < 0.9 * second_gap_s(before)
        assert tpot_s(after) == pytest.approx(tpot_s(before), rel=0.02)


def test_a_tenth_of_the_network_is_felt_by_the_second_token(lab: Lab) -> None:
    own, tenth = (lab.run(cluster("bloom-176b", network={"bandwidth_factor": factor})) for factor in (1.0, 0.1))
    assert second_gap_s(tenth) > 1.3 * second_gap_s(own)
    assert tenth.summary["e2e_s"]["p50"] < 1.15 * own.summary["e2e_s"]["p50"]


def test_a_cap_saves_what_must_be_built(lab: Lab) -> None:
    free, capped = (lab.run(cluster("bloom-176b", hardware)) for hardware in ("dgx-h100", "dgx-h100-capped"))
    assert capped.summary["power_w"] == pytest.approx(free.summary["power_w"] - 2 * 0.3 * 10_200)
    assert tpot_s(capped) == pytest.approx(tpot_s(free), rel=0.02)
    drawn, drawn_capped = (run.summary["energy"]["drawn_wh"] for run in (free, capped))
    assert 0.9 * drawn < drawn_capped < drawn
    assert capped.summary["power"]["peak_w"] < capped.summary["power_w"]


def test_idle_machines_are_what_a_light_load_pays_for(lab: Lab) -> None:
    light, full = (
        lab.run(merged(cluster("bloom-176b"), {"workload": {"rate_rps": rate_rps}})).summary for rate_rps in (2.0, 9.0)
    )
    assert light["energy"]["per_output_token_j"] > 2 * full["energy"]["per_output_token_j"]
    assert (
        light["energy"]["idle_wh"] / light["energy"]["drawn_wh"]
        > full["energy"]["idle_wh"] / full["energy"]["drawn_wh"]
    )
    for summary in (light, full):
        energy, pools = summary["energy"], summary["pools"].values()
        parts = sum(energy[f"{phase}_wh"] for phase in ("idle", "prefill", "decode", "mixed"))
        assert parts == pytest.approx(energy["drawn_wh"])
        assert sum(pool["energy"]["drawn_wh"] for pool in pools) == pytest.approx(energy["drawn_wh"])
        assert energy["per_request_wh"] * summary["requests"]["completed"] == pytest.approx(energy["drawn_wh"])
