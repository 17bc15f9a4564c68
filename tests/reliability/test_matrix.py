"""The matrix of moves: faults are aimed at stays that the world without them had, and strike there."""

import json

import pytest

from emu.record import entries as e
from emu.reliability.aims import fill
from emu.reliability.built import BUILT, fill_built
from emu.reliability.matrix import COLUMNS, UNREACHABLE, WANTED, Matrix, moves
from emu.reliability.trace import trace
from emu.scenario.draw import draw_scenario


def test_a_trace_has_every_attempt_move_from_state_to_state() -> None:
    traced = trace(draw_scenario(3))
    assert traced.broken == ()
    attempts = [stay for stay in traced.stays if stay.move[0] == "attempt"]
    assert {stay.move for stay in traced.stays} <= set(moves())
    first = [stay for stay in attempts if stay.move[1:] == ("queued", "start prefill")]
    arrived = sum(isinstance(entry, e.Arrived) for entry in traced.entries)
    assert len(first) >= arrived
    assert all(stay.start_ps <= stay.end_ps for stay in traced.stays)


def test_a_few_worlds_reach_the_moves_that_every_request_makes() -> None:
    matrix = fill(range(1))
    assert matrix.broken == []
    usual = ("attempt", "queued", "start prefill")  # whatever machines the world has
    assert matrix.reached[usual, "crash source"] > 0
    assert matrix.reached[usual, "lose"] > 0
    assert max(matrix.reached.values()) == 10
    again = fill(range(1), matrix.done())
    assert not any(again.reached[cell] for cell in matrix.done())
    assert Matrix.of(json.loads(json.dumps(matrix.document()))).document() == matrix.document()


def test_cells_that_were_not_reached_say_why() -> None:
    matrix = Matrix()
    assert matrix.why_not(("source", "granted", "compute"), "lose") == "no message makes this move"
    assert matrix.why_not(("source", "open", "grant"), "lose") == "the move was never met"


@pytest.mark.parametrize("name", BUILT)
def test_a_built_world_makes_its_moves_often_and_late(name: str) -> None:
    world, made = BUILT[name]
    traced = trace(world())
    assert traced.broken == ()
    assert set(made) <= set(moves())
    for move in made:
        stays = [stay for stay in traced.stays if stay.move == move and stay.end_ps - stay.start_ps > 2 * 10**11]
        assert len(stays) >= WANTED


def test_an_acknowledgement_that_comes_while_its_source_drains_is_struck() -> None:
    move, column = ("source", "draining", "acknowledge"), "cancel"
    others = frozenset((move, other) for other in COLUMNS if other != column)
    matrix = fill_built("draining", others)
    assert matrix.broken == []
    assert matrix.reached[move, column] == WANTED
    assert set(matrix.tried) == {(move, column)}


def test_what_cannot_be_reached_says_so_and_is_not_aimed_at() -> None:
    matrix = Matrix()
    for (move, column), reason in UNREACHABLE.items():
        assert move in moves()
        assert column in COLUMNS
        assert not matrix.wants(move, column)
        assert matrix.why_not(move, column) == reason
