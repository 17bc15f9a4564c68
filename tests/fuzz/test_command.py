"""`emu fuzz`: what it finds, writes and says, and its status."""

from pathlib import Path

import pytest
from command_runs import HELLO

import emu.cli

OWN = Path(__file__).parents[2] / "examples" / "policies" / "own.toml"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_weak_policy_is_found_kept_and_found_again_first(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fuzz = ["fuzz", str(OWN), "--policy", "most_room:MostRoom", "--examples", "400", "--junit", "junit.xml"]
    assert emu.cli.status_of(fuzz) == 1
    told = capsys.readouterr().out
    assert "policy-contract is broken after" in told
    story = [line for line in told.splitlines() if line.startswith("  ") and " s  " in line]
    assert 0 < len(story) <= 25
    (kept,) = (here / "found").glob("*.toml")
    assert f"emu run found/{kept.name}" in told
    assert emu.cli.status_of(["run", str(kept), "--quiet"]) == 1
    assert "policy-contract" in capsys.readouterr().err
    assert '<failure message="the routing policy' in (here / "junit.xml").read_text()
    assert emu.cli.status_of(fuzz) == 1
    assert "is broken after 1 examples" in capsys.readouterr().out


def test_nothing_is_found_where_nothing_is_wrong(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert emu.cli.status_of(["fuzz", str(HELLO), "--examples", "40", "--seed", "3"]) == 0
    assert capsys.readouterr().out.startswith("40 examples (")
    assert not (here / "found").exists()


def test_jobs_share_the_examples(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert emu.cli.status_of(["fuzz", str(HELLO), "--examples", "21", "--jobs", "2"]) == 0
    assert capsys.readouterr().out.startswith("21 examples (")
    assert here.exists()


def test_refusals(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert emu.cli.status_of(["fuzz", str(here / "nowhere.toml")]) == 2
    assert emu.cli.status_of(["fuzz", str(OWN), "--policy", "nowhere:Nobody"]) == 2
    assert emu.cli.status_of(["fuzz", str(OWN), "--examples", "0"]) == 2
    assert not list(here.iterdir())
    assert len(capsys.readouterr().err.splitlines()) == 3
