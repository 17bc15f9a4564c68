"""Terms: which router said something. Each router that takes over from another has a higher one, counted from 0.

It stands in the high bits of what a router numbers: the epochs under which it admits machines, and the attempts that it
places. So whoever keeps such a number can tell an older router's word, and no two routers use the same one.
"""

from __future__ import annotations

from typing import Final

EPOCH_BITS: Final = 20  # how often one router may admit one machine
ATTEMPT_BITS: Final = 10
MOST_ATTEMPTS: Final = 1 << ATTEMPT_BITS  # of one request under one router


def first_epoch(term: int) -> int:
    """Under which a router of this term admits machines at first."""
    return term << EPOCH_BITS


def term_of(epoch: int) -> int:
    """Of the router that gave this epoch; below 0 where none has given any."""
    return epoch >> EPOCH_BITS


def first_attempt(term: int) -> int:
    """The number of a request's first attempt under a router of this term."""
    return term << ATTEMPT_BITS
