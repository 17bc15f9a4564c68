"""Contract: what is noted when a policy of one's own breaks its contract, and the traceback that goes with it.

The record gets an entry of integers, which the law `policy-contract` reads; the policy's own words are kept beside it,
since no name may reach the digest. What is done in the policy's place is decided by whoever asked it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Final

from attrs import define, field

from emu.record.entries import PolicyBroke, PolicyFault, PolicySeat

KEPT: Final = 3  # breaches that are kept in words


@define(eq=False, repr=False)
class Contract:
    """Of all policies of one run. `write` takes entries, `now` says when it is, in picoseconds."""

    write: Callable[[PolicyBroke], None]
    now: Callable[[], int]
    words: list[str] = field(init=False, factory=list)

    def broken(self, seat: PolicySeat, machine: int, fault: PolicyFault, words: str) -> None:
        """`machine` is -1 for the router."""
        self.write(PolicyBroke(self.now(), machine, int(seat), int(fault)))
        if len(self.words) < KEPT:
            self.words.append(words)

    def raised(self, seat: PolicySeat, machine: int, error: Exception) -> None:
        """The policy raised `error`: its own traceback is kept, less the frame that called it."""
        inner = error.__traceback__.tb_next if error.__traceback__ else None
        text = "".join(traceback.format_exception(type(error), error, inner or error.__traceback__))
        self.broken(seat, machine, PolicyFault.RAISED, text.rstrip())


def shown(answer: object) -> str:
    """An answer on one short line."""
    written = repr(answer)
    return written if len(written) <= 80 else written[:77] + "..."
