"""`emu plan` as a person meets it, on clusters of a few machines."""

import json
import re
import tomllib
from pathlib import Path

import pytest

import emu.cli
from emu.plan.report import PLAN_JSON, REPORT
from emu.sweep.journal import JOURNAL

PLAN = """
name = "tiny & small"
model = "llama2-70b"
designs = ["hh"]
objective = "cost"
constraint = {machines = 4}
workload = {synthetic = "azure-code", rate_rps = 6.0}
search = {seeds = 2, short_s = 5.0, long_s = 10.0}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.toml").write_text(PLAN)
    return tmp_path


def plan(*arguments: str) -> int:
    return emu.cli.status_of(["plan", *arguments])


def test_a_plan_is_answered_kept_and_not_made_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan("plan.toml", "--jobs", "1", "--out", "kept", "--exhaustive") == 0
    printed, err = capsys.readouterr()
    assert err == ""
    assert "prefill + " in printed
    kept = folder / "kept"
    found = json.loads((kept / PLAN_JSON).read_text())
    (design,) = found["designs"]
    assert design["value"] == design["cost_per_hour"] <= 4 * 38.0
    assert found["best"] == "HH"
    (whole,) = found["exhaustive"]
    assert whole["regret"] == pytest.approx(0.0)
    assert whole["inside"]
    page = (kept / REPORT).read_text()
    assert "tiny &amp; small" in page
    assert "<svg" in page
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    names = {path.stem for path in kept.glob("*.svg")}
    assert names == {path.stem for path in kept.glob("*.png")}
    assert {"rates", "pareto", "latencies", "split-hh"} == names
    lines = (kept / JOURNAL).read_bytes()
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    assert plan("plan.toml", "--jobs", "2", "--out", "kept", "--exhaustive", "--quiet") == 0
    assert (kept / JOURNAL).read_bytes() == lines
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before


def test_an_slo_that_nothing_meets_is_refused_with_the_nearest_miss(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "plan.toml").write_text(PLAN + "slo = {ttft_p50_s = 0.001}\n")
    assert plan("plan.toml", "--jobs", "1") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert re.search(r"the nearest miss: HH with \d prefill \+ \d decode, at 6.00 req/s ttft_p50 is [\d,.]+ times", err)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"designs": '["hj"]'}, "the nearest is h"),
        ({"constraint": "{power_w = 5}"}, "expected room for one machine a group of HH"),
        ({"objective": '"fun"'}, "objective"),
    ],
)
def test_a_bad_plan_is_one_line_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str], said: str
) -> None:
    ((key, value),) = change.items()
    text = re.sub(rf"^{key} = .*$", f"{key} = {value}", PLAN, flags=re.MULTILINE)
    tomllib.loads(text)
    (folder / "plan.toml").write_text(text)
    assert plan("plan.toml", "--out", "kept") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1
    assert not (folder / "kept").exists()
