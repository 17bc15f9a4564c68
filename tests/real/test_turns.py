"""What a turn adds to steps: the difference between steps in a run and the same steps alone."""

import pytest

from emu.real.rows import StepRow
from emu.real.turns import turn_of
from emu.record.entries import Entry, PrefillSlice, StepFinished, StepStarted

MS = 10**9
ALONE = [
    StepRow(phase, batch, context, batch + context / 100, 1)
    for phase, batch, context in [("decode", 1, 100), ("decode", 1, 300), ("decode", 5, 100), ("decode", 5, 300)]
] + [StepRow("prefill", 1, 100, 50.0, 1)]


def run_of(*steps: tuple[int, int, float]) -> list[Entry]:
    """A prefill, and decode steps of so many sequences, each with so much context, that took so many ms."""
    entries: list[Entry] = [
        StepStarted(0, 0, (), (), (), 0, 0, 0, 0, 9),
        StepFinished(MS, 0, 0, 1, 0, 700, MS, 0, 0, 0, 0),
    ]
    for sequences, context, took_ms in steps:
        entries += [
            StepStarted(0, 1, (), (), (), sequences, sequences * context, 0, 0, 9),
            StepFinished(MS, 1, 0, 1, sequences, 0, round(took_ms * MS), 0, 0, 0, 0),
        ]
    return entries


def test_a_turn_is_found_between_the_cells_that_were_measured() -> None:
    turn = turn_of(ALONE, run_of((1, 200, 3.0 + 0.3), (3, 150, 4.5 + 0.5), (5, 300, 8.0 + 0.7)))
    assert turn.base_ms == pytest.approx(0.2)
    assert turn.sequence_ms == pytest.approx(0.1)
    assert turn.ms(StepRow("decode", 7, 300, 8.0, 1)) == pytest.approx(0.9)
    assert turn.steps == 3


def test_beyond_the_grid_its_edge_stands() -> None:
    assert turn_of(ALONE, run_of((9, 999, 8.5), (9, 5, 6.5))).base_ms == pytest.approx(0.5)


def test_one_size_says_nothing_of_sequences() -> None:
    turn = turn_of(ALONE, run_of((5, 100, 6.4), (5, 100, 6.2)))
    assert turn.base_ms == pytest.approx(0.3)
    assert turn[1:] == (0.0, 0.0, 2)


def test_a_turn_before_a_prefill_is_the_median_of_single_prompts_that_nothing_follows() -> None:
    entries = run_of((5, 100, 6.4))
    for ms, prompts, layer_wise in [(52.0, 1, 0), (51.0, 1, 0), (59.0, 1, 0), (99.0, 2, 0), (99.0, 1, 1)]:
        entries += [
            StepStarted(0, 0, (PrefillSlice(0, 0, 0, 9, 0, 1, 1),) * prompts, (), (), 0, 0, layer_wise, 0, 9),
            StepFinished(MS, 0, 0, 1, 0, 70, round(ms * MS), 0, 0, 0, 0),
        ]
    turn = turn_of(ALONE, entries)
    assert turn.prefill_ms == pytest.approx(2.0)
    assert turn.ms(ALONE[-1]) == turn.prefill_ms


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="without decode steps"):
        turn_of(ALONE, run_of())
    with pytest.raises(ValueError, match="no decode steps were measured"):
        turn_of(ALONE[4:], run_of((1, 100, 2.0)))
