"""Decoder: a transformer with random weights, whose keys and values go into a paged pool.

Its answers mean nothing and its work is real: every matrix of the shape is read, every cached key and value attended
to. Which tokens run when is decided elsewhere, and nothing here waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from attrs import frozen
from torch.nn import functional as f

from emu.real.answers import MARK
from emu.real.attention import paged_attention
from emu.real.pool import KvPool
from emu.real.shape import VOCABULARY, DecoderShape

HEAD = 3
"""Numbers of a row before its blocks."""

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@frozen
class Prompts:
    """Prompts of one step, one behind the other: for each token its id, its place, its block and its place in that.

    `lengths` are the tokens of each prompt; `blocks` are all blocks written and `stamps` theirs in layer 0; `ends` says
    which tokens are the last of their prompts.
    """

    tokens: torch.Tensor
    places: torch.Tensor
    token_blocks: torch.Tensor
    token_offsets: torch.Tensor
    lengths: tuple[int, ...]
    blocks: torch.Tensor
    stamps: torch.Tensor
    ends: torch.Tensor


@frozen
class _Rows:
    """One new token of each decoding sequence, taken from rows as `Decoder.decode` is given them."""

    x: torch.Tensor
    tables: torch.Tensor
    blocks: torch.Tensor
    offsets: torch.Tensor
    lengths: torch.Tensor
    stamps: torch.Tensor  # of those blocks, in layer 0


@frozen
class _Layer:
    qkv: torch.Tensor
    out: torch.Tensor
    up: torch.Tensor
    down: torch.Tensor


class Decoder:
    """The weights, bfloat16 and drawn from `seed`, on one device. `attend` does the attention of decode steps."""

    def __init__(self, shape: DecoderShape, where: torch.device, seed: int, attend: Attend = paged_attention) -> None:
        draw = torch.Generator(where).manual_seed(seed)
        self.shape, self.attend = shape, attend

        def matrix(rows: int, columns: int) -> torch.Tensor:
            weights = torch.empty((rows, columns), dtype=torch.bfloat16, device=where)
            return weights.normal_(0.0, rows**-0.5, generator=draw)

        width = shape.heads * shape.head_dim
        both = width + 2 * shape.kv_heads * shape.head_dim
        self._tokens = matrix(VOCABULARY, shape.hidden)
        self._places = matrix(shape.most_tokens, shape.hidden)
        self._layers = tuple(
            _Layer(
                matrix(shape.hidden, both),
                matrix(width, shape.hidden),
                matrix(shape.hidden, 2 * shape.mlp),
                matrix(shape.mlp, shape.hidden),
            )
            for _ in range(shape.layers)
        )
        self._head = matrix(shape.hidden, VOCABULARY)

    def prefill(self, prompts: Prompts, pool: KvPool, computed: Callable[[int], None]) -> torch.Tensor:
        """The next token of each prompt; `computed(layer)` is called when a layer's work has been launched."""
        x = self._tokens[prompts.tokens] + self._places[prompts.places]
        stamps = pool.in_layers(prompts.stamps)
        for number, layer in enumerate(self._layers):
            queries, both = self._project(x, layer)
            pool.write(number, prompts.token_blocks, prompts.token_offsets, both)
            pool.stamp(number, prompts.blocks, stamps[number])
            x = self._finish(x, _causal(queries, both, prompts.lengths), layer)
            computed(number)
        return self._next(x[prompts.ends])

    def decode(self, rows: torch.Tensor, pool: KvPool) -> torch.Tensor:
        """The next token of each sequence. A row of int32 is its last token, that token's place, the request's mark
        (`answers.mark`) and its blocks; a block in which this is the first token is stamped."""
        given = self._given(rows)
        pool.begin(given.blocks, given.offsets, given.stamps)
        x = given.x
        for number, layer in enumerate(self._layers):
            queries, both = self._project(x, layer)
            pool.write(number, given.blocks, given.offsets, both)
            x = self._finish(x, self._cached(queries, number, pool, given), layer)
        return self._next(x)

    def mixed(
        self, prompts: Prompts, rows: torch.Tensor, pool: KvPool, computed: Callable[[int], None]
    ) -> torch.Tensor:
        """The next token of each prompt, then of each sequence: both in one pass, so that weights are read once, and
        apart only where they attend. Arguments are those of `prefill` and `decode`."""
        given, cut = self._given(rows), prompts.tokens.shape[0]
        pool.begin(given.blocks, given.offsets, given.stamps)
        x = torch.cat([self._tokens[prompts.tokens] + self._places[prompts.places], given.x])
        blocks = torch.cat([prompts.token_blocks, given.blocks])
        offsets = torch.cat([prompts.token_offsets, given.offsets])
        stamps = pool.in_layers(prompts.stamps)
        for number, layer in enumerate(self._layers):
            queries, both = self._project(x, layer)
            pool.write(number, blocks, offsets, both)
            pool.stamp(number, prompts.blocks, stamps[number])
            found = _causal(queries[:cut], both[:cut], prompts.lengths)
            x = self._finish(x, torch.cat([found, self._cached(queries[cut:], number, pool, given)]), layer)
            computed(number)
        return self._next(torch.cat([x[prompts.ends], x[cut:]]))

    def _given(self, rows: torch.Tensor) -> _Rows:
        tokens, places, marks, tables = rows[:, 0], rows[:, 1], rows[:, 2], rows[:, HEAD:]
        size = self.shape.block_tokens
        blocks = tables.gather(1, (places // size)[:, None].long())[:, 0].long()
        x = self._tokens[tokens.long()] + self._places[places.long()]
        stamps = marks.long() * MARK + places // size
        return _Rows(x, tables, blocks, (places % size).long(), places + 1, stamps)

    def _cached(self, queries: torch.Tensor, layer: int, pool: KvPool, given: _Rows) -> torch.Tensor:
        """What each sequence's new token finds in its cache."""
        return self.attend(queries, pool.keys[layer], pool.values[layer], given.tables, given.lengths)

    def _project(self, x: torch.Tensor, layer: _Layer) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries, and keys with values: views of one product."""
        shape = self.shape
        both = _norm(x) @ layer.qkv
        wide = shape.heads * shape.head_dim
        return (
            both[:, :wide].unflatten(-1, (shape.heads, shape.head_dim)),
            both[:, wide:].unflatten(-1, (2, shape.kv_heads, shape.head_dim)),
        )

    def _finish(self, x: torch.Tensor, found: torch.Tensor, layer: _Layer) -> torch.Tensor:
        x = torch.addmm(x, found.flatten(1), layer.out)
        gate, up = (_norm(x) @ layer.up).chunk(2, -1)
        return torch.addmm(x, f.silu(gate) * up, layer.down)

    def _next(self, x: torch.Tensor) -> torch.Tensor:
        return (_norm(x) @ self._head).argmax(-1).to(torch.int32)


def _norm(x: torch.Tensor) -> torch.Tensor:
    return f.rms_norm(x, x.shape[-1:])


def _causal(queries: torch.Tensor, both: torch.Tensor, lengths: tuple[int, ...]) -> torch.Tensor:
    """Each prompt's tokens attend to those before them; prompts stand one behind the other."""
    if len(lengths) > 1:
        prompts = zip(queries.split(lengths), both.split(lengths), strict=True)
        return torch.cat([_causal(q, b, q.shape[:1]) for q, b in prompts])
    keys, values = both.unbind(1)
    q, k, v = (part.transpose(0, 1)[None] for part in (queries, keys, values))
    found = f.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    return found[0].transpose(0, 1)
