"""emu show and emu why over a kept run: what the screens show, as text, and refusals that name what was expected."""

from pathlib import Path

import pytest
from command_runs import HELLO

from emu.cli import REFUSED, status_of


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "hello"
    assert status_of(["run", str(HELLO), "--out", str(folder), "--quiet"]) == 0
    return folder


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert status_of([str(argument) for argument in arguments]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_the_cluster_at_a_moment(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "show", kept, "--at", "1.5")
    assert "hello at 1.500 s, after 25 entries" in text
    assert "arrived 2  completed 0" in text
    assert "last 10 s:         0.0 good requests/s, nothing ended" in text
    assert "decode-0" in text


def test_the_end_of_a_run(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "show", kept)
    assert "(the end)" in text
    assert "arrived 12  completed 12  rejected 0  failed 0  cancelled 0  open 0" in text


def test_the_life_of_a_request(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "show", kept, "request", "r2")
    assert "r2 arrived: 4,081 prompt tokens" in text
    phases = [line.split()[0] for line in text.splitlines()[1:8]]
    assert phases == ["router", "assigned", "queued", "prefill", "transfer", "ready", "decode"]
    assert "r2 completed with 115 tokens, on decode-0" in text


def test_a_machine_at_a_moment(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "show", kept, "machine", "decode-0", "--at", "1.5")
    assert "decoding: 2 sequences: r0, r1" in text
    assert "the router believed: 85,597 free blocks" in text


def test_a_law(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "show", kept, "law", "littles-law")
    assert text.startswith("littles-law: On every queue")
    assert text.rstrip().endswith("held throughout this run")


def test_why_asks_about_the_longest_wait_of_what_has_ended(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "why", kept, "r2")
    assert "in the middle of its longest wait (transfer, 0.025 s)" in text
    assert "r2's cache landed on decode-0" in text
    assert said(capsys, "why", kept, "decode-0", "--at", "1.5").startswith("at 1.500 s:\ndecode-0 decodes 2 sequences")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("show", "machine", "decode-7"), "prefill-0, decode-0"),
        (("show", "request", "r99"), "r0 to r11"),
        (("show", "request"), "expected the name of a request"),
        (("show", "law", "murphy"), "littles-law"),
        (("why", "r2", "--at", "100"), "expected one that is open at 100.000 s"),
        (("why", "nobody"), "expected a request such as r41"),
        (("why", "r99"), "r0 to r11"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(
    kept: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], expected: str
) -> None:
    command, *rest = arguments
    assert status_of([command, str(kept), *rest]) == REFUSED
    found = capsys.readouterr()
    assert found.err.count("\n") == 1
    assert expected in found.err
    assert not found.out
