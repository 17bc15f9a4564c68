"""The playhead: plays by the clock that it is given, steps, seeks, follows, and never runs past what is written."""

from itertools import pairwise
from math import inf

import pytest
from kept_runs import faulty, hello, reader_of

from emu.view.survey import PS_PER_S
from tui.player import PACES, STEP_PS, Player


@pytest.fixture
def player() -> Player:
    return Player(reader_of(hello()), 2 * PS_PER_S)


def test_it_plays_at_its_pace(player: Player) -> None:
    player.tick(0.5, 1.0)
    assert player.at_ps == 2 * PS_PER_S
    player.toggle()
    player.tick(0.5, 1.0)
    assert player.at_ps == 2.5 * PS_PER_S
    player.pace = 0.1
    player.tick(1.0, 1.0)
    assert player.at_ps == 2.6 * PS_PER_S


def test_it_stops_at_the_end_and_starts_over(player: Player) -> None:
    player.pace = inf
    player.toggle()
    player.tick(0.01, 10.0)
    assert player.at_ps == player.end_ps
    assert not player.playing
    player.toggle()
    assert player.at_ps == 0


def test_a_budget_that_is_spent_leaves_the_rest_for_later(player: Player) -> None:
    player.pace = inf
    player.toggle()
    player.tick(0.01, 0.0)
    assert 2 * PS_PER_S < player.at_ps < player.end_ps
    assert player.playing


def test_it_steps_from_instant_to_instant_and_back(player: Player) -> None:
    moments = [player.at_ps]
    for _ in range(20):
        player.next_event()
        moments.append(player.at_ps)
    assert all(earlier < later for earlier, later in pairwise(moments))
    entries = player.view().entries
    for earlier in reversed(moments[1:-1]):
        player.event_before()
        assert player.at_ps == earlier
    assert player.view().entries < entries
    player.step(STEP_PS)
    assert player.at_ps == moments[1] + STEP_PS


def test_before_the_first_entry_there_is_nothing(player: Player) -> None:
    player.seek(0)
    player.event_before()
    assert player.at_ps == 0
    assert player.view().counts.arrived == 0
    player.seek(-5)
    assert player.at_ps == 0


def test_marks_are_gone_to_in_their_order() -> None:
    reader = reader_of(faulty())
    player = Player(reader)
    marks = reader.survey.marks
    first = player.to_mark(True, marks)
    assert first is not None
    assert first.words.startswith("FAULT pause: decode-1")
    assert player.at_ps == 4 * PS_PER_S
    second = player.to_mark(True, marks)
    assert second is not None
    assert second.at_ps > first.at_ps
    assert player.to_mark(False, marks) == first
    assert player.to_mark(False, marks) is None


def test_a_run_that_goes_on_is_followed(player: Player) -> None:
    live = Player(player.reader, live=True)
    live.told(player.reader.front_ps + PS_PER_S, live=True)
    live.tick(0.1, 1.0)
    assert live.at_ps == player.reader.front_ps + PS_PER_S
    live.step(-PS_PER_S)
    live.tick(0.1, 1.0)
    assert live.at_ps == player.reader.front_ps
    assert not live.clock().follow
    live.to_end()
    assert live.clock().follow
    live.told(0, live=False)
    live.tick(0.1, 1.0)
    assert live.at_ps == player.reader.front_ps + PS_PER_S


def test_paces_go_up_and_down_and_stay_in_their_range(player: Player) -> None:
    for pace in PACES[4:]:
        player.faster(1)
        assert player.pace == pace
    player.faster(1)
    assert player.pace == inf
    for _ in PACES:
        player.faster(-1)
    assert player.pace == PACES[0]
    player.pace = 3.0
    player.faster(1)
    assert player.pace in (2.0, 5.0)


def test_the_speed_that_is_reached_is_measured(player: Player) -> None:
    player.seek(0)
    player.pace = 2.0
    player.toggle()
    for _ in range(11):
        player.tick(0.1, 1.0)
    assert player.clock().reached == pytest.approx(2.0)
