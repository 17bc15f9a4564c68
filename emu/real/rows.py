"""What a real world measures of itself, row by row. Plain values: how they are found stands in `measure`."""

from __future__ import annotations

from typing import NamedTuple


class StepRow(NamedTuple):
    """Medians; `context` are the tokens of each prompt, or the cached ones of each sequence. In a mixed step `batch`
    sequences decode beside one prompt of `mixed_prompt_tokens`."""

    phase: str
    batch: int
    context: int
    ms: float
    runs: int
    mixed_prompt_tokens: int = 0


class CopyRow(NamedTuple):
    """Of one prompt's cache, in one piece, from the post to its landing; and what stays behind a prefill that it
    follows layer by layer, whose steps take `layer_wise_prefill_ms`. A prefill that nothing follows takes `prefill_ms`,
    and `next_prefill_ms` where a cache in one piece was posted just before it."""

    prompt_tokens: int
    ms: float
    remainder_ms: float
    layer_wise_prefill_ms: float
    runs: int
    prefill_ms: float
    next_prefill_ms: float


class TurnRow(NamedTuple):
    """One decode step of a run: its sequences, and what it took beyond the same step alone and a turn, of either
    sign."""

    sequences: int
    over_ms: float


class PrefillRow(NamedTuple):
    """One prefill of one prompt in a run: `ms` in the place of `alone_ms`, which such a step takes alone with a turn.
    `behind`: it began when another ended; `launches`: caches in one piece that were posted just then."""

    layer_wise: int
    behind: int
    launches: int
    prompt_tokens: int
    ms: float
    alone_ms: float


class TransferRow(NamedTuple):
    """One transfer of a run. `mode` is "serialized" or "layer-wise", `busy` whether its sender began another prefill
    before it was over; of its `bytes` so many as `visible_bytes` could only go when the prefill had ended."""

    mode: str
    busy: int
    bytes: int
    visible_bytes: int
    remainder_ms: float
