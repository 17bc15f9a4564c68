"""Draws from measured distributions that spread evenly however few they are, so that a short run sees the whole range.

Integers only, since the record's digest hangs on them. What is drawn stands with who draws.
"""

import hashlib
from typing import Final

WHOLE: Final = 10**9
"""A draw is so many parts at most."""

_GOLDEN: Final = 618_033_989
"""Of WHOLE: its multiples spread evenly whatever their number."""


def first_of(words: str) -> int:
    """Where the draws begin that these words name: another place for other words."""
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest()) % WHOLE


def part(first: int, before: int) -> int:
    """The draw after so many others, in parts of WHOLE."""
    return (first + before * _GOLDEN) % WHOLE
