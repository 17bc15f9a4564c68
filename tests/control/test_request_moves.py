"""The table of a request's phases: what it allows happens, what it does not raises and changes nothing."""

import pytest

from emu.control.request import MOVES, IllegalMove, Move, Phase, Request, Sequence

REQUEST = Request(7, 100, 10, 0)


@pytest.mark.parametrize("move", Move)
@pytest.mark.parametrize("phase", Phase)
def test_every_move_in_every_phase(phase: Phase, move: Move) -> None:
    sequence = Sequence(REQUEST, 0, phase, 1, delivered=3)
    after = MOVES.get((phase, move))
    if after is None:
        with pytest.raises(IllegalMove, match=f"request 7 is {phase.value}: cannot {move.value}"):
            sequence.move(move)
    else:
        sequence.move(move)
    assert (sequence.phase, sequence.delivered, sequence.loan) == (after or phase, 3, None)


def test_every_phase_can_be_reached_and_only_the_end_has_no_way_out() -> None:
    reached, frontier = {Phase.QUEUED}, [Phase.QUEUED]
    while frontier:
        phase = frontier.pop()
        for (before, _), after in MOVES.items():
            if before is phase and after not in reached:
                reached.add(after)
                frontier.append(after)
    assert reached == set(Phase)
    assert {phase for phase in Phase if not any(before is phase for before, _ in MOVES)} == {Phase.ENDED}


def test_a_request_can_end_in_every_phase_before_the_end() -> None:
    assert all(MOVES[phase, Move.END] is Phase.ENDED for phase in Phase if phase is not Phase.ENDED)


def test_every_move_is_of_use() -> None:
    assert {move for _, move in MOVES} == set(Move)
