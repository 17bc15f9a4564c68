"""What a turn of the control plane adds to a step: the part that steps measured without one do not hold.

Between two steps of a machine its node counts the last one, asks its core for the next batch and has it launched, in a
process that it shares with the other machines and the router. That time is found by comparing the steps of a whole
cluster's run with the same steps measured alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from emu.real.rows import PrefillRow, StepRow, TurnRow
from emu.record.entries import Entry, StepFinished, StepStarted, TransferStarted


class Turn(NamedTuple):
    """Milliseconds: of a turn before a step that only decodes, and before one that has prompts, which must be laid out;
    and for each decoding sequence."""

    base_ms: float
    sequence_ms: float
    prefill_ms: float
    steps: int  # that it was found from

    def ms(self, row: StepRow) -> float:
        each_ms = 0.0 if row.phase == "prefill" else self.sequence_ms * row.batch
        return each_ms + (self.base_ms if row.phase == "decode" else self.prefill_ms)


def turn_of(rows: Sequence[StepRow], entries: Iterable[Entry]) -> Turn:
    """The least-squares line, over the sequences of a batch, of how much longer the record's decode steps take than
    `rows` say; and the median of that over its prefills of one prompt whose cache does not follow it, 0 where there are
    none. Raises ValueError where the record has no decodes, or rows none."""
    grid = _grid(rows)
    single = _single(rows)
    started: dict[int, StepStarted] = {}
    found: list[tuple[int, float]] = []
    prefills: list[float] = []
    for entry in entries:
        if type(entry) is StepStarted:
            started[entry.machine] = entry
        elif type(entry) is StepFinished and not entry.prompt_tokens:
            found.append(_longer(grid, started[entry.machine], entry))
        elif type(entry) is StepFinished and single and not entry.sequences:
            batch = started[entry.machine]
            if len(batch.prefills) == 1 and not batch.layer_wise:
                prefills.append(entry.first_step_ps / 1e9 - _between(single, entry.prompt_tokens))
    if not found:
        raise ValueError("a record without decode steps")
    sizes, extra_ms = zip(*found, strict=True)
    prefill_ms = statistics.median(prefills) if prefills else 0.0
    if len(set(sizes)) < 2:
        return Turn(statistics.fmean(extra_ms), 0.0, prefill_ms, len(found))
    slope, base_ms = statistics.linear_regression(sizes, extra_ms)
    return Turn(base_ms, slope, prefill_ms, len(found))


def turn_rows(rows: Sequence[StepRow], entries: Iterable[Entry], turn: Turn) -> Iterator[TurnRow]:
    """How the record's decode steps scatter: what each takes beyond `rows` and `turn`."""
    grid = _grid(rows)
    started: dict[int, StepStarted] = {}
    for entry in entries:
        if type(entry) is StepStarted:
            started[entry.machine] = entry
        elif type(entry) is StepFinished and not entry.prompt_tokens:
            sequences, extra_ms = _longer(grid, started[entry.machine], entry)
            yield TurnRow(sequences, extra_ms - turn.base_ms - turn.sequence_ms * sequences)


def prefill_rows(rows: Sequence[StepRow], entries: Iterable[Entry], turn: Turn) -> Iterator[PrefillRow]:
    """The record's prefills of one prompt that nothing decodes beside, beside `rows` and `turn`."""
    single = _single(rows)
    started: dict[int, StepStarted] = {}
    ended: dict[int, int] = {}  # the latest step with prompts, by machine
    posted: dict[int, list[int]] = {}  # when caches in one piece were, by machine
    for entry in entries:
        if type(entry) is TransferStarted and not entry.follows:
            posted.setdefault(entry.source, []).append(entry.at_ps)
        elif type(entry) is StepStarted:
            started[entry.machine] = entry
        elif type(entry) is StepFinished and entry.prompt_tokens:
            batch, machine = started[entry.machine], entry.machine
            if single and len(batch.prefills) == 1 and not entry.sequences:
                behind = int(ended.get(machine) == batch.at_ps)
                launches = posted.get(machine, []).count(batch.at_ps)
                alone_ms = _between(single, entry.prompt_tokens) + turn.prefill_ms
                took_ms, tokens = entry.first_step_ps / 1e9, entry.prompt_tokens
                yield PrefillRow(batch.layer_wise, behind, launches, tokens, took_ms, alone_ms)
            ended[machine] = entry.at_ps


def _single(rows: Iterable[StepRow]) -> list[tuple[float, float]]:
    """(tokens, ms) of the prefills of one prompt alone."""
    return sorted((row.context, row.ms) for row in rows if (row.phase, row.batch) == ("prefill", 1))


def _grid(rows: Iterable[StepRow]) -> dict[int, list[tuple[float, float]]]:
    """(context of each, ms) of the decode steps alone, by their sequences."""
    grid: dict[int, list[tuple[float, float]]] = {}
    for row in rows:
        if row.phase == "decode":
            grid.setdefault(row.batch, []).append((row.context, row.ms))
    return grid


def _longer(
    grid: dict[int, list[tuple[float, float]]], started: StepStarted, finished: StepFinished
) -> tuple[int, float]:
    """The sequences of a decode step, and how many ms more it took than alone."""
    sequences = finished.sequences
    return sequences, finished.first_step_ps / 1e9 - _alone_ms(grid, sequences, started.context_tokens / sequences)


def _alone_ms(grid: dict[int, list[tuple[float, float]]], sequences: int, context: float) -> float:
    """Linear in the context of each, then in the sequences; beyond the grid its edge."""
    if not grid:
        raise ValueError("no decode steps were measured")
    return _between([(float(size), _between(sorted(row), context)) for size, row in sorted(grid.items())], sequences)


def _between(points: Sequence[tuple[float, float]], x: float) -> float:
    if x <= points[0][0]:
        return points[0][1]
    for (left, low), (right, high) in pairwise(points):
        if x <= right:
            return low + (high - low) * (x - left) / (right - left)
    return points[-1][1]
