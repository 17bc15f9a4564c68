"""What a real world measures of itself, row by row. Plain values: how they are found stands in `measure`."""

from __future__ import annotations

from typing import NamedTuple


class StepRow(NamedTuple):
    """Medians; `context` are the tokens of each prompt, or the cached ones of each sequence."""

    phase: str
    batch: int
    context: int
    ms: float
    runs: int


class CopyRow(NamedTuple):
    """Of one prompt's cache, in one piece, from the post to its landing; and what stays behind a prefill that it
    follows layer by layer, whose steps take `layer_wise_prefill_ms`."""

    prompt_tokens: int
    ms: float
    remainder_ms: float
    layer_wise_prefill_ms: float
    runs: int
