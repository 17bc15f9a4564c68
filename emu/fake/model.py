"""FakeModel: what the emulated model would say, and KvMemory: what stands in a machine's KV blocks.

A block's content is a fingerprint of the request's content and its position, the same on every machine and for every
attempt. Tokens are identified by the fingerprint of the KV that was really read for them, so a corrupt, stale or
missing block changes a request's output digest from there on: silent corruption is loud. True output lengths live
here, where no core can see them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import repeat

from attrs import define


@define(eq=False)
class Extent:
    """These blocks hold the request's blocks `first` and on, in this order.

    All blocks of a write share one Extent, so that writing and reading cost little more than a dict's lookups.
    """

    content: int
    first: int
    blocks: list[int]


class KvMemory:
    """The physical content of one machine's KV blocks, by block id; a block never written holds nothing."""

    def __init__(self) -> None:
        self._extents: dict[int, Extent] = {}

    def write(self, blocks: Sequence[int], content: int, first: int = 0) -> Extent:
        """`blocks` hold the blocks `first` and on of the request with that content."""
        extent = Extent(content, first, list(blocks))
        self._extents.update(dict.fromkeys(blocks, extent))
        return extent

    def append(self, extent: Extent, block: int) -> None:
        """`block` holds what comes behind an extent."""
        extent.blocks.append(block)
        self._extents[block] = extent

    def copy_from(self, source: KvMemory, source_blocks: tuple[int, ...], blocks: tuple[int, ...], whole: bool) -> None:
        """What a landing put writes; a part of the layers does not make a usable block."""
        extent = source._extents.get(source_blocks[0]) if source_blocks else None
        if whole and extent is not None and source.read(source_blocks, extent.content) == extent.content:
            self.write(blocks, extent.content)
        else:
            self.write(blocks, _digest(repr([source._seen(source_blocks), whole])))

    def holds(self, block: int, content: int, place: int) -> bool:
        """Whether `block` holds block `place` of the request with that content."""
        extent = self._extents.get(block)
        return extent is not None and extent.content == content and extent.first + extent.blocks.index(block) == place

    def garble(self, blocks: Sequence[int]) -> None:
        """What stands in these blocks is nobody's any more."""
        self.write(blocks, _digest(repr([self._seen(blocks), "garbled"])))

    def checksum(self, blocks: Sequence[int]) -> int:
        """Of what stands in these blocks, in this order: the same wherever the same was written."""
        return _digest(repr(self._seen(blocks)))

    def read(self, blocks: Sequence[int], content: int) -> int:
        """The fingerprint of what an attention over these blocks sees: `content` itself when all is as it should be."""
        blocks, found = list(blocks), list(map(self._extents.get, blocks))
        place = 0
        while place < len(blocks):
            extent = found[place]
            if extent is None or extent.content != content or extent.first != place:
                break
            end = min(place + len(extent.blocks), len(blocks))
            if found[place:end].count(extent) != end - place or blocks[place:end] != extent.blocks[: end - place]:
                break
            place = end
        return content if place >= len(blocks) else _digest(repr(self._seen(blocks)))

    def _seen(self, blocks: Sequence[int]) -> list[tuple[int, int]]:
        """Content and place of what each block holds; (0, 0) for nothing."""
        extents = map(self._extents.get, blocks, repeat(Extent(0, 0, [])))
        return [
            (extent.content, extent.first + extent.blocks.index(block)) if extent.blocks else (0, 0)
            for block, extent in zip(blocks, extents, strict=True)
        ]


class FakeModel:
    """What each request is and would be answered, by request id."""

    def __init__(self, prompt_tokens: Sequence[int], output_tokens: Sequence[int]) -> None:
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self._runs: dict[int, list[tuple[int, int, int]]] = {}

    def content(self, request_id: int) -> int:
        """The fingerprint of a request's first block; that of its block j is j more."""
        return (request_id + 1) << 32

    def say(self, request_id: int, fingerprint: int, first: int, last: int) -> None:
        """Tokens `first` to `last` of a request came out of KV with this fingerprint.

        A later attempt may say tokens again: the same ones change nothing, any other ones change the digest.
        """
        runs = self._runs.setdefault(request_id, [])
        if runs and runs[-1][2] >= first:
            first = self._again(runs, fingerprint, first, last)
            if first > last:
                return
        if runs and runs[-1][0] == fingerprint and runs[-1][2] + 1 == first:
            runs[-1] = (fingerprint, runs[-1][1], last)
        else:
            runs.append((fingerprint, first, last))

    def said(self, request_id: int) -> int:
        """How many tokens of a request have been said."""
        return max((run[2] for run in self._runs.get(request_id, ())), default=0)

    def _again(self, runs: list[tuple[int, int, int]], fingerprint: int, first: int, last: int) -> int:
        """The first of these tokens that was not said before."""
        said = max(run[2] for run in runs)
        if any(run[0] != fingerprint for run in runs if run[2] >= first and run[1] <= last):
            runs.append((fingerprint, first, last))
            return last + 1
        return said + 1

    def output_digest(self, request_id: int) -> int:
        """Of all tokens said so far, in 48 bits; forgets them."""
        runs = self._runs.pop(request_id, [])
        return _digest(repr(runs))


def _digest(text: str) -> int:
    """48 bits that no other text is likely to have."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest())
