"""Pictures of a moment: the same bytes every time, in every theme, and refusals that name what was expected."""

from pathlib import Path

import pytest
from kept_runs import deck_of, faulty, hello

from emu.cli import REFUSED, status_of
from tui.palette import NAMES
from tui.picture import svg


@pytest.mark.parametrize("theme", NAMES)
def test_the_same_moment_is_the_same_picture(theme: str) -> None:
    first, second = (svg(deck_of(faulty(), 6.5), 100, 30, theme) for _ in range(2))
    assert first == second
    assert "decode-1" in first
    assert first != svg(deck_of(faulty(), 6.6), 100, 30, theme)


def test_the_command_writes_one(tmp_path: Path) -> None:
    path = tmp_path / "out.svg"
    assert status_of(["replay", str(hello()), "--at", "1.8", "--screenshot", str(path), "--page", "machine"]) == 0
    assert "prefill-0" in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--size", "wide"), "WIDTHxHEIGHT"),
        (("--law", "3"), "this one broke none"),
        (("--screenshot", "/nowhere/at/all.svg"), "expected a file to write"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], expected: str
) -> None:
    given = ["replay", str(hello()), "--screenshot", str(tmp_path / "x.svg"), *arguments]
    assert status_of(given) == REFUSED
    assert expected in capsys.readouterr().err


def test_without_a_terminal_the_screens_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(["replay", str(hello())]) == REFUSED
    assert "emu show and emu why say the same" in capsys.readouterr().err
    assert status_of(["watch"]) == REFUSED
    assert "either SCENARIO.toml or --attach" in capsys.readouterr().err


def test_a_screen_is_had_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["replay", str(hello()), "--at", "1.8", "--page", "cluster", "--size", "100x30", "--screenshot"]
    assert status_of([*given, "-"]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 30
    assert "transfers 1 on their way" in said
    assert status_of([*given, str(tmp_path / "screen.txt")]) == 0
    assert (tmp_path / "screen.txt").read_text() == said
