"""Rows: what a moment of a record is made of, while it is folded.

One class a thing: a request, a transfer, a loan that a transfer holds, a machine. They are mutable and belong to
`emu.view.state` alone; whoever draws gets the frozen values of `emu.view.cluster`.
"""

from __future__ import annotations

import enum
from typing import Final

from attrs import define, field

from emu.record.entries import PrefillSlice

NEVER: Final = -1  # in the place of a time, a machine or a request
PROMPT_TOKENS: Final = 500  # take about as long as the part of a prefill that does not depend on them

Key = tuple[int, int]  # request, attempt


class Phase(enum.IntEnum):
    """What a request does. The words of the screens stand in `PHASE_WORDS`."""

    ARRIVED = 0
    ASSIGNED = 1
    QUEUED = 2
    PREFILLING = 3
    HANDING_OVER = 4
    READY = 5
    DECODING = 6
    PREEMPTED = 7
    ENDED = 8


PHASE_WORDS: Final = (
    "at the router",
    "assigned",
    "queued",
    "prefill",
    "transfer",
    "ready",
    "decode",
    "preempted",
    "ended",
)

ARRIVED, ASSIGNED, QUEUED, PREFILLING, HANDING_OVER, READY, DECODING, PREEMPTED, ENDED = map(int, Phase)


class Hold(enum.IntEnum):
    """Why blocks are lent to a transfer's end: computed and not handed over, or reserved for what will come."""

    SOURCE = 0
    TARGET = 1


SOURCE, TARGET = map(int, Hold)


@define(eq=False)
class RequestRow:
    """One open request. Times are picoseconds of virtual time."""

    request: int
    arrived_ps: int
    prompt_tokens: int
    max_tokens: int
    attempt: int = NEVER
    prefill_machine: int = NEVER
    decode_machine: int = NEVER
    step: int = 0  # of the placement
    phase: int = ARRIVED
    since_ps: int = 0  # when that phase began
    prefill_start_ps: int = NEVER
    first_token_ps: int = NEVER
    delivered: int = 0  # tokens, without those of the batch that it is in
    joined_step: int = 0  # steps that its machine had run when it joined
    preemptions: int = 0
    wants_blocks: int = 0  # of a reservation that has none yet
    asked_ps: int = NEVER  # since when the reservation waits
    granted_ps: int = NEVER  # the source has the grant
    lost: int = 0  # attempts that the router gave up
    tries: int = 0  # attempts that were placed


@define(eq=False)
class TransferRow:
    """One attempt's cache on its way. Layers are counted; bytes of the puts that were posted, and have landed."""

    source: int
    target: int
    request: int
    attempt: int
    started_ps: int
    layers: int = 0
    posted_bytes: int = 0
    landed_layers: int = 0
    landed_bytes: int = 0
    landed_ps: int = NEVER
    committed_ps: int = NEVER
    lost: int = 0  # puts that landed nowhere
    follows: int = 0  # its layers go as they are computed


@define(eq=False)
class LoanRow:
    """Blocks of one end of a transfer; `side` is a Hold."""

    side: int
    blocks: int
    since_ps: int


@define(eq=False)
class MachineRow:
    """One machine. `used_blocks` are all that are lent, whatever for."""

    pool: int
    home: int
    used_blocks: int = 0
    queue: dict[Key, int] = field(factory=dict)  # prompts that wait, since when
    reservations: dict[Key, int] = field(factory=dict)  # that wait for blocks, since when
    loans: dict[Key, LoanRow] = field(factory=dict)
    decoding: dict[int, None] = field(factory=dict)  # in the order in which they joined
    prefills: tuple[PrefillSlice, ...] = ()
    busy: bool = False
    started_ps: int = 0  # of the batch that runs, or when the last one ended
    sequences: int = 0
    context_tokens: int = 0
    steps: int = 0
    step_ps: int = NEVER  # the last decode step
    prefill_ps: int = NEVER  # the last prefill step, by token and PROMPT_TOKENS more
    busy_ps: int = 0
    tokens: int = 0
    believed_tokens: int = NEVER
    believed_tokens_ps: int = NEVER
    believed_free: int = NEVER
    believed_free_ps: int = NEVER
    put_ps: int = NEVER  # a megabyte of its last put that followed no prefill
    refused_ps: int = NEVER  # when a put to it last landed nowhere
    taken_ps: int = NEVER  # when one last landed
    mute_ps: int = NEVER  # since when it was last cut off, paused or down
    heard_ps: int = NEVER  # since when it no longer is
    down_ps: int = NEVER  # since when it is down
    away: bool = False  # it is down because it was told to leave, or has not joined yet
    dead_ps: int = NEVER  # since when the router takes it for dead
    incarnation: int = 0


@define(eq=False)
class FaultRow:
    """A fault that lasts; `kind` is a FaultCode, machine and peer are below 0 where it names none."""

    at_ps: int
    kind: int
    machine: int
    peer: int
