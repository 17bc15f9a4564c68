"""`emu provisioning` as a person meets it, without the runs: these are for `make provisioning-quick`."""

import json
from pathlib import Path

import pytest

import emu.cli
from emu.plan.paper import QUICK
from emu.plan.paper_page import marks
from emu.plan.reproduce import FILES
from emu.sweep.journal import JOURNAL


def test_of_no_runs_nothing_is_answered_and_none_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    begin, end = marks(QUICK)
    (tmp_path / "page.md").write_text(f"before\n{begin}\n{end}\nafter\n")
    arguments = ["provisioning", "--quick", "--finished", "--jobs", "1", "--out", "kept", "--write", "page.md"]
    assert emu.cli.status_of(arguments) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("0 runs, 0 s of CPU; answers in kept, to look at in kept/report.html\n", "")
    kept = tmp_path / "kept"
    assert {path.name for path in kept.iterdir()} <= FILES
    assert (kept / JOURNAL).read_bytes() == b""
    assert json.loads((kept / "answers.json").read_text()) == {}
    page = (tmp_path / "page.md").read_text()
    assert "**Only 0 of " in page
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "not made" in (kept / "report.html").read_text()


def test_a_folder_of_something_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    assert emu.cli.status_of(["provisioning", "--quick", "--finished", "--out", "."]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "emu: --out .: expected a new folder or one of this command's own, got one that holds mine.txt"
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt"}
