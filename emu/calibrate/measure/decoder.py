"""A decoder of a model's real shapes with random weights, on one device: what a step costs does not hang on the values.

One object is the whole model or one tensor-parallel shard, whose sums over GPUs are left out. The cache is contiguous,
a sequence after the other, and attention is PyTorch's flash kernel on a GPU. No timing here, and no engine: no
sampling beyond the largest logit, no paging, no host work between steps.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import attrs
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import embedding, linear, scaled_dot_product_attention, silu

from emu.calibrate.architecture import Architecture
from emu.calibrate.measure.work import Work

_NORM_EPSILON = 1e-5
_ROTARY_BASE = 500_000.0
_FILL = 1 << 28  # elements drawn at a time

Layer = tuple[Any, Any, Any, Any, Any, Any]


@attrs.frozen(slots=True)
class Prepared:
    """A step ready to run: what it reads, where its cache stands, and the cache of each layer as (prompts, sequences),
    [2, prompts, tokens, heads, width] and [2, sequences, context + 1, heads, width]."""

    work: Work
    ids: Any
    cosines: Any
    sines: Any
    last: Any
    caches: tuple[tuple[Any, Any], ...]


class Decoder:
    """`shape` is what this device holds (see `Architecture.shard`); the cache has room for `cache_tokens` tokens.

    With `compiled`, norms, rotation and gating are fused by torch.compile, as engines fuse them; matrix products and
    attention are library kernels either way. `spread` is the weights' standard deviation; it costs nothing.
    """

    def __init__(
        self, shape: Architecture, device: str, cache_tokens: int, *, compiled: bool, spread: float = 0.02
    ) -> None:
        self._spread = spread
        self.shape, self.device, self.cache_tokens = shape, torch.device(device), cache_tokens
        self._kernels = _kernels(shape, compiled=compiled)
        attended, width = shape.heads * shape.head_dim, shape.hidden
        qkv = (shape.heads + 2 * shape.kv_heads) * shape.head_dim
        self._layers: list[Layer] = [
            (
                self._ones(width),
                self._random(qkv, width),
                self._random(width, attended),
                self._ones(width),
                self._random(2 * shape.intermediate, width),
                self._random(width, shape.intermediate),
            )
            for _ in range(shape.layers)
        ]
        self._norm, self._output = self._ones(width), self._random(shape.vocabulary, width)
        self._embedding = self._random(shape.vocabulary, width)
        self._cache = self._random(shape.layers * self._elements(cache_tokens))

    def prepare(self, work: Work) -> Prepared:
        """Draw the step's tokens and lay its cache out. Raises ValueError when the cache has no room for it."""
        if work.cached_tokens > self.cache_tokens:
            raise ValueError(f"{work} needs {work.cached_tokens} tokens of cache, there are {self.cache_tokens}")
        shape, device = self.shape, self.device
        ids = torch.randint(shape.vocabulary, (work.computed_tokens,), device=device)
        prompts = torch.arange(work.prompt_tokens, device=device).repeat(work.prompts)
        positions = torch.cat([prompts, torch.full((work.sequences,), work.context, device=device)])
        powers = torch.arange(0, shape.head_dim, 2, device=device, dtype=torch.float32) / shape.head_dim
        angles = positions[:, None].float() / _ROTARY_BASE**powers
        ends = torch.arange(1, work.prompts + 1, device=device) * work.prompt_tokens - 1
        decoded = torch.arange(work.sequences, device=device) + len(prompts)
        caches = tuple(self._views(work, layer) for layer in range(shape.layers))
        return Prepared(work, ids, angles.cos(), angles.sin(), torch.cat([ends, decoded]), caches)

    def step(self, ready: Prepared, after_layer: Callable[[int], None] | None = None) -> Any:
        """Run the step; the next token of every prompt and sequence. `after_layer` is called when a layer's work has
        been issued, which on a GPU is before it is done."""
        add_norm, rotate, gate = self._kernels
        residual = embedding(ready.ids, self._embedding)
        added = torch.zeros_like(residual)
        flash = sdpa_kernel(SDPBackend.FLASH_ATTENTION) if self.device.type == "cuda" else nullcontext()
        with torch.inference_mode(), flash:
            for index, (norm, qkv, out, norm_2, gate_up, down) in enumerate(self._layers):
                hidden, residual = add_norm(added, residual, norm)
                query, keys_values = rotate(linear(hidden, qkv), ready.cosines, ready.sines)
                added = linear(self._attend(query, keys_values, ready, index), out)
                hidden, residual = add_norm(added, residual, norm_2)
                added = linear(gate(linear(hidden, gate_up)), down)
                if after_layer is not None:
                    after_layer(index)
            if ready.work.prompts:
                added, residual = added[ready.last], residual[ready.last]
            hidden, _ = add_norm(added, residual, self._norm)
            return linear(hidden, self._output).argmax(-1)

    def _attend(self, query: Any, keys_values: Any, ready: Prepared, layer: int) -> Any:
        """Write the new keys and values, and attend: prompts to themselves, sequences to their cache."""
        work, shape = ready.work, self.shape
        in_prompts, in_sequences = ready.caches[layer]
        split, heads = work.prompts * work.prompt_tokens, (shape.kv_heads, shape.head_dim)
        parts = []
        if work.prompts:
            new = keys_values[:, :split].view(2, work.prompts, work.prompt_tokens, *heads)
            in_prompts.copy_(new)
            mine = query[:split].view(work.prompts, work.prompt_tokens, shape.heads, shape.head_dim)
            parts.append(self._attention(mine, new[0], new[1], causal=True))
        if work.sequences:
            in_sequences[:, :, work.context].copy_(keys_values[:, split:].view(2, work.sequences, *heads))
            mine = query[split:].view(work.sequences, 1, shape.heads, shape.head_dim)
            parts.append(self._attention(mine, in_sequences[0], in_sequences[1], causal=False))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _attention(self, query: Any, keys: Any, values: Any, *, causal: bool) -> Any:
        """[batch, tokens, heads, width] each; the result is [batch * tokens, heads * width]."""
        by_head = (each.transpose(1, 2) for each in (query, keys, values))
        grouped = self.shape.heads != self.shape.kv_heads
        found = scaled_dot_product_attention(*by_head, is_causal=causal, enable_gqa=grouped)
        return found.transpose(1, 2).reshape(-1, self.shape.heads * self.shape.head_dim)

    def _views(self, work: Work, layer: int) -> tuple[Any, Any]:
        heads = (self.shape.kv_heads, self.shape.head_dim)
        split, size = self._elements(work.prompts * work.prompt_tokens), self._elements(work.cached_tokens)
        mine = self._cache[layer * size : (layer + 1) * size]
        prompts = mine[:split].view(2, work.prompts, work.prompt_tokens, *heads)
        return prompts, mine[split:].view(2, work.sequences, work.context + 1, *heads)

    def _elements(self, tokens: int) -> int:
        """Values of keys and values of so many tokens in one layer."""
        return 2 * tokens * self.shape.kv_heads * self.shape.head_dim

    def _random(self, *sizes: int) -> Any:
        drawn = torch.empty(sizes, dtype=torch.bfloat16, device=self.device)
        for piece in drawn.view(-1).split(_FILL):
            piece.normal_(0.0, self._spread)
        return drawn

    def _ones(self, size: int) -> Any:
        return torch.ones(size, dtype=torch.bfloat16, device=self.device)


def _kernels(shape: Architecture, *, compiled: bool) -> tuple[Callable[..., Any], ...]:
    """Everything between matrix products and attention: add and norm, rotate, gate."""
    heads, kv_heads, width = shape.heads, shape.kv_heads, shape.head_dim

    def add_norm(added: Any, residual: Any, weight: Any) -> tuple[Any, Any]:
        total = added + residual
        wide = total.float()
        scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + _NORM_EPSILON)
        return scaled.to(total.dtype) * weight, total

    def rotate(qkv: Any, cosines: Any, sines: Any) -> tuple[Any, Any]:
        each = qkv.view(qkv.shape[0], heads + 2 * kv_heads, width)
        low, high = each[:, : heads + kv_heads, : width // 2].float(), each[:, : heads + kv_heads, width // 2 :].float()
        cos, sin = cosines[:, None], sines[:, None]
        turned = torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1).to(qkv.dtype)
        return turned[:, :heads].contiguous(), torch.stack([turned[:, heads:], each[:, heads + kv_heads :]])

    def gate(both: Any) -> Any:
        gated, passed = both.chunk(2, dim=-1)
        return silu(gated) * passed

    plain = (add_norm, rotate, gate)
    if not compiled:
        return plain
    torch._dynamo.config.recompile_limit = 64  # one token and many are different code
    return tuple(torch.compile(each, dynamic=True, fullgraph=True) for each in plain)
