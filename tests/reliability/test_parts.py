"""The page is made of pieces: what was kept is not made again, and what is kept makes the same page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emu.reliability import __main__ as command
from emu.reliability.page import page
from emu.reliability.parts import CURVES, DIRECTIONS, ROUND, Size, made, matrix, names, tables, tally
from emu.reliability.plans import BATCH, batch
from emu.scenario.draw import KINDS
from emu.sweep.journal import Journal


def test_every_piece_has_a_name_and_moves_come_in_rounds() -> None:
    stages = list(names(Size(plans=1000, worlds=260, seconds=1.0)))
    assert len(stages[0]) == len(CURVES) + len(DIRECTIONS) * len(KINDS)
    assert all(len(stage) <= ROUND for stage in stages[1:-1])
    assert len(stages[-1]) == 1000 // BATCH
    every = [name for stage in stages for name in stage]
    assert len(every) == len(set(every))


def test_pieces_add_up_to_what_would_have_been_made_at_once() -> None:
    size = Size(plans=8, worlds=0, seconds=1.0)
    kept = {
        "plans/0": made("plans/0", size, frozenset()),
        "table/put/cancel": made("table/put/cancel", size, frozenset()),
    }
    again = json.loads(json.dumps(kept))
    assert tally(again).document() == batch(0, 8).document()
    assert tables(again)["put"].keys() == {("cancel", phase) for _, phase in tables(again)["put"]}
    written = page(tables(again), matrix(again), tally(again), [], size, "me", complete=True)
    assert written == page(tables(kept), matrix(kept), tally(kept), [], size, "me", complete=True)
    assert "| cancel | 3 | 3 | 3 | 3 | 3 | 3 | 3 | 0 | 0 | held |" in written
    assert "8 plans" in written


def test_what_is_kept_is_not_made_again_and_time_that_is_up_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "names", lambda _: iter([("plans/0",)]))
    size = Size(plans=3, worlds=0, seconds=1.0)
    with Journal(tmp_path) as journal:
        assert not command.make(size, journal, 1, until_s=0.0)
        assert journal.results == {}
        journal.add("plans/0", {"plans": 77})
        assert command.make(size, journal, 1, until_s=float("inf"))
    with Journal(tmp_path) as journal:
        assert journal.results == {"plans/0": {"plans": 77}}


def test_another_program_takes_nothing_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Journal(tmp_path / "kept") as journal:
        journal.add("program", {"program": "another"})
    out = tmp_path / "page.md"
    asked = ["x", "--keep", str(tmp_path / "kept"), "--out", str(out), "--jobs", "1"]
    monkeypatch.setattr("sys.argv", asked)
    assert command.main() == 2
    assert not out.exists()
    assert "expected pieces of this program" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", [*asked, "--minutes", "0"])
    assert command.main() == 0
    assert "with the program another" in out.read_text()
