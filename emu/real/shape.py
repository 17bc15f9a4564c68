"""DecoderShape: the sizes of the decoder that a machine runs, and of its KV pool. Plain numbers, no tensors."""

from __future__ import annotations

from attrs import frozen

from emu.refusal import Refusal

BYTES = 2
"""Of a weight and of a cached number: bfloat16."""
VOCABULARY = 32_000
STAMP_NUMBERS = 16
"""Room for a block's stamp behind its keys and values: 32 bytes, so that rows start where wide loads may."""


@frozen
class DecoderShape:
    """A pre-norm transformer with learned places, grouped queries and a gated MLP of width `mlp`.

    `blocks` of `block_tokens` tokens are in the pool, `sequence_blocks` at most in one sequence, and `sequences` at
    most in a decode batch.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    blocks: int
    block_tokens: int
    sequence_blocks: int
    sequences: int

    @property
    def most_tokens(self) -> int:
        """The longest sequence that its tables of places and blocks allow."""
        return self.sequence_blocks * self.block_tokens

    @property
    def half_row(self) -> int:
        """Numbers that the keys of one block in one layer take."""
        return self.block_tokens * self.kv_heads * self.head_dim

    @property
    def row(self) -> int:
        """Numbers of one block in one layer: keys, values, stamp."""
        return 2 * self.half_row + STAMP_NUMBERS


def mlp_width(weights_bytes: int, layers: int, hidden: int, heads: int, kv_heads: int, head_dim: int) -> int:
    """The MLP's width with which all matrices together have the model's bytes, in whole 64s.

    A step reads every one of them, so its floor is that of the model's weights. Raises Refusal where attention and
    vocabulary alone are larger than that.
    """
    attention = layers * hidden * head_dim * (2 * heads + 2 * kv_heads)
    left = weights_bytes // BYTES - attention - hidden * VOCABULARY
    width = left // (3 * hidden * layers) // 64 * 64
    if width < 64:
        raise Refusal(
            "model", f"expected weights_bytes for an MLP beside attention and vocabulary, got {weights_bytes}"
        )
    return width
