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


class KvMemory:
    """The physical content of one machine's KV blocks, by block id; a block never written holds nothing."""

    def __init__(self) -> None:
        self._content: dict[int, int] = {}

    def write(self, blocks: Sequence[int], content: int, first_block: int = 0) -> None:
        """`blocks` hold the request's blocks `first_block` and on."""
        first = content + first_block
        self._content.update(zip(blocks, range(first, first + len(blocks)), strict=True))

    def write_block(self, block: int, content: int, place: int) -> None:
        """`block` holds the request's block number `place`."""
        self._content[block] = content + place

    def copy_from(self, source: KvMemory, source_blocks: Sequence[int], blocks: Sequence[int], whole: bool) -> None:
        """What a landing put writes; a part of the layers does not make a usable block."""
        found = map(source._content.get, source_blocks, repeat(0))
        if not whole:
            found = map(hash, zip(repeat("part"), found))
        self._content.update(zip(blocks, found, strict=True))

    def read(self, blocks: Sequence[int], content: int) -> int:
        """The fingerprint of what an attention over these blocks sees: `content` itself when all is as it should be."""
        found = tuple(map(self._content.get, blocks))
        if found == tuple(range(content, content + len(blocks))):
            return content
        return int.from_bytes(hashlib.blake2b(repr(found).encode(), digest_size=7).digest())


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
        """Tokens `first` to `last` of a request came out of KV with this fingerprint."""
        runs = self._runs.setdefault(request_id, [])
        if runs and runs[-1][0] == fingerprint and runs[-1][2] + 1 == first:
            runs[-1] = (fingerprint, runs[-1][1], last)
        else:
            runs.append((fingerprint, first, last))

    def output_digest(self, request_id: int) -> int:
        """Of all tokens said so far, in 48 bits; forgets them."""
        runs = self._runs.pop(request_id, [])
        return int.from_bytes(hashlib.blake2b(repr(runs).encode(), digest_size=6).digest())
