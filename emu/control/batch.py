"""Batch: what a machine-level scheduler asks its worker to run, and StepResult: what came of it.

A worker keeps the decoding sequences between steps, as vLLM's workers do, so a Batch names what changed since the
machine's last one. A prompt, a recomputed cache and a decode step are the same thing, a slice, with other numbers.
How long a step takes must stay out of here.
"""

import enum
from typing import NamedTuple, TypeAlias

from attrs import frozen


class Kind(enum.Enum):
    """What a slice computes."""

    PREFILL = 0  # a prompt
    RECOMPUTE = 1  # the cache of a preempted sequence: prompt and delivered tokens
    DECODE = 2  # one token a step, from this batch on until the sequence is named in `left`


@frozen
class Slice:
    """Positions `first` to `first + count - 1` of one request, in the blocks named (in order of position)."""

    request_id: int
    attempt: int
    first: int
    count: int
    kind: Kind
    loan: int
    blocks: tuple[int, ...]


class Batch(NamedTuple):
    """One batch: its prompts run for one step, its decoding sequences for up to `max_steps` steps.

    `grown` are blocks lent to decoding sequences since the machine's last batch, as (request, block) in the order in
    which they were lent. `changed` is false where the last batch simply goes on.
    """

    prefills: tuple[Slice, ...]
    joined: tuple[Slice, ...]
    left: tuple[int, ...]
    grown: tuple[tuple[int, int], ...]
    sequences: int  # decoding in this batch
    context_tokens: int  # that they read in its first step, all together
    max_steps: int
    prompt_tokens: int  # of its prefills
    layer_wise: bool  # caches of this batch leave layer by layer, which costs a synchronisation a layer
    changed: bool


InStep: TypeAlias = tuple[tuple[int, int, int], ...]
"""Who is in a step: request, attempt, and the tokens delivered before it."""


class StepResult(NamedTuple):
    """`steps` steps of the running batch were done; `stopped` are the requests whose last token came in the last."""

    steps: int
    stopped: tuple[int, ...]
