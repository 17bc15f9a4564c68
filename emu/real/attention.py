"""Attention of one new token a sequence over its paged cache, in plain PyTorch: the definition, and what a CPU runs.

It reads every sequence as far as the longest one goes. On a GPU `triton_attention` does the same work and reads only
what is there; a worker compares the two before it is used.
"""

from __future__ import annotations

import torch


def paged_attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, tables: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """[sequences, heads, numbers], as `queries`. `tables` names the blocks of each sequence, `lengths` its tokens.

    `keys` and `values` are one layer's: [blocks, tokens, heads, numbers]. Heads that share keys stand together.
    """
    sequences, heads, size = queries.shape
    kv_heads = keys.shape[2]
    seen = keys[tables].flatten(1, 2), values[tables].flatten(1, 2)  # [sequences, tokens, kv heads, numbers]
    grouped = queries.reshape(sequences, kv_heads, heads // kv_heads, size).float()
    scores = torch.einsum("skgd,stkd->skgt", grouped, seen[0].float()) * size**-0.5
    absent = torch.arange(scores.shape[-1], device=lengths.device) >= lengths[:, None]
    weights = scores.masked_fill(absent[:, None, None, :], float("-inf")).softmax(-1)
    found = torch.einsum("skgt,stkd->skgd", weights, seen[1].float())
    return found.reshape(sequences, heads, size).to(queries.dtype)
