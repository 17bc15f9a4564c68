"""The command as a person meets it: statuses, what is printed where, what is written and what never is."""

import csv
import json
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from command_runs import HELLO, SMALL, SPLITWISE_SIM, Terminal, command

import emu.cli
import emu.execute
from emu.laws.verdicts import Law
from emu.output import FILES

BUSY = HELLO.with_name("splitwise_hh.toml")


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_reports_what_ran(terminal: Terminal) -> None:
    assert terminal.run(HELLO) == 0
    assert terminal.err == ""
    assert terminal.out.startswith("hello   llama2-70b")
    assert max(map(len, terminal.out.splitlines())) <= 100
    assert terminal.out.isascii()
    for word in ("TTFT", "TTST", "TBT", "TPOT", "E2E", "SLO", "goodput", "transfers", "all held", "digest"):
        assert word in terminal.out


def test_json_is_the_summary_and_nothing_else(terminal: Terminal) -> None:
    summary = terminal.summary(HELLO)
    assert terminal.err == ""
    requests = summary["requests"]
    assert requests["arrived"] == requests["completed"] > 0
    assert summary["laws"]["checked"] > 0
    assert summary["laws"]["broken"] == []
    for latency in ("ttft_s", "ttst_s", "tbt_s", "tpot_s", "e2e_s", "queue_s", "transfer_s"):
        assert set(summary[latency]) == {"mean", "p50", "p90", "p99", "max"}
    assert set(summary["throughput"]) == {"requests_per_s", "output_tokens_per_s"}
    assert len(summary["slo"]["limits"]) == 9
    for key in ("goodput_rps", "cost_per_hour", "power_w", "energy_wh", "virtual_s", "wall_s", "cpu_s", "wakeups"):
        assert summary[key] > 0
    assert re.fullmatch("[0-9a-f]{32}", summary["digest"])


def test_quiet_says_nothing(terminal: Terminal) -> None:
    assert terminal.run(HELLO, "--quiet") == 0
    assert (terminal.out, terminal.err) == ("", "")


def test_quiet_and_json_together_print_the_summary(terminal: Terminal) -> None:
    assert terminal.summary(HELLO, "--quiet")["requests"]["arrived"] > 0


def test_set_and_seed_change_the_run(terminal: Terminal) -> None:
    digests = {terminal.summary(HELLO, *extra)["digest"] for extra in ([], ["--seed", "1"], ["--set", "seed=1"])}
    assert len(digests) == 2
    assert terminal.summary(HELLO, "--set", "workload.limit=3")["requests"]["arrived"] == 3
    assert terminal.summary(HELLO, "--seed", "5")["scenario"]["seed"] == 5


def test_out_keeps_the_run_whole(terminal: Terminal, folder: Path) -> None:
    printed = terminal.summary(HELLO, "--out", "deep/er/kept", "--set", "workload.limit=5")
    kept = folder / "deep" / "er" / "kept"
    assert {file.name for file in kept.iterdir()} == FILES
    assert [path.name for path in kept.parent.iterdir()] == ["kept"]
    assert json.loads((kept / "summary.json").read_text()) == printed
    rows = list(csv.DictReader((kept / "requests.csv").read_text().splitlines()))
    assert [row["request_id"] for row in rows] == [str(number) for number in range(5)]
    assert {row["status"] for row in rows} == {"completed"}
    lines = (kept / "record.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["entry"] == "RunStarted"
    assert len(lines) == printed["entries"] + 1


def test_a_kept_scenario_gives_the_same_digest_anywhere(
    terminal: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "trace.csv").write_text(SPLITWISE_SIM + "".join(f"{at},{at * 90 + 10},7,{at}\n" for at in range(1, 9)))
    (folder / "small.toml").write_text(SMALL)
    first = terminal.summary("small.toml", "--out", "kept", "--seed", "3", "--set", "workload.speedup=2")
    scenario = folder / "kept" / "scenario.toml"
    assert tomllib.loads(scenario.read_text())["workload"]["trace"] == str(folder / "trace.csv")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert terminal.summary(scenario)["digest"] == first["digest"]


def test_the_digest_does_not_hang_on_hashes_or_on_who_looks(folder: Path) -> None:
    digests = set()
    for seed, extra in (("0", ()), ("1", ("--out", folder / "kept")), ("random", ())):
        ran = command("run", HELLO, "--json", *extra, PYTHONHASHSEED=seed)
        assert ran.returncode == 0, ran.stderr
        digests.add(json.loads(ran.stdout)["digest"])
    assert len(digests) == 1


def test_a_broken_law_is_status_1(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    law = Law("steps-never-overlap", "Steps of one worker never overlap.")
    for number in range(7):
        law.broken(number * 10**12, f"decode-0 began step {number} early")
    outcome = emu.execute.Outcome({}, (law,))
    monkeypatch.setattr(emu.execute, "execute", lambda *_, **__: outcome)
    assert terminal.run(HELLO, "--quiet", "--set", "name=a b") == 1
    assert "steps-never-overlap" in terminal.err
    assert "decode-0 began step 4 early" in terminal.err
    assert "and 2 more" in terminal.err
    assert terminal.err.splitlines()[-1].endswith(f"emu run {HELLO} --seed 0 --set 'name=a b'")


def test_a_run_that_gets_stuck_breaks_a_law_and_is_kept(
    terminal: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emu.control.router import Router

    monkeypatch.setattr(Router, "handle", lambda *_: ())
    assert terminal.run(HELLO, "--out", "kept") == 1
    assert "BROKEN" in terminal.out
    assert terminal.err.startswith("emu: ")
    summary = json.loads((folder / "kept" / "summary.json").read_text())
    assert summary["laws"]["broken"]
    rows = list(csv.DictReader((folder / "kept" / "requests.csv").read_text().splitlines()))
    assert len(rows) == summary["requests"]["arrived"]
    assert {row["status"] for row in rows} == {"open"}


def test_a_bug_keeps_its_traceback(terminal: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from emu.control.router import Router

    def fail(*_: object) -> None:
        raise ZeroDivisionError("as planned")

    monkeypatch.setattr(Router, "handle", fail)
    assert terminal.run(HELLO, "--out", "deep/kept") == 3
    assert terminal.out == ""
    assert "Traceback" in terminal.err
    assert "ExceptionGroup" not in terminal.err
    assert f"emu run {HELLO} --seed 0" in terminal.err
    assert list(folder.iterdir()) == []


def test_an_interrupted_run_leaves_nothing(folder: Path) -> None:
    arguments = ["run", str(BUSY), "--out", "deep/kept", "--set", "workload.duration_s=400"]
    running = subprocess.Popen([sys.executable, "-m", "emu", *arguments], stderr=subprocess.PIPE, text=True)
    record = folder / "deep" / "kept.partial" / "record.jsonl"
    for _ in range(600):
        if record.exists() and record.stat().st_size > 100_000:
            break
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 130
    assert said.strip() == "emu: interrupted"
    assert list(folder.iterdir()) == []


def test_a_reader_that_leaves_early_is_no_failure() -> None:
    pipe = f"{sys.executable} -m emu run {HELLO} | head -n 1; exit ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_name_that_the_terminal_cannot_write_is_no_failure() -> None:
    ran = command("run", HELLO, "--set", "name=h\u00e9llo", PYTHONIOENCODING="ascii")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("h?llo   ")


def test_help_and_version_are_at_hand() -> None:
    helped = command("run", "--help")
    assert helped.returncode == 0
    for word in ("--set", "--seed", "--out", "--json", "--quiet", "a law was broken", "refused", "a bug"):
        assert word in helped.stdout
    assert re.fullmatch(r"emu \d+\.\d+\.\d+\n", command("--version").stdout)
    bare = command()
    assert (bare.returncode, bare.stdout) == (2, "")
