"""KvPool: the paged KV cache of one machine, as one tensor, with a stamp in every block of every layer.

A row holds one block in one layer: its keys, its values, and behind them the stamp, so that whatever copies a block
copies its stamp. Who may have which block is decided elsewhere; the block behind the last one belongs to nobody and
takes what padding writes.
"""

from __future__ import annotations

import torch

from emu.real.answers import LAYER_STAMP
from emu.real.shape import DecoderShape


class KvPool:
    """`both` is [layers, blocks, tokens, 2, heads, numbers], of which `keys` and `values` are the halves; `stamps` are
    [layers, blocks] of int64."""

    def __init__(self, shape: DecoderShape, where: torch.device) -> None:
        size = (shape.layers, shape.blocks + 1, shape.row)
        both = 2 * shape.half_row
        inner = (2, shape.block_tokens, shape.kv_heads, shape.head_dim)
        self.rows = torch.zeros(size, dtype=torch.bfloat16, device=where)
        self.both = self.rows[..., :both].unflatten(-1, inner).transpose(2, 3)
        self.keys, self.values = self.both.unbind(3)
        self.stamps = self.rows[..., both:].view(torch.int64)[..., 0]
        self.nobodys = shape.blocks
        self._words = self.rows.view(torch.int64)  # fewer, wider numbers to copy
        self._layers = torch.arange(shape.layers, device=where)[:, None] * LAYER_STAMP

    def write(self, layer: int, blocks: torch.Tensor, offsets: torch.Tensor, both: torch.Tensor) -> None:
        """Keys and values, [tokens, 2, heads, numbers], each at its place in its block."""
        self.both[layer].index_put_((blocks, offsets), both)

    def in_layers(self, stamps: torch.Tensor) -> torch.Tensor:
        """Stamps of layer 0 as they are in each layer."""
        return stamps + self._layers

    def stamp(self, layer: int, blocks: torch.Tensor, stamps: torch.Tensor) -> None:
        """Mark blocks in one layer as written, with their stamps in that layer."""
        self.stamps[layer].index_copy_(0, blocks, stamps)

    def begin(self, blocks: torch.Tensor, offsets: torch.Tensor, stamps: torch.Tensor) -> None:
        """Mark those of the blocks in every layer whose token stands first in its block, with stamps of layer 0. The
        others keep theirs: a stamp that something has spoilt is not mended."""
        theirs = self.stamps.index_select(1, blocks)
        self.stamps.index_copy_(1, blocks, torch.where(offsets == 0, self.in_layers(stamps), theirs))

    def seen(self, blocks: torch.Tensor) -> torch.Tensor:
        """The stamps of these blocks, less what tells layers apart: equal columns where all is as it should be."""
        return self.stamps.index_select(1, blocks) - self._layers

    def gather(self, first: int, last: int, blocks: torch.Tensor) -> torch.Tensor:
        """The rows of these blocks in layers `first` to `last`, as one piece."""
        return self._words[first : last + 1].index_select(1, blocks)

    def scatter(self, first: int, last: int, blocks: torch.Tensor, rows: torch.Tensor) -> None:
        """What `gather` gave, into these blocks."""
        self._words[first : last + 1].index_copy_(1, blocks, rows)
