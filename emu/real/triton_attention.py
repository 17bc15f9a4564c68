"""Paged attention for a GPU: two Triton kernels. What they compute is defined by `attention.paged_attention`.

One program attends for one group of heads to one piece of one sequence, and a second kernel puts a sequence's pieces
together, so the work follows the tokens that are there and not the longest sequence. The grid is that of the longest
sequence there can be, whose idle programs end at once: so the launch can be captured in a graph.
"""

from __future__ import annotations

from typing import Any, Final

import torch
import triton
import triton.language as tl

PIECE_TOKENS: Final = 256
TILE_TOKENS: Final = 64
LEAST_ROWS: Final = 16
"""A tensor core multiplies no fewer rows; smaller groups of heads are padded."""


class PagedAttention:
    """The kernels, with room for what lies between them: `sequences` of up to `sequence_blocks` blocks each."""

    def __init__(self, sequences: int, heads: int, size: int, sequence_tokens: int, where: torch.device) -> None:
        self._pieces = -(-sequence_tokens // PIECE_TOKENS)
        room = (sequences, heads, self._pieces)
        self._partial = torch.empty((*room, size), dtype=torch.float32, device=where)
        self._peaks = torch.empty(room, dtype=torch.float32, device=where)
        self._sums = torch.empty(room, dtype=torch.float32, device=where)

    def __call__(
        self,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        tables: torch.Tensor,
        lengths: torch.Tensor,
    ) -> torch.Tensor:
        sequences, heads, size = queries.shape
        block_tokens, kv_heads = keys.shape[1], keys.shape[2]
        group = heads // kv_heads
        found = torch.empty((sequences, heads, size), dtype=queries.dtype, device=queries.device)
        _attend[(sequences, kv_heads, self._pieces)](
            queries,
            keys,
            values,
            tables,
            lengths,
            self._partial,
            self._peaks,
            self._sums,
            size**-0.5,
            queries.stride(0),
            keys.stride(0),
            tables.stride(0),
            lengths.stride(0),
            pieces=self._pieces,
            piece=PIECE_TOKENS,
            tile=TILE_TOKENS,
            block_tokens=block_tokens,
            kv_heads=kv_heads,
            group=group,
            rows=max(LEAST_ROWS, triton.next_power_of_2(group)),
            size=size,
        )
        _join[(sequences, heads)](
            self._partial,
            self._peaks,
            self._sums,
            lengths,
            found,
            lengths.stride(0),
            heads=heads,
            pieces=self._pieces,
            piece=PIECE_TOKENS,
            size=size,
        )
        return found


def _attend_kernel(  # type: ignore[no-untyped-def]
    queries,
    keys,
    values,
    tables,
    lengths,
    partial,
    peaks,
    sums,
    scale,
    query_stride,
    row_stride,
    table_stride,
    length_stride,
    pieces: tl.constexpr,
    piece: tl.constexpr,
    tile: tl.constexpr,
    block_tokens: tl.constexpr,
    kv_heads: tl.constexpr,
    group: tl.constexpr,
    rows: tl.constexpr,
    size: tl.constexpr,
):
    sequence, kv_head, number = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    length = tl.load(lengths + sequence * length_stride)
    first = number * piece
    if first < length:
        along = tl.arange(0, size)
        row = tl.arange(0, rows)
        head = kv_head * group + row
        real = row < group
        asks = queries + sequence * query_stride + head[:, None] * size + along[None, :]
        query = tl.load(asks, mask=real[:, None], other=0.0)
        peak = tl.full([rows], float("-inf"), dtype=tl.float32)
        total = tl.zeros([rows], dtype=tl.float32)
        found = tl.zeros([rows, size], dtype=tl.float32)
        last = tl.minimum(first + piece, length)
        for start in range(first, last, tile):
            token = start + tl.arange(0, tile)
            there = token < last
            block = tl.load(tables + sequence * table_stride + token // block_tokens, mask=there, other=0)
            place = block.to(tl.int64) * row_stride + (token % block_tokens) * (kv_heads * size) + kv_head * size
            key = tl.load(keys + place[:, None] + along[None, :], mask=there[:, None], other=0.0)
            scores = tl.dot(query, tl.trans(key)) * scale
            scores = tl.where(there[None, :], scores, float("-inf"))
            higher = tl.maximum(peak, tl.max(scores, 1))
            weight = tl.exp(scores - higher[:, None])
            kept = tl.exp(peak - higher)
            total = total * kept + tl.sum(weight, 1)
            value = tl.load(values + place[:, None] + along[None, :], mask=there[:, None], other=0.0)
            found = found * kept[:, None] + tl.dot(weight.to(value.dtype), value)
            peak = higher
        at = (sequence * kv_heads * group + head) * pieces + number
        tl.store(partial + at[:, None] * size + along[None, :], found, mask=real[:, None])
        tl.store(peaks + at, peak, mask=real)
        tl.store(sums + at, total, mask=real)


def _join_kernel(  # type: ignore[no-untyped-def]
    partial,
    peaks,
    sums,
    lengths,
    found,
    length_stride,
    heads: tl.constexpr,
    pieces: tl.constexpr,
    piece: tl.constexpr,
    size: tl.constexpr,
):
    sequence, head = tl.program_id(0), tl.program_id(1)
    length = tl.load(lengths + sequence * length_stride)
    along = tl.arange(0, size)
    at = (sequence * heads + head) * pieces
    peak = tl.load(peaks + at)
    total = tl.load(sums + at)
    out = tl.load(partial + at * size + along)
    for number in range(1, tl.cdiv(length, piece)):
        other = tl.load(peaks + at + number)
        higher = tl.maximum(peak, other)
        kept, more = tl.exp(peak - higher), tl.exp(other - higher)
        total = total * kept + tl.load(sums + at + number) * more
        out = out * kept + tl.load(partial + (at + number) * size + along) * more
        peak = higher
    tl.store(found + (sequence * heads + head) * size + along, (out / total).to(found.dtype.element_ty))


_attend: Any = triton.jit(_attend_kernel)
_join: Any = triton.jit(_join_kernel)
