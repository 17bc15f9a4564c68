"""Profiles that nobody measured: what they rest on, how far off such profiles are, and what is refused."""

import json
from pathlib import Path

import pytest

from emu.calibrate.architecture import load_architecture, model_profile
from emu.calibrate.making import as_toml, file_name
from emu.calibrate.predict import measured_references, predict
from emu.calibrate.report import shipped_profiles
from emu.calibrate.roofline import roofline
from emu.cli import status_of
from emu.fake.costs import CalibratedCosts
from emu.fake.profiles import load_model, shipped_folder
from emu.fake.step_profiles import parse_steps

REFERENCES = measured_references(shipped_profiles())


def test_the_shipped_predictions_are_what_the_measured_profiles_give() -> None:
    predicted = [profile for profile in shipped_profiles() if "PREDICTED" in profile.source]
    assert predicted
    for profile in predicted:
        model = model_profile(load_architecture(profile.model))
        again = predict(roofline(model, profile.hardware, profile.tensor_parallel), REFERENCES)
        shipped = shipped_folder("steps").joinpath(file_name(profile)).read_text(encoding="utf-8")
        assert as_toml(again) == shipped, file_name(profile)


def test_only_what_was_measured_is_a_reference() -> None:
    assert len(REFERENCES) == 12
    for each in REFERENCES:
        assert each.profile.hardware in ("dgx-a100", "dgx-h100", "dgx-h200")
        assert not each.profile.source.startswith(("PREDICTED", "DERIVED"))


@pytest.mark.parametrize(
    ("hardware", "prefill_pct", "decode_pct"), [("dgx-a100", 21, 9), ("dgx-h100", 25, 12), ("dgx-h200", 8, 3)]
)
def test_how_far_off_a_profile_is_that_was_left_out(hardware: str, prefill_pct: float, decode_pct: float) -> None:
    evidence = predict(roofline("llama3-8b", hardware, 8), REFERENCES).evidence
    assert 1 < evidence["left_out_prefill"]["interpolated_mape_pct"] < prefill_pct
    assert 1 < evidence["left_out_decode"]["interpolated_mape_pct"] < decode_pct


def test_a_twin_of_a_measured_model_is_predicted_near_it() -> None:
    """Without its own profile: llama3-70b differs from llama2-70b in the vocabulary."""
    others = [each for each in REFERENCES if each.profile.model != "llama3-70b"]
    guessed = CalibratedCosts(predict(roofline("llama3-70b", "dgx-h200", 8), others))
    (measured,) = (each.costs for each in REFERENCES if each.profile.model == "llama3-70b")
    for tokens in (512, 2048, 8192):
        assert guessed.prefill_ps(tokens, 1) == pytest.approx(measured.prefill_ps(tokens, 1), rel=0.1)
    for batch in (1, 16, 128):
        assert guessed.decode_ps(batch, batch * 1000) == pytest.approx(measured.decode_ps(batch, batch * 1000), rel=0.1)


def test_no_step_is_quicker_than_the_roofline() -> None:
    for profile in shipped_profiles():
        if "PREDICTED" in profile.source:
            line = roofline(profile.model, profile.hardware, profile.tensor_parallel)
            costs = CalibratedCosts(profile)
            for tokens in (128, 1024, 8192):
                assert costs.prefill_ps(tokens, 1) > line.prefill_ps(tokens, 1)
            for batch in (1, 8, 64):
                assert costs.decode_coefficients(batch)[0] > line.decode_ps(batch)
                assert costs.decode_coefficients(batch)[1] > line.context_ps


def test_a_model_from_its_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, steps, model = tmp_path / "mine.json", tmp_path / "steps.toml", tmp_path / "model.toml"
    shape = {"num_hidden_layers": 48, "hidden_size": 5120, "num_attention_heads": 40, "num_key_value_heads": 8}
    config.write_text(json.dumps({**shape, "intermediate_size": 13_824, "vocab_size": 152_064, "model_type": "q"}))
    words = f"calibrate predict --model-config {config} --hardware dgx-h200 --tensor-parallel 2 -o {steps}"
    assert status_of([*words.split(), "--model-profile", str(model)]) == 0
    assert "not identified: every step: nobody measured this pair" in capsys.readouterr().out
    assert parse_steps(steps.read_bytes(), "steps.toml").model == load_model(str(model)).name == "mine"
    assert load_model(str(model)).weights_bytes == 2 * load_architecture(str(config)).parameters


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--model-config nothing --hardware dgx-h200", "nothing: unknown model; expected one of"),
        ("--model-config llama3-8b --hardware tpu", "tpu: unknown profile"),
        ("--model-config llama3-8b --hardware dgx-h100-capped", "roofline: expected a table [roofline]"),
        ("--model-config llama3-8b --hardware dgx-h200 --tensor-parallel 3", "expected a divisor of the model's"),
        ("--model-config llama3-8b --hardware h200-nvlink --tensor-parallel 2", "expected at most the 1 GPUs of h200"),
    ],
)
def test_what_cannot_be_predicted_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, line: str
) -> None:
    out = tmp_path / "p.toml"
    assert status_of(["calibrate", "predict", *words.split(), "-o", str(out)]) == 2
    assert line in capsys.readouterr().err
    assert not out.exists()
