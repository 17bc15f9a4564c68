"""What the command refuses: each in one line on stderr, with status 2, and with nothing printed or written."""

from pathlib import Path

import pytest
from command_runs import HELLO, SMALL, SPLITWISE_SIM, Terminal


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(terminal: Terminal, folder: Path, *arguments: str | Path) -> str:
    """What the command says when it refuses: one line on stderr, nothing printed, nothing written."""
    before = sorted(folder.rglob("*"))
    assert terminal.run(*arguments) == 2, terminal.err
    assert terminal.out == ""
    line, *rest = terminal.err.splitlines()
    assert not rest
    assert line.startswith("emu: ")
    assert "Traceback" not in line
    assert sorted(folder.rglob("*")) == before
    return line


BAD_TRACES = {
    "negative": "1.0,-5,5,1\n",
    "zero": "1.0,0,5,1\n",
    "zero output": "1.0,5,0,1\n",
    "nan": "nan,5,5,1\n",
    "fractional": "1.0,5.5,5,1\n",
    "text": "1.0,many,5,1\n",
    "short row": "1.0,5\n",
    "not a number": "1.0,NaN,5,1\n",
}


@pytest.mark.parametrize("row", BAD_TRACES.values(), ids=BAD_TRACES.keys())
def test_a_bad_row_is_refused_by_its_line(terminal: Terminal, folder: Path, row: str) -> None:
    (folder / "trace.csv").write_text(SPLITWISE_SIM + "0.0,100,5,0\n" + row)
    (folder / "small.toml").write_text(SMALL)
    assert f"{folder / 'trace.csv'}:3: " in refused(terminal, folder, "small.toml", "--out", "deep/kept")


@pytest.mark.parametrize("content", ["", "arrival_timestamp,token_size\n1.0,5\n", SPLITWISE_SIM])
def test_a_trace_without_rows_or_columns_is_refused(terminal: Terminal, folder: Path, content: str) -> None:
    (folder / "trace.csv").write_text(content)
    (folder / "small.toml").write_text(SMALL)
    assert "trace.csv" in refused(terminal, folder, "small.toml", "--out", "kept")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("router.polcy=jsq", "router.policy"),
        ("router.policy=jqs", "jsq"),
        ("nonsense", "KEY=VALUE"),
        ("workload.rate_rps=-1", "workload.rate_rps"),
        ("workload.rate_rps=nan", "workload.rate_rps"),
        ("machines[0].count=0", "machines[0].count"),
        ("machines[0].pool=decode", "can prefill"),
        ("machines[9].count=1", "machines[9]"),
        ("machines[0].tensor_parallel=1", "machines[0]: expected machines that the model fits into"),
        ("model=nowhere.toml", "nowhere.toml"),
        ("workload.trace=nowhere.csv", "nowhere.csv"),
        ("seed=-1", "seed"),
    ],
)
def test_a_bad_override_is_refused(terminal: Terminal, folder: Path, override: str, said: str) -> None:
    assert said in refused(terminal, folder, HELLO, "--set", override, "--out", "kept")


@pytest.mark.parametrize("arguments", [("--seed", "many"), ("--nonsense",), ("--seed", "-1"), ("one", "more")])
def test_a_bad_option_is_refused(terminal: Terminal, folder: Path, arguments: tuple[str, ...]) -> None:
    refused(terminal, folder, HELLO, *arguments)


def test_a_bad_scenario_is_refused(terminal: Terminal, folder: Path) -> None:
    (folder / "bad.toml").write_text("name = \n")
    assert "bad.toml:1" in refused(terminal, folder, "bad.toml")
    assert "nowhere.toml" in refused(terminal, folder, "nowhere.toml")
    assert "SCENARIO" in refused(terminal, folder)


def test_an_existing_folder_is_refused_and_an_empty_one_filled(terminal: Terminal, folder: Path) -> None:
    (folder / "kept").mkdir()
    assert terminal.run(HELLO, "--out", "kept", "--quiet") == 0
    kept = (folder / "kept" / "summary.json").read_text()
    assert "--out kept: " in refused(terminal, folder, HELLO, "--out", "kept")
    assert (folder / "kept" / "summary.json").read_text() == kept
    (folder / "file").write_text("mine")
    assert "--out file" in refused(terminal, folder, HELLO, "--out", "file")
    assert "--out file/kept" in refused(terminal, folder, HELLO, "--out", "file/kept")


def test_what_a_killed_run_left_is_replaced_and_nothing_else(terminal: Terminal, folder: Path) -> None:
    partial = folder / "kept.partial"
    partial.mkdir()
    (partial / "notes.txt").write_text("mine")
    assert "kept.partial" in refused(terminal, folder, HELLO, "--out", "kept")
    (partial / "notes.txt").rename(partial / "record.jsonl")
    assert terminal.run(HELLO, "--out", "kept", "--quiet") == 0
    assert not partial.exists()
