"""Prefixes: what of its prompts a trace says that earlier prompts began with, and how much reuse that offers.

Only a trace with hash ids has any. Exploiting it is nobody's business here.
"""

from array import array
from collections.abc import Sequence
from typing import Self

from attrs import field, frozen

TOKENS_PER_HASH_ID = 512
"""Mooncake's traces: one hash id stands for 512 prompt tokens (the last one for what is left)."""


@frozen
class PrefixIds:
    """The chained hash ids of every prompt, row after row: those of row i are `ids[offsets[i] : offsets[i + 1]]`."""

    offsets: "array[int]" = field(factory=lambda: array("q", [0]))
    ids: "array[int]" = field(factory=lambda: array("q"))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, index: int) -> "array[int]":
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    def rows(self, order: Sequence[int]) -> Self:
        """The rows named in `order`, in that order."""
        offsets, ids = array("q", [0]), array("q")
        for index in order:
            ids.extend(self.row(index))
            offsets.append(len(ids))
        return type(self)(offsets, ids)


@frozen
class PrefixReuse:
    """How much prefix reuse a workload offers: of `tokens_total` prompt tokens, how many an earlier prompt began with.

    An id names its block and all blocks before it (the ids are chained), so what is offered are the leading ids of a
    prompt that an earlier arrival had. This is the offer of a cache that is endless and shared by all machines.
    """

    tokens_offered: int
    tokens_total: int
    ids: PrefixIds = field(factory=PrefixIds, repr=False)

    @classmethod
    def of(cls, ids: PrefixIds, prompt_tokens: Sequence[int]) -> Self:
        """Count what `ids` (one row a request, in order of arrival) offer to prompts of these lengths."""
        seen: set[int] = set()
        offered = 0
        for index, prompt in enumerate(prompt_tokens):
            row = ids.row(index)
            leading = 0
            for hash_id in row:
                if hash_id not in seen:
                    break
                leading += 1
            offered += min(leading * TOKENS_PER_HASH_ID, prompt)
            seen.update(row[leading:])
        return cls(offered, sum(prompt_tokens), ids)
