"""Request, its phases, and the table of legal phase moves.

The table is the whole state machine of a request on a machine. What a request's output will be is not known here and
must stay out: control sees the prompt's length and the client's `max_tokens`, no more.
"""

import enum
from typing import Final, NamedTuple

from attrs import define

from emu.control.blocks import Loan


class Request(NamedTuple):
    """What a client asks for: lengths in tokens, the arrival in picoseconds of the router's clock.

    Of the prompt, `resumed_tokens` are the answer so far, which earlier attempts have delivered: then `max_tokens` are
    those that it asks for beyond them.
    """

    request_id: int
    prompt_tokens: int
    max_tokens: int
    arrived_ps: int
    resumed_tokens: int = 0


def resumed(request: Request, delivered: int) -> Request:
    """The request for what is missing behind so many tokens, of a client that has them; 0 for the request itself."""
    more = delivered - request.resumed_tokens
    return request._replace(
        prompt_tokens=request.prompt_tokens + more, max_tokens=request.max_tokens - more, resumed_tokens=delivered
    )


class Phase(enum.Enum):
    """Where an attempt of a request stands on the machine that holds it."""

    __hash__ = object.__hash__  # members are singletons, and Enum's own hash is a Python call

    QUEUED = "queued"  # waits for its prefill, the first one or the one that recomputes a preempted cache
    PREFILLING = "prefilling"
    HANDING_OVER = "handing over"  # its cache is on its way from the prefill to the decode machine
    READY = "ready"  # its cache is whole on this machine; it joins the next batch
    DECODING = "decoding"
    ENDED = "ended"


class Move(enum.Enum):
    """What happens to an attempt."""

    __hash__ = object.__hash__  # members are singletons, and Enum's own hash is a Python call

    START_PREFILL = "start prefill"
    HAND_OVER = "hand over"
    COMMIT = "commit"
    PREFILLED = "prefilled"  # and both phases run here
    JOIN = "join"
    SIT_OUT = "sit out"  # no room in a mixed batch; the cache stays
    PREEMPT = "preempt"
    END = "end"


MOVES: Final[dict[tuple[Phase, Move], Phase]] = {
    (Phase.QUEUED, Move.START_PREFILL): Phase.PREFILLING,
    (Phase.QUEUED, Move.END): Phase.ENDED,
    (Phase.PREFILLING, Move.PREFILLED): Phase.READY,
    (Phase.PREFILLING, Move.HAND_OVER): Phase.HANDING_OVER,
    (Phase.PREFILLING, Move.END): Phase.ENDED,
    (Phase.HANDING_OVER, Move.COMMIT): Phase.READY,
    (Phase.HANDING_OVER, Move.END): Phase.ENDED,
    (Phase.READY, Move.JOIN): Phase.DECODING,
    (Phase.READY, Move.END): Phase.ENDED,
    (Phase.DECODING, Move.SIT_OUT): Phase.READY,
    (Phase.DECODING, Move.PREEMPT): Phase.QUEUED,
    (Phase.DECODING, Move.END): Phase.ENDED,
}


class IllegalMove(Exception):
    """A move that the table does not hold: a bug. Nothing was changed."""


@define(eq=False, repr=False)
class Sequence:
    """An attempt of a request on one machine; mutable, and never leaves the core that owns it.

    `delivered` counts the tokens that the client has. While the sequence decodes it is the count at decode step
    `base_step` of its machine: every later step has added one (see `decode.Decoder.delivered`).
    """

    request: Request
    attempt: int
    phase: Phase
    peer: int  # the machine of the other phase; this machine's own index where both run here
    loan: Loan | None = None
    delivered: int = 0
    base_step: int = 0
    preemptions: int = 0
    sat_out: int = 0

    @property
    def told(self) -> int:
        """The tokens that the client has of all attempts, as `delivered` counts those of this one."""
        return self.request.resumed_tokens + self.delivered

    def move(self, move: Move) -> None:
        """Take `move`; raises IllegalMove, and changes nothing, where the table does not hold it."""
        after = MOVES.get((self.phase, move))
        if after is None:
            raise IllegalMove(f"request {self.request.request_id} is {self.phase.value}: cannot {move.value}")
        self.phase = after
