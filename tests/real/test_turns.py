"""What a turn adds to steps: the difference between steps in a run and the same steps alone."""

import pytest

from emu.real.rows import StepRow
from emu.real.turns import Turn, prefill_rows, turn_of, turn_rows
from emu.record.entries import Entry, PrefillSlice, StepFinished, StepStarted, TransferStarted

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


def test_decode_steps_scatter_about_the_turn() -> None:
    entries = run_of((1, 200, 3.3), (3, 150, 4.5), (5, 300, 8.7))
    found = list(turn_rows(ALONE, entries, turn_of(ALONE, entries)))
    assert [row.sequences for row in found] == [1, 3, 5]
    assert sum(row.over_ms for row in found) == pytest.approx(0.0)
    assert found[1].over_ms == pytest.approx(-1 / 3)  # the line lies at 1/6, 1/3 and 1/2 above the steps alone


def test_a_prefill_is_behind_another_where_it_begins_as_that_ends() -> None:
    entries: list[Entry] = []

    def prefill(machine: int, from_ms: int, to_ms: int, prompts: int = 1, sequences: int = 0) -> None:
        slices = (PrefillSlice(0, 0, 0, 100, 0, 1, 1),) * prompts
        entries.append(StepStarted(from_ms * MS, machine, slices, (), (), sequences, 0, 0, 0, 9))
        took_ps = (to_ms - from_ms) * MS
        entries.append(
            StepFinished(to_ms * MS, machine, from_ms * MS, 1, sequences, 100 * prompts, took_ps, 0, 0, 0, 0)
        )

    def put(machine: int, at_ms: int, follows: int = 0) -> None:
        entries.append(TransferStarted(at_ms * MS, machine, 1, 0, 0, 0, 3, 99, follows))

    prefill(0, 0, 50)
    put(0, 50)
    put(0, 50, follows=1)
    put(1, 50)
    prefill(1, 50, 60)
    prefill(0, 50, 102)
    prefill(0, 102, 200, prompts=2)
    prefill(0, 200, 251)
    prefill(0, 251, 300, sequences=3)
    prefill(0, 301, 350)
    found = list(prefill_rows(ALONE, entries, Turn(0.0, 0.0, 0.5, 1)))
    assert [(row.behind, row.launches, row.ms) for row in found] == [
        (0, 0, 50.0),
        (0, 1, 10.0),
        (1, 1, 52.0),
        (1, 0, 51.0),
        (0, 0, 49.0),
    ]
    assert {(row.alone_ms, row.prompt_tokens, row.layer_wise) for row in found} == {(50.5, 100, 0)}
    assert not list(prefill_rows(ALONE[:4], entries, Turn(0.0, 0.0, 0.5, 1)))


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="without decode steps"):
        turn_of(ALONE, run_of())
    with pytest.raises(ValueError, match="no decode steps were measured"):
        turn_of(ALONE[4:], run_of((1, 100, 2.0)))
