"""Policies of one's own are found by name, and what does not fit is refused in one line before anything runs."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_runs import Terminal

MODULES: Iterator[int] = itertools.count()
SCENARIO = """
name = "own"
model = "llama2-70b"
machines = [{pool = "prefill", hardware = "dgx-h100"}, {pool = "decode", hardware = "dgx-h100"}]

[workload]
synthetic = "azure-conv"
rate_rps = 4.0
duration_s = 2.0
"""
GOOD = """
class Mine:
    def place(self, ask, machines):
        return 0, 1
"""


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


def scenario(folder: Path) -> Path:
    path = folder / "own.toml"
    path.write_text(SCENARIO)
    return path


def module(folder: Path, text: str) -> str:
    """A module of a name that no test has used before."""
    name = f"own_policy_{next(MODULES)}"
    (folder / f"{name}.py").write_text(text)
    return name


def test_found_from_the_scenarios_folder_and_from_the_working_directory(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, elsewhere = tmp_path / "beside", tmp_path / "elsewhere"
    beside.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    path = scenario(beside)
    for folder in (beside, elsewhere):
        name = module(folder, GOOD)
        assert terminal.run(path, "--set", f"router.policy={name}:Mine") == 0, terminal.err


def test_a_kept_run_repeats_from_its_folder(tmp_path: Path, terminal: Terminal) -> None:
    path, name = scenario(tmp_path), module(tmp_path, GOOD)
    first = terminal.summary(path, "--set", f"router.policy={name}:Mine", "--out", tmp_path / "kept")
    again = terminal.summary(tmp_path / "kept" / "scenario.toml")
    assert again["digest"] == first["digest"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class Other: pass", "expected Mine in"),
        ("Mine = 3", "expected a class"),
        ("class Mine: pass", "place() with 2 arguments"),
        ("class Mine:\n def place(self, ask): pass", "place() with 2 arguments"),
        ("class Mine:\n def __init__(self, x): pass", "to be made without arguments"),
        ("class Mine:\n def __init__(self): 1 / 0", "ZeroDivisionError"),
        ("import there_is_no_such_module", "there_is_no_such_module"),
        ("1 / 0", "ZeroDivisionError"),
        ("def (", "SyntaxError"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, terminal: Terminal, text: str, words: str) -> None:
    path, name = scenario(tmp_path), module(tmp_path, text)
    assert terminal.run(path, "--set", f"router.policy={name}:Mine", "--out", tmp_path / "out") == 2
    assert words in terminal.err
    assert terminal.err.startswith("emu: router.policy: expected")
    assert terminal.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("router.policy", "no_such_module:Mine", "expected a module no_such_module"),
        ("router.policy", "no.such.module:Mine", "expected a module no.such.module"),
        ("router.policy", "exec:./nowhere", "expected a program that can be run"),
        ("router.policy", "exec:", "expected a program"),
        ("router.policy", "exec:'unclosed", "expected exec:PROGRAM"),
        ("scheduler.policy", "shortest", 'expected "package.module:Name"'),
        ("scheduler.policy", "json:JSONDecoder", "next_prompt() with one argument"),
        ("transfer.policy", "json:JSONDecoder", "by_layer() with 2 arguments"),
    ],
)
def test_wrong_names_are_refused(tmp_path: Path, terminal: Terminal, key: str, value: str, words: str) -> None:
    assert terminal.run(scenario(tmp_path), "--set", f"{key}={value}") == 2
    assert words in terminal.err
    assert key in terminal.err
