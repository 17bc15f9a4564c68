"""What the sums over tensor-parallel shards cost: the stated formula that a shard's measured times lack.

Two all-reduces a layer, of one 16-bit vector of the model's width for each computed token. One of `bytes` over n GPUs
takes LATENCY_S + 2 (n - 1) / n * bytes / rate: a ring's traffic, and a start.
"""

from emu.calibrate.architecture import WEIGHT_BYTES
from emu.fake.profiles import ModelProfile

LATENCY_S = 18.5e-6
"""measurements/h200/all_reduce.csv: median up to 1 MiB over two GPUs, NCCL without multicast. Taken for 4 and 8 GPUs as
well, which is an assumption: engines' own one-shot kernels are about twice as quick, more GPUs somewhat slower."""

RATE_BYTES_PER_S = 287e9
"""The same file, the slope from 16 to 64 MiB, over NVLink of 450 GB/s each way."""


def all_reduce_ms(model: ModelProfile, tensor_parallel: int, computed_tokens: int) -> float:
    """Of one step that computes so many tokens, in milliseconds; 0 on one GPU."""
    if tensor_parallel == 1:
        return 0.0
    reduced_bytes = WEIGHT_BYTES * model.hidden * computed_tokens
    moved_s = 2 * (tensor_parallel - 1) / tensor_parallel * reduced_bytes / RATE_BYTES_PER_S
    return 2 * model.layers * (LATENCY_S + moved_s) * 1e3
