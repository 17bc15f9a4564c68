"""What a machine's core hears of its own node, beside messages, and what it plans at a step boundary.

Values alone: what follows from them is decided in `emu.control.machine`.
"""

from __future__ import annotations

from typing import NamedTuple

from attrs import frozen

from emu.control.batch import Batch, StepResult
from emu.control.commands import Command
from emu.control.messages import (
    Abandon,
    Acknowledge,
    Assign,
    Audit,
    Cancel,
    Garbled,
    Grant,
    Heartbeat,
    Inquire,
    Offer,
    Reserve,
    Signal,
    SourceGone,
    Unknown,
    Welcome,
)
from emu.control.transfer.chunks import LayerRange


class Drained(NamedTuple):
    """The last put that this machine had posted for an attempt has completed: number `put`, if any went again."""

    request_id: int
    attempt: int
    put: int = 1


class PutFailed(NamedTuple):
    """A put that this machine had posted for an attempt has ended in an error, and so has what was posted behind it.

    Of all that, these layers have not arrived; none: nobody knows which.
    """

    request_id: int
    attempt: int
    layers: tuple[LayerRange, ...] = ()


class Unwanted(NamedTuple):
    """The clients of these requests take no more tokens of these attempts, which decode here."""

    attempts: tuple[tuple[int, int], ...]  # (request, attempt)


class Mismatch(NamedTuple):
    """A signal came, and for these layers its checksums are not those of the blocks that it names."""

    signal: Signal
    layers: tuple[LayerRange, ...]


class Plan(NamedTuple):
    """What a step boundary leads to: `before` it, the batch that runs from now on, and what goes `after` its start."""

    before: tuple[Command, ...]
    batch: Batch | None
    after: tuple[Command, ...]
    gone: tuple[int, ...] = ()  # with no batch that says so: who has left since the last one
    grown: tuple[tuple[int, int], ...] = ()  # and blocks lent since then, as (request, block)


@frozen(eq=False, repr=False)
class Tick:
    """Time to send heartbeats and to sweep leases."""


Event = (
    Assign
    | Reserve
    | Grant
    | Offer
    | Signal
    | Acknowledge
    | Abandon
    | Heartbeat
    | StepResult
    | Drained
    | PutFailed
    | Garbled
    | Mismatch
    | Tick
    | Unwanted
    | Cancel
    | SourceGone
    | Audit
    | Welcome
    | Inquire
    | Unknown
)
