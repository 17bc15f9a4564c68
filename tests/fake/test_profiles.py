"""Model and hardware profiles: what ships, what is refused and in which words, and how many KV blocks there are."""

from importlib import resources
from pathlib import Path

import pytest

from emu.fake.profiles import (
    RESERVE_BYTES_PER_GPU,
    SHIPPED_HARDWARE,
    SHIPPED_MODELS,
    kv_blocks,
    load_hardware,
    load_model,
    shipped_folder,
    shipped_names,
)
from emu.fake.step_profiles import parse_steps
from emu.refusal import Refusal

LLAMA = shipped_folder("models").joinpath("llama2-70b.toml").read_text()
H100_STEPS = shipped_folder("steps").joinpath("llama2-70b.dgx-h100.tp8.toml").read_text()


def test_what_ships() -> None:
    assert SHIPPED_MODELS == ("bloom-176b", "llama2-70b", "llama3-70b", "llama3-8b")
    assert SHIPPED_HARDWARE == ("dgx-a100", "dgx-h100", "dgx-h100-capped", "dgx-h200", "h200-nvlink", "h200-pair")
    assert [load_model(name).name for name in SHIPPED_MODELS] == list(SHIPPED_MODELS)
    assert [load_hardware(name).name for name in SHIPPED_HARDWARE] == list(SHIPPED_HARDWARE)


def test_the_cache_is_what_the_heads_make_of_it() -> None:
    for name in SHIPPED_MODELS:
        model = load_model(name)
        assert model.kv_bytes_per_token == 2 * model.layers * model.kv_heads * model.head_dim * 2
        assert model.heads * model.head_dim == model.hidden
    assert load_model("llama2-70b").kv_bytes_per_token == 327_680


def test_capped_differs_from_h100_in_power_alone() -> None:
    free, capped = load_hardware("dgx-h100"), load_hardware("dgx-h100-capped")
    assert capped.power_w == pytest.approx(0.7 * free.power_w)
    assert (capped.cost_per_hour, capped.memory_bytes, capped.signal_s) == (38.0, free.memory_bytes, free.signal_s)
    assert "derived" in capped.source


def test_every_hardware_profile_says_what_it_assumes() -> None:
    assert all("layer_sync_s: an assumption" in load_hardware(name).source for name in ("dgx-a100", "dgx-h100"))


def test_kv_blocks() -> None:
    llama, h100 = load_model("llama2-70b"), load_hardware("dgx-h100")
    free = h100.memory_bytes * 9 // 10 - llama.weights_bytes - 8 * RESERVE_BYTES_PER_GPU
    assert kv_blocks(llama, h100, 8) == free // (16 * 327_680)
    assert kv_blocks(llama, h100, 8, block_tokens=1) == free // 327_680
    assert 0 < kv_blocks(llama, h100, 2) < kv_blocks(llama, h100, 4)
    assert kv_blocks(llama, h100, 1) < 0
    assert kv_blocks(load_model("bloom-176b"), h100, 4) < 0
    with pytest.raises(ValueError, match="tensor_parallel=9"):
        kv_blocks(llama, h100, 9)


def test_the_reserve_lies_where_the_table_brackets_it() -> None:
    """On two H100, 32 sequences of 640 tokens ran as one batch and 64 did not."""
    tokens = 16 * kv_blocks(load_model("llama2-70b"), load_hardware("dgx-h100"), 2)
    assert 32 * 640 <= tokens < 64 * 640


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(LLAMA.replace('name = "llama2-70b"', 'name = "mine"'))
    assert load_model("mine.toml", tmp_path).name == "mine"
    assert load_model(str(tmp_path / "mine.toml")).layers == 80


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(
        Refusal, match=r"llama2-70: unknown profile \(did you mean llama2-70b\?\); expected one of bloom"
    ):
        load_model("llama2-70")
    with pytest.raises(Refusal, match=r"tpu: unknown profile; expected one of dgx-a100, dgx-h100, dgx-h100-capped, "):
        load_hardware("tpu")
    with pytest.raises(Refusal, match=r"nowhere\.toml: expected a readable profile \(No such file"):
        load_hardware("nowhere.toml")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("layers = 80", "layer = 80", r"layer: unknown key \(did you mean layers\?\)"),
        ("layers = 80", "", "layers: this key is missing"),
        ("layers = 80", "layers = 80.0", "layers: expected a whole number, not 80.0"),
        ("layers = 80", "layers = true", "layers: expected a whole number, not True"),
        ("layers = 80", "layers = 0", "layers: expected a number above zero, not 0"),
        ('name = "llama2-70b"', 'name = ""', "name: expected some text"),
        ('name = "llama2-70b"', "name = 7", "name: expected text, not 7"),
        ("layers = 80", "layers = ", "expected a TOML file"),
    ],
)
def test_bad_files_are_refused_by_key(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert old in LLAMA
    (tmp_path / "bad.toml").write_text(LLAMA.replace(old, new))
    with pytest.raises(Refusal, match=line) as caught:
        load_model("bad.toml", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", ["nan", "inf", "-1.0", '"8 ms"'])
def test_bad_quantities_are_refused(tmp_path: Path, number: str) -> None:
    text = shipped_folder("hardware").joinpath("dgx-h100.toml").read_text()
    (tmp_path / "bad.toml").write_text(text.replace("signal_s = 0.005", f"signal_s = {number}"))
    with pytest.raises(Refusal, match="signal_s: expected a number"):
        load_hardware("bad.toml", tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("[prefill]", "[prefills]", "prefill: this table is missing"),
        ("    128,\n", "    300,\n", "prefill.single: expected knots in increasing order"),
        ("54051428308", "64051428308", "prefill.single: expected times that never fall"),
        ("    32,\n", "", "decode: expected two knots or more, with one time each"),
        ("identified = false", "identified = 0", "identified: expected true or false"),
        ("    263016,\n", "    9999999,\n", "decode.context_ps_per_token: expected times that never fall"),
        ("context_low_ps = [\n    48691,", "context_low_ps = [\n    300000,", "expected bounds about each"),
        ("    48691,\n", "    -1,\n", r"context_low_ps\[0\]: expected a number above zero"),
        ("tensor_parallel = 8", "tensor_parallel = [8]", "tensor_parallel: expected a whole number"),
    ],
)
def test_bad_step_files_are_refused(old: str, new: str, line: str) -> None:
    assert old in H100_STEPS
    with pytest.raises(Refusal, match=line):
        parse_steps(H100_STEPS.replace(old, new, 1).encode(), "steps.toml")


def test_every_step_file_carries_its_evidence() -> None:
    for name in shipped_names("steps"):
        profile = parse_steps(shipped_folder("steps").joinpath(f"{name}.toml").read_bytes(), name)
        assert f"{profile.model}.{profile.hardware}.tp{profile.tensor_parallel}" == name
        assert "not_identified" in profile.evidence
        if "PREDICTED" not in profile.source:
            decode = profile.evidence["decode_batches" if profile.splitwise_sim else "decode"]
            assert decode["interpolated_mape_pct"] < 4
            assert {"prefill_single", "prefill_even", "scatter"} <= set(profile.evidence)
        assert profile.source
        assert profile.decode.source


def test_profiles_are_packaged_data() -> None:
    assert resources.files("emu").joinpath("profiles", "models", "llama2-70b.toml").is_file()
