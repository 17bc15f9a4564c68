"""Which layers of a cache have arrived, as ranges.

Chunks travel as ranges of layers, so that a transfer that nothing cuts is one range. A commit compares what arrived
with what was promised as sets, never as counts. Blocks and bytes must stay out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

LayerRange = tuple[int, int]  # first and last layer, both included
GROUPS: Final = 8  # of a cache's layers, each with a checksum of its own


def merge(ranges: Iterable[LayerRange]) -> tuple[LayerRange, ...]:
    """The same set of layers as the fewest ranges, in order; overlaps count once.

    >>> merge([(4, 7), (0, 1), (2, 3), (9, 9)])
    ((0, 7), (9, 9))
    """
    merged: list[LayerRange] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def whole(layers: int) -> tuple[LayerRange, ...]:
    """All of `layers` layers."""
    return ((0, layers - 1),)


def groups(layers: int) -> tuple[LayerRange, ...]:
    """All of `layers` layers in up to GROUPS ranges as long as each other, but for the last.

    >>> groups(20)
    ((0, 2), (3, 5), (6, 8), (9, 11), (12, 14), (15, 17), (18, 19))
    """
    size = -(-layers // GROUPS)
    return tuple((first, min(first + size, layers) - 1) for first in range(0, layers, size))


def acknowledgement(ranges: Iterable[LayerRange]) -> tuple[int, tuple[LayerRange, ...]]:
    """(below, holes): every layer below `below` arrived, but for those in `holes`.

    >>> acknowledgement([(0, 3), (6, 9)])
    (10, ((4, 5),))
    """
    merged = merge(ranges)
    holes, expected = [], 0
    for first, last in merged:
        if first > expected:
            holes.append((expected, first - 1))
        expected = last + 1
    return expected, tuple(holes)
