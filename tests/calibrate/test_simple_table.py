"""The simple table: what is fitted to it, what it does not tell, what a profile's error on it is, what is refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.calibrate.all_reduce import all_reduce_ms
from emu.calibrate.decode_fit import PAIRS, RELATIVE_COST, DecodeStep, Reading, fit_decode, relative_cost
from emu.calibrate.making import as_hardware, as_toml, file_name, profiles_of
from emu.calibrate.report import validation_markdown
from emu.calibrate.simple_table import read_steps
from emu.cli import status_of
from emu.fake.costs import CalibratedCosts
from emu.fake.profiles import load_model, shipped_folder
from emu.fake.step_profiles import StepProfile, parse_steps

TABLES = Path(__file__).resolve().parents[2] / "measurements" / "h200"
BATCHES, CONTEXTS, PROMPTS = (1, 2, 4, 8, 16), (128, 512, 2048, 4096), (128, 256, 512, 1024, 2048, 4096)

Row = tuple[str, int, int, float]


def decode_ms(batch: int, context: int) -> float:
    return 5 + batch / 8 + 4e-5 * batch * (context + 1)


def prefill_ms(batch: int, prompt: int) -> float:
    return 4 + 0.02 * batch * prompt + 1e-6 * batch * prompt * prompt / 2


def grid() -> list[Row]:
    decodes = [("decode", batch, context, decode_ms(batch, context)) for batch in BATCHES for context in CONTEXTS]
    return decodes + [("prefill", n, each, prefill_ms(n, each)) for n in (1, 2, 4, 8) for each in PROMPTS]


def written(path: Path, rows: list[Row], columns: str = "phase,batch,context,ms") -> Path:
    path.write_text("\n".join([columns, *(",".join(str(value) for value in row) for row in rows)]) + "\n")
    return path


def fitted(table: Path, *words: str) -> StepProfile:
    out = table.with_suffix(".toml")
    assert status_of(["calibrate", "fit", str(table), "-o", str(out), *words]) == 0
    return parse_steps(out.read_bytes(), out.name)


def test_a_known_truth_comes_back(tmp_path: Path) -> None:
    profile = fitted(written(tmp_path / "t.csv", grid()))
    costs = CalibratedCosts(profile)
    assert profile.decode.identified
    assert profile.evidence["not_identified"]["what"] == [
        "whether c(B) is possible: the table names no known model and hardware"
    ]
    for batch, context in ((1, 300), (3, 700), (12, 3000), (40, 1000)):
        assert costs.decode_ps(batch, batch * (context + 1)) == pytest.approx(decode_ms(batch, context) * 1e9, rel=1e-4)
    for prompts, each in ((1, 1024), (2, 2048), (4, 512), (8, 256)):
        assert costs.prefill_ps(prompts * each, prompts) == pytest.approx(prefill_ms(prompts, each) * 1e9, rel=0.01)
    assert profile.prefill.cached_pair_ps == 1000
    for part in ("decode", "prefill_batches"):
        assert profile.evidence[part]["interpolated_mape_pct"] <= 1


def test_what_a_table_does_not_tell_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row for row in grid() if row[1] == 1 or row[:3:2] == ("decode", 512)]
    names = "--model", "llama3-8b", "--hardware", "dgx-h200", "--tensor-parallel", "1"
    profile = fitted(written(tmp_path / "t.csv", rows), *names)
    decode = profile.decode
    assert not decode.identified
    said = capsys.readouterr().out
    assert "not identified: c(B), the cost of a token of context, at 2, 4, 8, 16 sequences" in said
    assert "would be told by: decode rows of 2, 4, 8, 16 sequences at two contexts or more" in said
    assert "would be told by: prefill rows of batch 1, 2, 4, 8 and 16 at context" in said
    for low, used, high in zip(decode.context_low_ps, decode.context_ps_per_token, decode.context_high_ps, strict=True):
        assert low <= used <= high
        assert low <= 4e4 + 1
        assert high >= 4e4 - 1
    costs = CalibratedCosts(profile)
    for batch in BATCHES:  # what was measured stays
        assert costs.decode_ps(batch, batch * 513) == pytest.approx(decode_ms(batch, 512) * 1e9, rel=1e-3)


@pytest.mark.parametrize("names", [(), ("--model", "llama3-8b", "--hardware", "dgx-h200")])
def test_a_table_of_one_context_tells_nothing_of_its_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: tuple[str, ...]
) -> None:
    rows = [row for row in grid() if row[0] == "prefill" or row[2] == 2048]
    decode = fitted(written(tmp_path / "t.csv", rows), *names).decode
    said = capsys.readouterr().out
    assert "not identified: c(B), the cost of a token of context, at 1, 2, 4, 8, 16 sequences" in said
    assert not decode.identified
    for low, used, high in zip(decode.context_low_ps, decode.context_ps_per_token, decode.context_high_ps, strict=True):
        assert low <= used <= high
        assert (low > 27_000) == bool(names)  # 131,072 bytes at 4.8 TB/s
    for batch, base, context in zip(decode.sequences, decode.base_ps, decode.context_ps_per_token, strict=True):
        assert base + context * batch * 2049 == pytest.approx(decode_ms(batch, 2048) * 1e9, rel=1e-3)


def test_a_machine_of_ones_own_bounds_what_reading_may_cost(tmp_path: Path) -> None:
    text = shipped_folder("hardware").joinpath("dgx-h200.toml").read_text(encoding="utf-8")
    slow = text.replace('name = "dgx-h200"', 'name = "mine"').replace("4_800_000_000_000", "3_000_000_000_000")
    (tmp_path / "machine.toml").write_text(slow)
    rows = [row for row in grid() if row[0] == "prefill" or row[2] == 2048]
    names = "--model", "llama3-8b", "--hardware", str(tmp_path / "machine.toml")
    profile = fitted(written(tmp_path / "t.csv", rows), *names)
    assert profile.hardware == "mine"
    assert profile.decode.context_low_ps[0] == 131_072 // 3
    absent = [
        "calibrate",
        "fit",
        str(tmp_path / "t.csv"),
        "-o",
        str(tmp_path / "p.toml"),
        "--hardware",
        "./absent.toml",
    ]
    assert status_of(absent) == 2


def test_the_shipped_h200_profiles_are_what_the_tables_give() -> None:
    for name in ("llama3-8b.tp1", "llama2-70b.tp8", "llama2-70b.tp4", "llama3-70b.tp8"):
        unseen = TABLES / f"{name}.unseen.csv"
        (profile,) = profiles_of(TABLES / f"{name}.csv", unseen=unseen if unseen.is_file() else None)
        made = [profile, as_hardware(profile, "h200-nvlink")] if name == "llama3-8b.tp1" else [profile]
        for each in made:
            shipped = shipped_folder("steps").joinpath(file_name(each)).read_text(encoding="utf-8")
            assert as_toml(each) == shipped, file_name(each)


def test_h200_profiles_are_near_on_cells_that_no_fit_saw() -> None:
    for model, tensor_parallel in (("llama3-8b", 1), ("llama2-70b", 8)):
        name = f"{model}.dgx-h200.tp{tensor_parallel}.toml"
        evidence = parse_steps(shipped_folder("steps").joinpath(name).read_bytes(), name).evidence
        assert evidence["unseen_prefill"]["interpolated_mape_pct"] < 3
        assert evidence["unseen_decode"]["interpolated_mape_pct"] < 3


def test_the_carried_shape_is_what_the_h200_tables_say() -> None:
    """One curve over pairs of sequence and key-value head, whatever the shard."""
    for name, heads in (("llama2-70b.dgx-h200.tp8", 1), ("llama2-70b.dgx-h200.tp4", 2), ("llama3-8b.dgx-h200.tp1", 8)):
        decode = parse_steps(shipped_folder("steps").joinpath(f"{name}.toml").read_bytes(), name).decode
        at_64 = next(c for b, c in zip(decode.sequences, decode.context_ps_per_token, strict=True) if b * heads == 64)
        for batch, context_ps in zip(decode.sequences, decode.context_ps_per_token, strict=True):
            if batch * heads in PAIRS:
                carried = relative_cost(batch * heads) / RELATIVE_COST[-1]
                assert context_ps / at_64 == pytest.approx(carried, rel=0.12), (name, batch)


@given(st.floats(1, 200), st.floats(0, 100))
def test_the_carried_shape_falls_no_faster_than_pairs_grow(pairs: float, more: float) -> None:
    assert relative_cost(pairs + more) <= relative_cost(pairs) * 1.001
    assert relative_cost(pairs + more) * (pairs + more) >= relative_cost(pairs) * pairs * 0.999


@given(
    st.lists(
        st.tuples(st.integers(1, 64), st.integers(1, 100_000), st.integers(10**6, 10**11)), min_size=4, max_size=30
    ).filter(lambda steps: len({s[0] for s in steps}) > 1 and len({s[1] for s in steps if s[0] == steps[0][0]}) > 1),
    st.sampled_from([Reading(0.0, None), Reading(9000.0, 1.0), Reading(20_000.0, 8.0)]),
)
def test_any_measurements_give_a_usable_curve(steps: list[tuple[int, int, int]], reading: Reading) -> None:
    curve = fit_decode([DecodeStep(*step) for step in steps], reading, "x").curve
    assert list(curve.base_ps) == sorted(curve.base_ps)
    per_token = [b * c for b, c in zip(curve.sequences, curve.context_ps_per_token, strict=True)]
    assert per_token == sorted(per_token)
    for low, used, high in zip(curve.context_low_ps, curve.context_ps_per_token, curve.context_high_ps, strict=True):
        assert 0 < low <= used <= high


def test_the_error_of_a_profile_on_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "llama2-70b.dgx-h100.tp8.toml"
    costs = CalibratedCosts(parse_steps(shipped_folder("steps").joinpath(name).read_bytes(), name))
    off = {1: 1.0, 2: 0.9, 4: 1.25}
    rows = [("decode", b, 600, costs.decode_ps(b, b * 601) / 1e9 / share) for b, share in off.items()]
    rows += [("prefill", 1, 700, costs.prefill_ps(700, 1) / 1e9)]
    words = "calibrate check --model llama2-70b --hardware dgx-h100 --tensor-parallel 8"
    table = written(tmp_path / "t.csv", rows)
    assert status_of([*words.split(), str(table), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"prefill", "decode"}
    assert found["decode"] == pytest.approx({"mape": (0 + 0.1 + 0.25) / 3, "p95": 0.25, "worst": 0.25}, abs=1e-9)
    assert found["prefill"] == pytest.approx({"mape": 0, "p95": 0, "worst": 0}, abs=1e-9)
    assert status_of([*words.split(), str(table)]) == 0
    assert "worst +25.0% (4 sequences of 600)" in capsys.readouterr().out
    assert status_of([*words.split(), str(written(tmp_path / "t.csv", rows[:3])), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["prefill"] is None


def test_a_shards_sums_are_added(tmp_path: Path) -> None:
    columns = "phase,batch,context,ms,model,hardware,tensor_parallel,excludes"
    text = f"{columns}\ndecode,4,100,10.0,llama2-70b,dgx-h200,8,all-reduce\nprefill,2,50,10.0,llama2-70b,dgx-h200,8,\n"
    (tmp_path / "t.csv").write_text(text)
    ((decode, prefill),) = read_steps(tmp_path / "t.csv").values()
    model = load_model("llama2-70b")
    assert decode.ms == pytest.approx((10 + all_reduce_ms(model, 8, 4),))
    assert 160 * 0.0185 < all_reduce_ms(model, 8, 4) < 160 * 0.02
    assert prefill.ms == pytest.approx((10 + all_reduce_ms(model, 8, 100),))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("phase,batch,context\n", "t.csv:1: expected a column ms"),
        ("a,b\n1,2\n", "t.csv:1: expected the columns phase,batch,context,ms, or those of"),
        ("phase,batch,context,ms\n", "expected rows of prefill or decode"),
        (
            "phase,batch,context,ms\ndecod,1,2,3\n",
            "t.csv:2: expected phase to be prefill or decode (did you mean decode?)",
        ),
        (
            "phase,batch,context,ms\ndecode,1,2,3\ndecode,0,2,3\n",
            "t.csv:3: expected batch above zero and below a billion, got 0",
        ),
        ("phase,batch,context,ms\ndecode,1.5,2,3\n", "t.csv:2: expected batch to be a whole number, got '1.5'"),
        ("phase,batch,context,ms\ndecode,1,2,nan\n", "t.csv:2: expected ms above zero"),
        ("phase,batch,context,ms\ndecode,1,2,-3\n", "t.csv:2: expected ms above zero"),
        ("phase,batch,context,ms\ndecode,1,2\n", "t.csv:2: expected 4 columns, as in line 1, got 3"),
        ("phase,batch,context,ms\ndecode,1,2,3,4,5\n", "t.csv:2: expected 4 columns, as in line 1, got 6"),
        ("phase,batch,context,ms\ndecode,1,9999999999,3\n", "t.csv:2: expected context above zero and below a bill"),
        ("phase,batch,context,ms\ndecode,1,2,soon\n", "t.csv:2: expected ms to be a number, got 'soon'"),
        ("\xff", "t.csv: expected a table of measurements (it is no text)"),
        (
            "phase,batch,context,ms\n" + "decode,1,2,3\n" * 2000 + "\xff",
            "expected a table of measurements (it is no text)",
        ),
    ],
)
@pytest.mark.parametrize("command", ["fit", "check"])
def test_a_bad_table_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, line: str, command: str
) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes(text.encode("latin-1"))
    out = tmp_path / "p.toml"
    fit = ["fit", str(table), "-o", str(out)]
    check = ["check", "--model", "llama2-70b", "--hardware", "dgx-h100", "--tensor-parallel", "8"]
    assert status_of(["calibrate", *(fit if command == "fit" else [*check, str(table)])]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([("decode", 1, 10, 1.0), ("decode", 2, 10, 1.0)], "t.csv: expected prefill steps"),
        ([("prefill", 1, 10, 1.0)], "t.csv: expected prefill steps of two counts of tokens"),
        ([row for row in grid() if row[0] == "prefill"], "t.csv: expected decode steps of two batch sizes"),
    ],
)
def test_a_table_that_does_not_suffice_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[Row], line: str
) -> None:
    table, out = written(tmp_path / "t.csv", rows), tmp_path / "p.toml"
    assert status_of(["calibrate", "fit", str(table), "-o", str(out)]) == 2
    assert line in capsys.readouterr().err
    assert not out.exists()


def test_what_a_table_does_not_have_is_named_as_it_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["calibrate", "fit", str(TABLES / "llama3-8b.tp1.csv"), "-o", str(tmp_path / "p.toml"), "--model", "other"]
    assert status_of(words) == 2
    there_is = "there are llama3-8b on dgx-h200 at tensor_parallel 1"
    assert f"llama3-8b.tp1.csv: expected measurements of other; {there_is}\n" in capsys.readouterr().err
    assert status_of([*words, "--hardware", "mine", "--tensor-parallel", "2"]) == 2
    assert f"measurements of other on mine at tensor_parallel 2; {there_is}\n" in capsys.readouterr().err


def test_another_machine_on_another_day_takes_what_the_profile_says(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", "llama3-8b", "--hardware", "dgx-h200", "--tensor-parallel", "1", "--json"]
    assert status_of(["calibrate", "check", str(TABLES / "llama3-8b.tp1.again.csv"), *words]) == 0
    errors = json.loads(capsys.readouterr().out)
    assert {phase: round(found["mape"], 3) for phase, found in errors.items()} == {"prefill": 0.019, "decode": 0.009}
    assert errors["prefill"]["worst"] < 0.07


def test_a_table_of_something_else_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["calibrate", "check", "--model", "llama2-70b", "--hardware", "dgx-h100", "--tensor-parallel", "8"]
    assert status_of([*words, str(TABLES / "llama3-8b.tp1.csv")]) == 2
    assert "expected rows of llama2-70b on dgx-h100 at tensor_parallel 8" in capsys.readouterr().err
    assert status_of(["calibrate", "check", str(TABLES / "llama3-8b.tp1.csv")]) == 2
    assert "expected --model, --hardware and --tensor-parallel, or --profile" in capsys.readouterr().err


def test_the_report_has_a_row_for_every_kind_of_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(["calibrate", "report"]) == 0
    text = capsys.readouterr().out
    assert text == validation_markdown()
    assert "| llama3-8b, dgx-h200, TP 1 | decode, cells between (another table) | 15, 2.5, 10.3, 10.3 |" in text
    assert "| dgx-h200 | 4 profiles | " in text
    assert {line.count("|") for line in text.splitlines() if line} == {6}
