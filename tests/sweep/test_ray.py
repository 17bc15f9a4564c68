"""`emu sweep --engine ray`: two workers of a Ray cluster go on where one process stopped, and the table is the same."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import emu.cli
from emu.sweep.journal import JOURNAL
from emu.sweep.table import RUNS_CSV, RUNS_PARQUET

HELLO = Path(__file__).parents[2] / "scenarios" / "hello.toml"
GRID = (str(HELLO), "--vary", "workload.rate_rps=2,4,8", "--seeds", "3", "--quiet")
RUNS, THERE = 9, 4
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'emu[ray]'")
def test_a_cluster_of_two_workers_makes_what_is_missing_and_the_same_table(tmp_path: Path) -> None:
    assert emu.cli.status_of(["sweep", *GRID, "--jobs", "1", "--out", str(tmp_path / "one")]) == 0
    lines = (tmp_path / "one" / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / JOURNAL).write_bytes(b"".join(lines[:THERE]))
    command = [sys.executable, "-m", "emu", "sweep", *GRID, "--engine", "ray", "--jobs", "2", "--out", "two"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | QUIET, capture_output=True, text=True, timeout=240, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr  # where Ray says things of its own
    made = (tmp_path / "two" / JOURNAL).read_bytes().splitlines(keepends=True)
    assert made[:THERE] == lines[:THERE]
    assert sorted(_keys(made)) == sorted(_keys(lines))
    assert len(set(_keys(made))) == len(made) == RUNS
    for name in (RUNS_CSV, RUNS_PARQUET):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_without_ray_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    out = tmp_path / "kept"
    assert emu.cli.status_of(["sweep", *GRID, "--engine", "ray", "--out", str(out)]) == 2
    printed, err = capsys.readouterr()
    assert printed == ""
    assert err == "emu: --engine ray: expected Ray, which is not installed: pip install 'emu[ray]'\n"
    assert not out.exists()


def _keys(lines: list[bytes]) -> list[bytes]:
    return [line.split(b'"')[3] for line in lines]
