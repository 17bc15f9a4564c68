"""The [power] table of a hardware profile: what ships, what a machine draws by it, and what is refused."""

import copy
import csv
import tomllib
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from emu.fake.power import load_power, parse_power
from emu.fake.profiles import SHIPPED_HARDWARE, load_hardware, shipped_folder
from emu.fake.step_profiles import load_steps
from emu.refusal import Refusal

MEASUREMENTS = Path(__file__).parents[2] / "measurements" / "h200"
H100 = tomllib.loads(shipped_folder("hardware").joinpath("dgx-h100.toml").read_text())


@pytest.mark.parametrize("name", [name for name in SHIPPED_HARDWARE if load_power(name) is not None])
def test_every_draw_lies_between_idle_and_provisioned(name: str) -> None:
    power, hardware = load_power(name), load_hardware(name)
    assert power is not None
    pairs = {(row.model, row.tensor_parallel) for row in power.draws} | {("a model of one's own", hardware.gpus)}
    for model, tensor_parallel in pairs:
        draw = power.machine(model, tensor_parallel)
        assert power.figures.idle_w == draw.idle_w < min(draw.decode_w) <= max(draw.prefill_w) <= hardware.power_w
        assert list(draw.prefill_w) == sorted(draw.prefill_w)


def test_the_figures_that_the_paper_charges() -> None:
    """Table IV's energy over its E2E is 5.75 kW for a DGX-A100 and 10 kW for a DGX-H100."""
    for name, full_w in (("dgx-a100", 5750), ("dgx-h100", 10_000)):
        power = load_power(name)
        assert power is not None
        assert max(power.machine("bloom-176b", 8).prefill_w) == pytest.approx(full_w, rel=0.002)


def test_a_cap_cuts_every_draw_at_the_limit() -> None:
    free, capped = load_power("dgx-h100"), load_power("dgx-h100-capped")
    assert free is not None
    assert capped is not None
    assert free.draws == capped.draws
    assert capped.figures.gpu_limit_w == free.figures.gpu_limit_w / 2
    most_w = max(capped.machine("bloom-176b", 8).prefill_w)
    assert most_w == max(capped.machine("bloom-176b", 8).decode_w) < load_hardware("dgx-h100-capped").power_w
    assert capped.machine("llama2-70b", 8).decode_w == free.machine("llama2-70b", 8).decode_w


def test_fewer_gpus_draw_less() -> None:
    power = load_power("dgx-h100")
    assert power is not None
    whole, half = power.machine("another", 8), power.machine("another", 4)
    assert whole.decode_w[0] - whole.idle_w == pytest.approx(2 * (half.decode_w[0] - half.idle_w))


def test_rows_are_for_pairs_that_have_step_times() -> None:
    for name in SHIPPED_HARDWARE:
        power = load_power(name)
        for row in power.draws if power is not None else ():
            assert load_steps(row.model, name, row.tensor_parallel).hardware == name


def test_a_profile_without_power_is_one_whose_draw_is_not_known(tmp_path: Path) -> None:
    text = shipped_folder("hardware").joinpath("dgx-h100.toml").read_text()
    (tmp_path / "mine.toml").write_text(text[: text.index("[power]")])
    assert load_power("mine.toml", tmp_path) is None
    assert load_hardware("mine.toml", tmp_path) == load_hardware("dgx-h100")


def broken(**changes: Any) -> dict[str, Any]:
    table = copy.deepcopy(H100["power"])
    return {key: value for key, value in (table | changes).items() if value is not None}


ROW = {"model": "m", "tensor_parallel": 8, "prefill_tokens": [1, 2], "prefill_gpu_w": [1.0, 2.0], "decode_gpu_w": 1.0}


@pytest.mark.parametrize(("model", "tensor_parallel"), [("llama2-70b", 8), ("llama3-8b", 1)])
def test_h200_decode_draws_are_the_medians_of_what_was_measured(model: str, tensor_parallel: int) -> None:
    """Of each batch, over contexts up to 4,096 tokens, and no more than the limit."""
    cells: dict[int, list[float]] = {}
    with open(MEASUREMENTS / f"{model}.tp{tensor_parallel}.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["phase"] == "decode" and row["power_w"] and int(row["context"]) <= 4096:
                cells.setdefault(int(row["batch"]), []).append(float(row["power_w"]))
    power = load_power("dgx-h200")
    assert power is not None
    found = next(row for row in power.draws if (row.model, row.tensor_parallel) == (model, tensor_parallel))
    medians = {batch: min(median(cells[batch]), power.figures.gpu_limit_w) for batch in sorted(cells)}
    assert dict(zip(found.decode_sequences, found.decode_gpu_w, strict=True)) == pytest.approx(medians, abs=0.51)


BY_BATCH = {"decode_sequences": [1, 65], "decode_gpu_w": [400.0, 464.0]}


def test_decode_draws_by_its_batch_or_by_one_number() -> None:
    table = broken(draws=[ROW | BY_BATCH, ROW | {"model": "flat", "decode_gpu_w": 380}], gpu_idle_w=75.0)
    power = parse_power(table, "mine.toml: power")
    by_batch, flat = power.machine("m", 8), power.machine("flat", 8)
    assert by_batch.decode_sequences == (1, 65)
    assert by_batch.decode_w[1] - by_batch.decode_w[0] == pytest.approx(64 * 8 * power.figures.machine_w_per_gpu_w)
    assert (flat.decode_sequences, len(flat.decode_w)) == ((1,), 1)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (7, "power: expected a table"),
        (broken(idle_w=None), "power: idle_w: this key is missing"),
        (broken(idle_w=-1), "power: idle_w: expected a number above zero, not -1"),
        (broken(colour="red"), "power: colour: unknown key"),
        (broken(gpu_idle_w=900.0), "power: gpu_idle_w: expected at most gpu_limit_w, 700"),
        (broken(draws=3), "power: draws: expected an array of tables"),
        (broken(draws=[ROW | {"prefill_tokens": [2, 1]}]), r"draws\[0\]: expected counts of tokens or sequences in"),
        (broken(draws=[ROW | {"prefill_gpu_w": [1.0]}]), r"draws\[0\]: expected counts of tokens or sequences in"),
        (broken(draws=[ROW | {"decode_sequences": [1, 8]}]), r"draws\[0\]: decode_gpu_w: expected an array"),
        (broken(draws=[ROW | BY_BATCH | {"decode_sequences": [1]}]), r"draws\[0\]: expected counts of tokens or"),
        (broken(draws=[ROW | {"decode_gpu_w": "lots"}]), r"draws\[0\]: decode_sequences: this key is missing"),
    ],
)
def test_refusals(table: Any, says: str) -> None:
    with pytest.raises(Refusal, match=says):
        parse_power(table, "mine.toml: power")
