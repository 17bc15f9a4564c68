"""Measuring steps, on a CPU and tiny shapes: the decoder computes what it should, and the table has every cell."""

import csv
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from emu.calibrate.architecture import load_architecture, parse_architecture, shipped_architectures
from emu.cli import status_of
from emu.fake.profiles import load_model
from emu.refusal import Refusal

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")

TINY = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 64,
}
SHAPE = parse_architecture(json.dumps(TINY).encode(), "tiny", "tiny.json")


def test_the_shipped_shapes_are_those_of_the_shipped_models() -> None:
    for name in shipped_architectures():
        shape, model = load_architecture(name), load_model(name)
        assert (shape.layers, shape.hidden, shape.heads, shape.kv_heads, shape.head_dim) == (
            model.layers,
            model.hidden,
            model.heads,
            model.kv_heads,
            model.head_dim,
        )
        assert shape.kv_bytes_per_token == model.kv_bytes_per_token
        assert 2 * shape.parameters == pytest.approx(model.weights_bytes, rel=0.03)


def test_shards_hold_the_whole_between_them() -> None:
    shape = load_architecture("llama2-70b")
    shard = shape.shard(8)
    assert (shard.heads, shard.kv_heads, shard.intermediate, shard.hidden) == (8, 1, 3584, 8192)
    assert shard.kv_bytes_per_token * 8 == shape.kv_bytes_per_token
    with pytest.raises(Refusal, match=r"divisor of the model's 8 \(num_key_value_heads\), got 16"):
        shape.shard(16)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"{", "expected a JSON file"),
        (b"[]", "expected a JSON object"),
        (json.dumps({**TINY, "hidden_size": "wide"}).encode(), "hidden_size: expected a whole number above zero"),
        (json.dumps({**TINY, "vocab_size": None}).encode(), "vocab_size: expected a whole number above zero, got noth"),
        (json.dumps({**TINY, "num_key_value_heads": 3}).encode(), "num_key_value_heads: expected a divisor of 8"),
    ],
)
def test_a_bad_configuration_is_one_line(text: bytes, line: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse_architecture(text, "bad", "bad.json")
    assert line in str(refused.value)


def test_without_pytorch_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("emu.calibrate.measure")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    out = tmp_path / "t.csv"
    assert status_of(["calibrate", "measure", "--model", "llama3-8b", "--hardware", "h", "-o", str(out)]) == 2
    assert "expected PyTorch: pip install 'emu[torch]'" in capsys.readouterr().err
    assert not out.exists()


def _decoder() -> Any:
    import torch

    from emu.calibrate.measure.decoder import Decoder

    torch.manual_seed(1)
    return Decoder(SHAPE, "cpu", 256, compiled=False, spread=0.3)  # so that attention weighs in


@needs_torch
def test_a_decode_after_a_prefill_says_what_the_longer_prefill_says() -> None:
    import torch

    from emu.calibrate.measure.work import Work

    decoder = _decoder()
    whole = decoder.prepare(Work(prompts=2, prompt_tokens=9))
    expected = decoder.step(whole)
    ids = whole.ids.view(2, 9)
    start = attrs.evolve(decoder.prepare(Work(prompts=2, prompt_tokens=8)), ids=ids[:, :8].reshape(-1))
    decoder.step(start)
    kept = [prompts.clone() for prompts, _ in start.caches]
    last = attrs.evolve(decoder.prepare(Work(sequences=2, context=8)), ids=ids[:, 8])
    for cached, (_, sequences) in zip(kept, last.caches, strict=True):
        sequences[:, :, :8] = cached
    assert torch.equal(decoder.step(last), expected)
    for _, sequences in last.caches:
        sequences[:, :, :8] = 0
    assert not torch.equal(decoder.step(last), expected)


@needs_torch
def test_a_mixed_step_is_its_two_parts() -> None:
    import torch

    from emu.calibrate.measure.work import Work

    decoder = _decoder()
    mixed = decoder.prepare(Work(prompts=1, prompt_tokens=5, sequences=3, context=6))
    caches = [sequences.clone() for _, sequences in mixed.caches]
    both = decoder.step(mixed)
    prompt = attrs.evolve(decoder.prepare(Work(prompts=1, prompt_tokens=5)), ids=mixed.ids[:5])
    decodes = attrs.evolve(decoder.prepare(Work(sequences=3, context=6)), ids=mixed.ids[5:])
    first = decoder.step(prompt)
    for cached, (_, sequences) in zip(caches, decodes.caches, strict=True):
        sequences.copy_(cached)
    assert torch.equal(torch.cat([first, decoder.step(decodes)]), both)


@needs_torch
def test_the_table_has_every_cell_of_the_grid_that_fits(tmp_path: Path) -> None:
    config, out = tmp_path / "tiny.json", tmp_path / "t.csv"
    config.write_text(json.dumps(TINY))
    words = f"calibrate measure --model {config} --hardware here --device cpu --tensor-parallel 2 --eager -o {out}"
    grid = "--prompts 1,2 --prompt-tokens 4,8 --batches 1,2 --contexts 4,60 --cache-tokens 100 --most-prompt-tokens 8"
    mixed = "--mixed-prompts 4 --mixed-batches 2 --mixed-contexts 4 --repeats 2 --runs 1 --seconds 0"
    assert status_of(f"{words} {grid} {mixed}".split()) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    cells = [(row["phase"], int(row["batch"]), int(row["context"])) for row in rows]
    decodes = [("decode", 1, 4), ("decode", 1, 60), ("decode", 2, 4)]  # two of 60 do not fit
    assert cells == [("prefill", 1, 4), ("prefill", 1, 8), ("prefill", 2, 4), *decodes, ("mixed", 2, 4)] * 2
    assert all(float(row["ms"]) > 0 and row["excludes"] == "all-reduce" for row in rows)
    assert {(row["model"], row["hardware"], row["tensor_parallel"]) for row in rows} == {("tiny", "here", "2")}


@needs_torch
def test_copies_are_the_cache() -> None:
    from emu.calibrate.measure.copies import CopyPlan, measure_copies

    plan = CopyPlan(model=SHAPE, device="cpu", other="cpu", prompt_tokens=(4, 8), runs=1, compiled=False)
    rows = measure_copies(plan, print)
    assert [row.cache_bytes for row in rows] == [4 * SHAPE.kv_bytes_per_token, 8 * SHAPE.kv_bytes_per_token]
    with pytest.raises(Refusal, match="expected a device of this machine"):
        measure_copies(attrs.evolve(plan, device="cuda:99"), print)
