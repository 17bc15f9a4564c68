"""The shipped step profiles are what the table gives, and the fit does what it says on a table made up for it."""

import csv
import json
import statistics
from pathlib import Path

import attrs
import pytest

from emu.calibrate import fit
from emu.calibrate.errors import evidence
from emu.calibrate.isotonic import Point, isotonic
from emu.calibrate.making import as_toml, file_name, profiles_of
from emu.calibrate.table import Cell, read_cells
from emu.cli import status_of
from emu.fake.costs import CalibratedCosts
from emu.fake.profiles import load_hardware, load_model, shipped_folder, shipped_names
from emu.fake.step_profiles import load_steps, parse_steps
from emu.refusal import Refusal

TABLE = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "splitwise_perf_model.csv"
COLUMNS = [
    "model",
    "hardware",
    "prompt_size",
    "batch_size",
    "token_size",
    "prompt_time",
    "token_time",
    "e2e_time",
    "tensor_parallel",
]

BASE_MS, CONTEXT_MS = 30.0, 0.0003  # a(B) = 30 + B / 4, and what a token of context adds
PREFILL_MS = 0.1  # a token

Row = tuple[str, str, int, int, int, float, float, float, int]


def row(prompt: int, batch: int, output: int = 128, *, slower_ms: float = 0.0, in_pieces: bool = False) -> Row:
    prefill_ms = 20 + PREFILL_MS * prompt * batch + slower_ms
    context = batch * (prompt + output / 2)
    token_ms = BASE_MS + batch / 4 + CONTEXT_MS * context
    e2e_ms = (prefill_ms + token_ms * (output - 1)) * (3 if in_pieces else 1)
    return "bloom-176b", "h100-80gb", prompt, batch, output, prefill_ms, token_ms, e2e_ms, 8


def made_up() -> list[Row]:
    prompts = [row(prompt, 1) for prompt in (128, 256, 512, 1024, 2048, 4096, 8192)]
    return prompts + [row(512, batch) for batch in (2, 4, 8, 16, 32, 64)] + [row(512, 1, 256)]


def written(path: Path, rows: list[Row], columns: list[str] = COLUMNS) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def cells_of(path: Path) -> tuple[Cell, ...]:
    return read_cells(path)["bloom-176b", "dgx-h100", 8]


def test_the_shipped_profiles_are_what_the_table_gives() -> None:
    if not TABLE.is_file():
        pytest.skip("the table of measurements, ../shared/data/splitwise_perf_model.csv, is not here")
    made = {file_name(profile): as_toml(profile) for profile in profiles_of(TABLE)}
    fitted = [name for name in shipped_names("steps") if "[splitwise_sim]" in shipped_text(name)]
    assert sorted(made) == sorted(f"{name}.toml" for name in fitted)
    for name, text in made.items():
        assert text == shipped_folder("steps").joinpath(name).read_text(encoding="utf-8"), name


def shipped_text(name: str) -> str:
    return shipped_folder("steps").joinpath(f"{name}.toml").read_text(encoding="utf-8")


def test_a_known_truth_comes_back(tmp_path: Path) -> None:
    model, hardware = load_model("bloom-176b"), load_hardware("dgx-h100")
    cells = cells_of(written(tmp_path / "t.csv", made_up()))
    costs = CalibratedCosts(fit.fit(cells, model, hardware, 8))
    decode = costs.profile.decode
    assert decode.context_ps_per_token[0] == pytest.approx(CONTEXT_MS * 1e9, rel=1e-4)
    for batch in (1, 2, 4, 64):
        truth_ms = BASE_MS + batch / 4 + CONTEXT_MS * batch * 576
        assert costs.decode_ps(batch, batch * 576) == pytest.approx(truth_ms * 1e9, rel=1e-6)
    assert not decode.identified
    for low, used, high in zip(decode.context_low_ps, decode.context_ps_per_token, decode.context_high_ps, strict=True):
        assert low <= used <= high
        assert high >= CONTEXT_MS * 1e9 > low
    for tokens, prompts in ((128, 1), (3000, 1), (8192, 1), (8192, 16), (32_768, 64), (3000, 4)):
        assert costs.prefill_ps(tokens, prompts) == pytest.approx((20 + PREFILL_MS * tokens) * 1e9, rel=1e-6)


def test_errors_of_cells_left_out_are_none_where_the_model_is_the_truth(tmp_path: Path) -> None:
    model, hardware = load_model("bloom-176b"), load_hardware("dgx-h100")
    cells = cells_of(written(tmp_path / "t.csv", made_up()))
    found = evidence(cells, model, hardware, fit.fit(cells, model, hardware, 8))
    for part in ("decode_batches", "decode_contexts", "decode_outputs"):
        assert found[part]["interpolated_worst_pct"] == 0
    assert found["decode_batches"]["extrapolated_cells"] == 1
    assert found["decode_contexts"]["extrapolated_cells"] == 2
    assert found["prefill_single"]["interpolated_worst_pct"] == 0
    assert found["excluded"]["cells"] == []


def test_a_cell_left_out_is_not_seen(tmp_path: Path) -> None:
    """Whatever the outlier says, its own prediction stays: the error is all of it."""
    model, hardware = load_model("bloom-176b"), load_hardware("dgx-h100")
    rows = [row(512, 64, slower_ms=1000) if each[3] == 64 else each for each in made_up()]
    cells = cells_of(written(tmp_path / "t.csv", rows))
    found = evidence(cells, model, hardware, fit.fit(cells, model, hardware, 8))
    truth_ms = 20 + PREFILL_MS * 32_768
    # proportional extrapolation from 16,384 tokens also doubles the 20 ms
    assert found["prefill_even"]["extrapolated_worst_pct"] == pytest.approx(
        100 * ((truth_ms + 20) / (truth_ms + 1000) - 1), abs=0.3
    )


def test_a_cell_is_the_median_of_all_its_repeats(tmp_path: Path) -> None:
    rows = [*made_up(), row(512, 1, slower_ms=50), row(512, 1, slower_ms=1)]
    cell = next(each for each in cells_of(written(tmp_path / "t.csv", rows)) if len(each.prompt_ms) > 1)
    assert (cell.prompt_tokens, cell.batch, cell.output_tokens) == (512, 1, 128)
    assert len(cell.prompt_ms) == 3
    # four repeats: 512-token prompts with longer outputs are the same prefill
    point = next(each for each in fit.single_points(cells_of(tmp_path / "t.csv")) if each.x == 512)
    assert point.weight == 4
    assert point.ps == pytest.approx((71.2 + 0.5) * 1e9)


def test_context_counts_only_the_tokens_that_were_decoded() -> None:
    ended_early = Cell(512, 1, 8192, (50.0,), (30.0,), (50.0 + 30.0 * 399,))
    assert ended_early.mean_context_tokens == 512 + 400 / 2
    assert Cell(512, 4, 128, (50.0,), (30.0,), (50.0 + 30.0 * 127,)).mean_context_tokens == 4 * 576


def test_a_batch_that_ran_in_pieces_is_excluded_and_named(tmp_path: Path) -> None:
    model, hardware = load_model("bloom-176b"), load_hardware("dgx-h100")
    rows = [row(512, 64, in_pieces=True) if each[3] == 64 else each for each in made_up()]
    cells = cells_of(written(tmp_path / "t.csv", rows))
    profile = fit.fit(cells, model, hardware, 8)
    assert profile.decode.sequences[-1] == 32
    assert profile.prefill.even_tokens[-1] == 16_384
    assert profile.splitwise_sim is not None
    assert profile.splitwise_sim.tokens[-1] == 32_768  # that simulator takes every row
    assert evidence(cells, model, hardware, profile)["excluded"]["cells"] == ["64 prompts of 512"]


@pytest.mark.parametrize("slope_ms", [0.0, -1e-4])
def test_a_slope_that_no_memory_allows_is_raised_and_says_so(tmp_path: Path, slope_ms: float) -> None:
    rows = [
        (*each[:6], token_ms := 30 + slope_ms * (each[2] + 64), each[5] + 127 * token_ms, 8) if each[3] == 1 else each
        for each in made_up()
    ]
    cells = cells_of(written(tmp_path / "t.csv", rows))
    model, hardware = load_model("bloom-176b"), load_hardware("dgx-h100")
    decode = fit.fit(cells, model, hardware, 8).decode
    at_best_ps = model.kv_bytes_per_token * 1e12 / (8 * hardware.hbm_bytes_per_s) / 0.9
    assert decode.context_ps_per_token[0] == pytest.approx(at_best_ps, abs=1)
    assert "was raised to it" in decode.source


def test_isotonic_pools_by_weight() -> None:
    points = [Point(1, 3.0, 1), Point(2, 1.0, 3), Point(3, 2.0, 1), Point(4, 1.9, 1), Point(5, 7.0, 1)]
    assert isotonic(points) == pytest.approx([1.5, 1.5, 1.95, 1.95, 7.0])


def test_splitwise_sim_curves_pool_by_product(tmp_path: Path) -> None:
    curves = fit.sim_curves(cells_of(written(tmp_path / "t.csv", made_up())))
    at = curves.tokens.index(2048)
    both_ms = (BASE_MS + 0.25 + CONTEXT_MS * 2112 + BASE_MS + 1 + CONTEXT_MS * 4 * 576) / 2
    assert curves.token_ps[at] == pytest.approx(both_ms * 1e9)


def test_the_command_writes_files_that_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, out = written(tmp_path / "t.csv", made_up()), tmp_path / "out"
    assert status_of(["calibrate", "fit", str(table), "-o", str(out)]) == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ["bloom-176b.dgx-h100-capped.tp8.toml", "bloom-176b.dgx-h100.tp8.toml"]
    assert "not identified: c(B)" in capsys.readouterr().out
    for profile in profiles_of(table):
        read = parse_steps((out / file_name(profile)).read_bytes(), "out")
        assert attrs.asdict(read) == attrs.asdict(profile)


@pytest.mark.parametrize(
    ("columns", "rows", "line"),
    [
        (COLUMNS[1:], [], "t.csv:1: expected a column model"),
        (COLUMNS[3:], [], "t.csv:1: expected the columns phase,batch,context,ms, or those of"),
        (COLUMNS, [], "expected rows of a100-80gb or h100-80gb"),
        (COLUMNS, [(*row(512, 1)[:5], "soon", 1.0, 1.0, 8)], "t.csv:2: expected numbers"),
        (COLUMNS, [row(512, 1), (*row(512, 1)[:5], float("nan"), 1.0, 1.0, 8)], "t.csv:3: expected sizes and times"),
        (COLUMNS, [(*row(512, 1)[:3], 0, *row(512, 1)[4:])], "t.csv:2: expected sizes and times above zero"),
        (COLUMNS, [row(512, 1)], "t.csv: bloom-176b on dgx-h100 at tensor_parallel 8: expected two single prompts"),
    ],
)
def test_a_bad_table_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], columns: list[str], rows: list[Row], line: str
) -> None:
    table = written(tmp_path / "t.csv", rows, columns)
    assert status_of(["calibrate", "fit", str(table), "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
    with pytest.raises(Refusal):
        profiles_of(table)


def check_json(
    table: Path, capsys: pytest.CaptureFixture[str], model: str, hardware: str
) -> dict[str, dict[str, float]]:
    words = [
        "calibrate",
        "check",
        "--model",
        model,
        "--hardware",
        hardware,
        "--tensor-parallel",
        "8",
        str(table),
        "--json",
    ]
    assert status_of(words) == 0
    found: dict[str, dict[str, float]] = json.loads(capsys.readouterr().out)
    assert list(found) == ["prefill", "decode"]
    assert all(list(errors) == ["mape", "p95", "worst"] for errors in found.values())
    return found


def test_the_error_of_a_shipped_profile_on_a_table_of_this_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = written(tmp_path / "t.csv", made_up())
    costs = CalibratedCosts(load_steps("bloom-176b", "dgx-h100", 8))
    cells = [cell for cell in cells_of(table) if cell.ran_as_one_batch]
    errors = {
        "prefill": [
            costs.prefill_ps(cell.batch * cell.prompt_tokens, cell.batch) / 1e9 / statistics.median(cell.prompt_ms) - 1
            for cell in cells
        ],
        "decode": [
            costs.decode_ps(cell.batch, round(cell.mean_context_tokens)) / 1e9 / statistics.median(cell.token_ms) - 1
            for cell in cells
        ],
    }
    for phase, found in check_json(table, capsys, "bloom-176b", "dgx-h100").items():
        sizes = sorted(map(abs, errors[phase]))
        assert found["mape"] == pytest.approx(statistics.fmean(sizes))
        assert found["worst"] == pytest.approx(sizes[-1])
        assert found["mape"] < found["p95"] <= found["worst"]


def test_a_shipped_profile_is_near_the_table_that_it_was_fitted_to(capsys: pytest.CaptureFixture[str]) -> None:
    if not TABLE.is_file():
        pytest.skip("the table of measurements, ../shared/data/splitwise_perf_model.csv, is not here")
    for hardware in ("dgx-a100", "dgx-h100"):
        for model in ("llama2-70b", "bloom-176b"):
            found = check_json(TABLE, capsys, model, hardware)
            assert found["prefill"]["mape"] < 0.02
            assert found["decode"]["mape"] < 0.03
