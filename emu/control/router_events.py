"""What the router hears of its own node, beside messages, and what it keeps of a request that is open.

Values alone: what follows from them is decided in `emu.control.router`, `recovery`, `retries` and `takeover`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from emu.control.messages import Submit

NOWHERE: Final = -1


class Open(NamedTuple):
    """An open request: its latest attempt and that attempt's machines, NOWHERE while it waits for its next attempt."""

    submit: Submit
    attempt: int
    prefill: int
    decode: int
    placed_ps: int


class Fenced(NamedTuple):
    """The client takes nothing more of that attempt, and has `delivered` tokens; -1: the request is over for it."""

    request_id: int
    attempt: int
    delivered: int


class Begin(NamedTuple):
    """To a router that takes over: it is in its place now."""


class Claimed(NamedTuple):
    """The client's answer to a new router: the latest attempt that it takes no more, -1 for none; None: all is over."""

    request_id: int
    given_up: int | None
