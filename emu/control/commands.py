"""What a core asks its node to carry out: frozen, in the imperative, and complete, so that the node decides nothing."""

# no annotations from __future__ here: NamedTuple compiles each one that is text, 0.2 M instructions a class
from typing import NamedTuple

from emu.control.messages import Acknowledge, Grant, Message, Offer, Signal
from emu.control.request import Request
from emu.control.transfer.chunks import LayerRange


class Send(NamedTuple):
    """Send a control message to a machine."""

    machine: int
    message: Message


class Report(NamedTuple):
    """Send a control message to the router."""

    message: Message


class Lend(NamedTuple):
    """Blocks were lent to a reservation: note it, and send the grant to the prefill machine."""

    machine: int
    message: Grant
    blocks: int
    reserve_sent_ps: int


class Put(NamedTuple):
    """Post one-sided writes of these layers of a prompt's cache; with `follow`, each as soon as it is computed."""

    request_id: int
    attempt: int
    target: int
    source_blocks: tuple[int, ...]
    target_loan: int
    target_blocks: tuple[int, ...]
    prompt_tokens: int
    layers: LayerRange
    follow: bool


class MakeOffer(NamedTuple):
    """Offer a cache to the decode machine."""

    machine: int
    message: Offer


class Fetch(NamedTuple):
    """Post a read of `source`'s blocks: what `put` would do there. Its completion is `done`.

    If it is the `first` of its attempt, `blocks` were lent for it: note it.
    """

    source: int
    put: Put
    done: Signal
    blocks: int
    first: bool
    asked_ps: int


class PostSignal(NamedTuple):
    """Post the signal behind the puts already posted on this connection."""

    target: int
    signal: Signal


class WatchDrain(NamedTuple):
    """Say when the last put posted for this attempt has completed."""

    request_id: int
    attempt: int


class Commit(NamedTuple):
    """A cache is whole on this machine: note it, and acknowledge to the prefill machine."""

    machine: int
    message: Acknowledge
    layers: tuple[LayerRange, ...]
    loan: int
    blocks: int


class Release(NamedTuple):
    """Blocks of a transfer's end went back to the pool: note it. `reason` is acknowledged, abandoned or expired."""

    request_id: int
    attempt: int
    loan: int
    blocks: int
    reason: str
    sent_ps: int  # of the message that led to it; -1 where none did


class Preempt(NamedTuple):
    """A sequence gave its blocks back and will be recomputed: note it."""

    request_id: int
    attempt: int
    delivered: int
    loan: int
    blocks: int


class End(NamedTuple):
    """The request is over on this machine: tell its client and the router. `blocks` went back from `loan`."""

    request: Request
    attempt: int
    status: str
    reason: str
    delivered: int
    loan: int
    blocks: int


class Reject(NamedTuple):
    """The router refuses a request, which has cost nothing."""

    request: Request
    reason: str


class Place(NamedTuple):
    """The router chose the machines of an attempt. `step` is the placement step that decided, 1 to 5."""

    request_id: int
    attempt: int
    prefill_machine: int
    decode_machine: int
    step: int
    believed_prompt_tokens: int
    believed_free_blocks: int
    resumed: int = 0  # tokens of the answer that it goes on behind


class MoveMachine(NamedTuple):
    """A machine serves another pool from now on; its home pool may have changed too."""

    machine: int
    pool: str
    home: str


class AttemptOver(NamedTuple):
    """An attempt is over on this machine without an end of its request: note it. `blocks` went back from `loan`."""

    request_id: int
    attempt: int
    reason: str
    delivered: int
    loan: int
    blocks: int


class DeclareDead(NamedTuple):
    """The router takes this incarnation of a machine for dead: note it."""

    machine: int
    incarnation: int
    reason: str


class Admit(NamedTuple):
    """A machine that was declared dead takes work again: note it."""

    machine: int
    incarnation: int


class Fence(NamedTuple):
    """An attempt is given up: its client is to take nothing more of it. Say `Fenced` with what the client has."""

    request_id: int
    attempt: int
    reason: str


class Fail(NamedTuple):
    """The router fails a request, after so many attempts: tell its client."""

    request: Request
    attempt: int
    reason: str


class Claim(NamedTuple):
    """This router has taken a request over: its client is to listen to no older one about it. Say `Claimed`."""

    request_id: int


Command = (
    Send
    | Report
    | Lend
    | Put
    | MakeOffer
    | Fetch
    | PostSignal
    | WatchDrain
    | Commit
    | Release
    | Preempt
    | End
    | Reject
    | Place
    | MoveMachine
    | AttemptOver
    | DeclareDead
    | Admit
    | Fence
    | Fail
    | Claim
)
