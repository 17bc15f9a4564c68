"""FakeModel: what the emulated model would say, and KvMemory: what stands in a machine's KV blocks.

A block's content is a fingerprint of the request's content and its position, the same on every machine and for every
attempt. Tokens are identified by the fingerprint of the KV that was really read for them, so a corrupt, stale or
missing block changes a request's output digest from there on: silent corruption is loud. True output lengths live
here, where no core can see them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from attrs import define


@define(eq=False, repr=False)
class Extent:
    """These blocks hold the request's blocks `first` and on, in this order; all of them, while it is `intact`.

    All blocks of a write share one Extent, and a write over any of them says so: reading is then one comparison. For
    the layers of `flaws` they hold something else.
    """

    content: int
    first: int
    blocks: list[int]
    intact: bool = True
    flaws: frozenset[int] = frozenset()

    @property
    def sound(self) -> bool:
        return self.intact and not self.flaws

    def seen(self, layers: frozenset[int] | None) -> int:
        """Its content, or what is there instead for all layers, or for these."""
        flaws = self.flaws if layers is None else self.flaws & layers
        return _digest(repr([self.content, sorted(flaws)])) if flaws else self.content


class KvMemory:
    """The physical content of one machine's KV blocks, by block id; a block never written holds nothing."""

    def __init__(self) -> None:
        self._held: list[Extent | None] = []  # by block id, up to the highest that was written

    def write(self, blocks: Sequence[int], content: int, first: int = 0) -> Extent:
        """`blocks` hold the blocks `first` and on of the request with that content."""
        extent = Extent(content, first, list(blocks))
        if blocks:
            self._reach(max(blocks))
        held = self._held
        for overwritten in set(map(held.__getitem__, blocks)):
            if overwritten is not None:
                overwritten.intact = False
        for block in blocks:
            held[block] = extent
        return extent

    def append(self, extent: Extent, block: int) -> None:
        """`block` holds what comes behind an extent."""
        self._reach(block)
        overwritten = self._held[block]
        if overwritten is not None:
            overwritten.intact = False
        extent.blocks.append(block)
        self._held[block] = extent

    def copy_from(
        self,
        source: KvMemory,
        source_blocks: tuple[int, ...],
        blocks: tuple[int, ...],
        layers: tuple[int, int],
        of_layers: int,
    ) -> None:
        """What a landing put of these layers (first and last) writes: all of a cache, or a part of what is there."""
        extent = source._at(source_blocks[0]) if source_blocks else None
        sound = extent is not None and source.read(source_blocks, extent.content) == extent.content
        content = extent.content if extent is not None and sound else _digest(repr(source._seen(source_blocks)))
        if layers == (0, of_layers - 1):
            self.write(blocks, content)
            return
        written = frozenset(range(layers[0], layers[1] + 1))
        there = self._at(blocks[0]) if blocks else None
        if there is not None and there.intact and there.first == 0 and there.blocks == list(blocks):
            if there.content == content:
                there.flaws -= written
                return
            if not sound:
                there.flaws |= written
                return
        self.write(blocks, content).flaws = frozenset(range(of_layers)) - written

    def holds(self, block: int, content: int, place: int) -> bool:
        """Whether `block` holds block `place` of the request with that content."""
        return self._seen((block,)) == [(content, place)]

    def garble(self, blocks: Sequence[int], layers: tuple[int, int]) -> None:
        """What stands in these blocks for these layers (first and last) is nobody's any more."""
        for extent in {self._at(block): None for block in blocks}:
            if extent is not None:
                extent.flaws |= frozenset(range(layers[0], layers[1] + 1))

    def checksums(self, blocks: Sequence[int], ranges: Sequence[tuple[int, int]]) -> tuple[int, ...]:
        """Of what these blocks hold, in this order, for each range of layers: equal wherever the same was written."""
        if any(extent is not None and extent.flaws for extent in set(map(self._at, blocks))):
            layers = (frozenset(range(first, last + 1)) for first, last in ranges)
            return tuple(_digest(repr(self._runs(blocks, these))) for these in layers)
        return (_digest(repr(self._runs(blocks))),) * len(ranges)

    def read(self, blocks: Sequence[int], content: int) -> int:
        """The fingerprint of what an attention over these blocks sees: `content` itself when all is as it should be."""
        if self.extents(list(blocks), content) is not None:
            return content
        seen = self._seen(blocks)  # where an extent is written over, what is left of it may still be all that is wanted
        return content if seen == [(content, place) for place in range(len(blocks))] else _digest(repr(seen))

    def extents(self, blocks: list[int], content: int) -> list[Extent] | None:
        """The extents, all sound, that are these blocks of the request with that content; None where some are not.

        As long as they are sound, nothing else stands in these blocks.
        """
        found: list[Extent] = []
        place, wanted = 0, len(blocks)
        while place < wanted:
            extent = self._at(blocks[place])
            if extent is None or not extent.sound or extent.content != content or extent.first != place:
                return None
            end = place + len(extent.blocks)
            if blocks[place:end] != (extent.blocks if end <= wanted else extent.blocks[: wanted - place]):
                return None
            found.append(extent)
            place = end
        return found

    def _at(self, block: int) -> Extent | None:
        return self._held[block] if block < len(self._held) else None

    def _reach(self, block: int) -> None:
        missing = block + 1 - len(self._held)
        if missing > 0:
            self._held.extend([None] * missing)

    def _seen(self, blocks: Sequence[int]) -> list[tuple[int, int]]:
        """Content and place of what each block holds; (0, 0) for nothing."""
        return [(content, first + place) for content, first, count in self._runs(blocks) for place in range(count)]

    def _runs(self, blocks: Sequence[int], layers: frozenset[int] | None = None) -> list[tuple[int, int, int]]:
        """Content, first place and count, for all layers or these, in runs as long as can be; (0, 0, 1) for nothing."""
        runs: list[tuple[int, int, int]] = []
        at, wanted = 0, len(blocks)
        while at < wanted:
            extent = self._at(blocks[at])
            content = first = 0
            count = 1
            if extent is not None:
                start = extent.blocks.index(blocks[at])
                content, first = extent.seen(layers), extent.first + start
                end = min(at + len(extent.blocks) - start, wanted)
                if extent.intact and list(blocks[at:end]) == extent.blocks[start : start + end - at]:
                    count = end - at
            at += count
            if runs and content and runs[-1][0] == content and sum(runs[-1][1:]) == first:
                first, count = runs[-1][1], runs.pop()[2] + count
            runs.append((content, first, count))
        return runs


class FakeModel:
    """What each request is and would be answered, by request id."""

    def __init__(self, prompt_tokens: Sequence[int], output_tokens: Sequence[int]) -> None:
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self._runs: dict[int, list[tuple[int, int, int]]] = {}
        self._spliced: set[tuple[int, int]] = set()  # attempts that go on behind what others have said
        self._fenced: dict[int, int] = {}  # request -> the latest attempt whose tokens nobody takes

    def content(self, request_id: int) -> int:
        """The fingerprint of a request's first block; that of its block j is j more."""
        return (request_id + 1) << 32

    def fence(self, request_id: int, attempt: int) -> None:
        """What this attempt or an earlier one says from now on, nobody hears."""
        self._fenced[request_id] = attempt

    def splice(self, request_id: int, attempt: int) -> None:
        """What this attempt says its client puts behind what it has, without a look at which tokens they are."""
        self._spliced.add((request_id, attempt))

    def is_fenced(self, request_id: int, attempt: int) -> bool:
        return bool(self._fenced) and attempt <= self._fenced.get(request_id, -1)

    def say(self, request_id: int, fingerprint: int, first: int, last: int, attempt: int = 0) -> None:
        """Tokens `first` to `last` of a request came out of KV with this fingerprint.

        A later attempt may say tokens again: the same ones change nothing, any other ones change the digest.
        """
        if self.is_fenced(request_id, attempt):
            return
        runs = self._runs.setdefault(request_id, [])
        if runs and runs[-1][2] >= first and (request_id, attempt) not in self._spliced:
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
