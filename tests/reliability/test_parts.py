"""The page is made of pieces: what was kept is not made again, and what is kept makes the same page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from emu.reliability import __main__ as command
from emu.reliability.built import BUILT
from emu.reliability.cells import base
from emu.reliability.matrix import Matrix
from emu.reliability.orphans import bound_s
from emu.reliability.page import page
from emu.reliability.parts import CURVES, DIRECTIONS, ROUND, Size, made, matrix, names, others, tables, tally
from emu.reliability.plans import BATCH, batch
from emu.scenario.draw import KINDS, draw_scenario
from emu.scenario.schema import Fault
from emu.sweep.journal import Journal


def test_every_piece_has_a_name_and_moves_come_in_rounds() -> None:
    stages = list(names(Size(plans=1000, worlds=260, seconds=1.0)))
    assert len(stages[0]) == len(CURVES) + len(DIRECTIONS) * len(KINDS)
    assert all(len(stage) <= ROUND for stage in stages[1:-2])
    assert stages[-2] == tuple(f"built/{name}" for name in BUILT)
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


def test_built_worlds_are_made_again_without_the_rest_and_say_by_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = {**Matrix().document(), "program": "mine"}
    monkeypatch.setattr(command, "names", lambda _: iter([("plans/0",), ("built/ready",)]))

    def start(*arguments: Any) -> bool:
        for name in arguments[1]:
            journal.add(name, built)
        return False

    monkeypatch.setattr(command, "_start", start)
    with Journal(tmp_path) as journal:
        journal.add("program", {"program": "another"})
        assert not command.make(Size(1, 0, 1.0), journal, 1, float("inf"), "built/")
        assert "plans/0" not in journal.results
        assert others(journal.results, "built/") == "mine"
        written = page(
            {}, matrix(journal.results), tally({}), [], Size(1, 0, 1.0), "another", complete=True, built="mine"
        )
    assert "by the program mine" in written
    assert "within the 12.6 s" in written


def test_an_orphan_may_last_a_lease_and_a_sweep_by_slow_clocks() -> None:
    scenario = evolve(draw_scenario(1), faults=())
    timed = evolve(scenario.transfer, lease_s=3.0, heartbeat_s=0.5, max_flight_s=1.0, clock_error=0.0)
    assert bound_s(evolve(scenario, transfer=timed)) == 3.5
    pause = Fault(kind="pause", machine="decode-0", at_s=1.0, heal_after_s=2.0)
    assert bound_s(evolve(scenario, transfer=timed, faults=(pause,))) == 5.5
    assert bound_s(scenario) == pytest.approx((10.0 + 2.0) / 0.95)
    assert bound_s(base("put")) == pytest.approx((4.0 + 0.02) / 0.95)
    long = evolve(timed, max_flight_s=4.0)
    assert bound_s(evolve(scenario, transfer=long)) == pytest.approx(1.0 + 4.0 + 0.75 + 0.5), "flights as long as that"
