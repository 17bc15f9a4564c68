"""`emu sweep` as a person meets it: the table, resuming after a kill, an interrupt, and what is refused."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyarrow import parquet

import emu.cli
from emu.sweep.journal import JOURNAL
from emu.sweep.table import RUNS_CSV, RUNS_PARQUET

HELLO = Path(__file__).parents[2] / "scenarios" / "hello.toml"
GRID = ["--vary", "workload.rate_rps=2:8:2", "--vary", "machines[0].count=1,2", "--seeds", "2"]
RUNS = 16


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sweep(*arguments: str | Path) -> int:
    return emu.cli.status_of(["sweep", *map(str, arguments)])


def start(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "emu", "sweep", str(HELLO), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_lines(journal: Path, lines: int) -> None:
    for _ in range(1200):
        if journal.exists() and journal.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.025)
    pytest.fail(f"{journal} did not reach {lines} lines")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sweep") / "kept"
    assert sweep(HELLO, *GRID, "--jobs", "1", "--out", out, "--quiet") == 0
    return out


def test_the_table_has_a_row_a_run_in_the_order_of_the_grid(uninterrupted: Path) -> None:
    rows = list(csv.DictReader((uninterrupted / RUNS_CSV).read_text().splitlines()))
    assert [row["run"] for row in rows] == [str(number) for number in range(RUNS)]
    assert [row["seed"] for row in rows] == ["0", "1"] * (RUNS // 2)
    assert [row["workload.rate_rps"] for row in rows] == [rate for rate in "2468" for _ in range(4)]
    assert len({row["digest"] for row in rows}) > RUNS // 2
    assert {row["status"] for row in rows} == {"made"}
    table = parquet.read_table(uninterrupted / RUNS_PARQUET)
    assert table.num_rows == RUNS
    assert table.column_names == list(rows[0])
    assert table.column("digest").to_pylist() == [row["digest"] for row in rows]
    assert all(
        abs(kept - float(row["ttft_s.p99"])) == 0
        for kept, row in zip(table.column("ttft_s.p99").to_pylist(), rows, strict=True)
    )


def test_a_killed_sweep_is_resumed_and_no_run_is_made_twice(
    folder: Path, uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with start(*GRID, "--jobs", "2", "--out", "kept") as running:
        wait_for_lines(folder / "kept" / JOURNAL, 4)
        running.kill()
    finished = (folder / "kept" / JOURNAL).read_bytes().count(b"\n")
    assert sweep(HELLO, *GRID, "--jobs", "2", "--out", "kept") == 0
    assert f"{RUNS - finished} runs made, {finished} there from before" in capsys.readouterr().out
    keys = [json.loads(line)["key"] for line in (folder / "kept" / JOURNAL).read_text().splitlines()]
    assert len(keys) == len(set(keys)) == RUNS
    assert (folder / "kept" / RUNS_CSV).read_bytes() == (uninterrupted / RUNS_CSV).read_bytes()
    assert (folder / "kept" / RUNS_PARQUET).read_bytes() == (uninterrupted / RUNS_PARQUET).read_bytes()


def test_an_interrupt_keeps_what_is_finished(folder: Path) -> None:
    running = start(*GRID, "--set", "workload.duration_s=30", "--jobs", "1", "--out", "kept")
    wait_for_lines(folder / "kept" / JOURNAL, 2)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said.startswith("emu: interrupted with ")
    assert "Traceback" not in said
    rows = (folder / "kept" / RUNS_CSV).read_text().splitlines()
    assert len(rows) - 1 == (folder / "kept" / JOURNAL).read_bytes().count(b"\n")
    assert 2 <= len(rows) - 1 < RUNS


def test_a_grown_grid_takes_over_what_is_there(
    folder: Path, uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "kept").mkdir()
    (folder / "kept" / JOURNAL).write_bytes((uninterrupted / JOURNAL).read_bytes())
    assert sweep(HELLO, *GRID, "--seeds", "1", "--vary", "interleaving=0", "--jobs", "1", "--out", "kept") == 0
    assert f"0 runs made, {RUNS // 2} there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--vary", "router.polcy=jsq"], "router.policy"),
        (["--vary", "router.policy=jsq,jqs"], "--vary router.policy: expected a known policy (the nearest is jsq)"),
        (["--vary", "workload.rate_rps=-1:1:1"], "--vary workload.rate_rps"),
        (["--vary", "seed=1,2", "--seeds", "2"], "--seeds"),
        (["--seeds", "0"], "--seeds"),
        (["--jobs", "0"], "--jobs"),
        (["--engine", "slurm"], "--engine"),
        (["--address", "auto"], "--engine ray"),
        (["--set", "workload.trace=nowhere.csv"], "nowhere.csv"),
        (["--set", "workload.trace=bad.csv"], "bad.csv:2"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (folder / "bad.csv").write_text("arrival_timestamp,prompt_size,token_size\n0,none,5\n")
    assert sweep(HELLO, *arguments, "--out", "kept") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1
    assert not (folder / "kept").exists()


def test_a_folder_of_anothers_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "kept").mkdir()
    (folder / "kept" / "notes.txt").touch()
    assert sweep(HELLO, "--out", "kept") == 2
    assert "notes.txt" in capsys.readouterr().err
    assert [path.name for path in (folder / "kept").iterdir()] == ["notes.txt"]


def test_a_run_that_fails_twice_is_a_row(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import emu.sweep.sweep
    from emu.sweep.engines import Ended

    class Failing:
        room = 1

        def __init__(self) -> None:
            self._jobs: list[object] = []

        def submit(self, job: object) -> None:
            self._jobs.append(job)

        def next(self) -> Ended:
            return Ended(self._jobs.pop(), None, "ValueError: as planned")  # type: ignore[arg-type]

        def close(self, *, at_once: bool) -> None:
            assert not at_once

    monkeypatch.setattr(emu.sweep.sweep, "engine", lambda *_: Failing())
    assert sweep(HELLO, "--seeds", "2", "--out", "kept") == 3
    rows = list(csv.DictReader((folder / "kept" / RUNS_CSV).read_text().splitlines()))
    assert [(row["status"], row["failure"]) for row in rows] == [("failed", "ValueError: as planned")] * 2
