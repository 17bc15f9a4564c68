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
    follows layer by layer, whose steps take `layer_wise_prefill_ms`."""

    prompt_tokens: int
    ms: float
    remainder_ms: float
    layer_wise_prefill_ms: float
    runs: int


class TransferRow(NamedTuple):
    """One transfer of a run. `mode` is "serialized" or "layer-wise", `busy` whether its sender began another prefill
    before it was over; of its `bytes` so many as `visible_bytes` could only go when the prefill had ended."""

    mode: str
    busy: int
    bytes: int
    visible_bytes: int
    remainder_ms: float
