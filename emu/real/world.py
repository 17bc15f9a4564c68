"""The devices of a real cluster and the workers on them, made ready: weights drawn, pools laid out, graphs captured."""

from __future__ import annotations

from threading import Event

import torch

from emu.real.attention import paged_attention
from emu.real.clock import Bell, WallClock
from emu.real.decoder import Attend, Decoder
from emu.real.device import CudaDevice, Device, Job
from emu.real.pool import KvPool
from emu.real.shape import DecoderShape
from emu.real.worker import TorchWorker
from emu.refusal import Refusal

TOLERANCE = 0.02
"""Of the norm of what attention finds in bfloat16 (8 bits of mantissa), between two orders of summation."""


def devices(machines: int, bell: Bell, *, cpu: bool) -> tuple[Device, ...]:
    """One for each machine. Raises Refusal where there are fewer GPUs than machines."""
    if cpu:
        return tuple(Device("cpu", bell) for _ in range(machines))
    gpus = torch.cuda.device_count()
    if gpus < machines:
        raise Refusal("--world real", f"expected a GPU for each of {machines} machines, got {gpus} (--world real-cpu?)")
    return tuple(CudaDevice(index, bell) for index in range(machines))


def worker_of(index: int, clock: WallClock, device: Device, shape: DecoderShape, seed: int) -> TorchWorker:
    """A worker that is ready for its first batch. Its weights are the same for every machine of one seed."""
    attend = _triton(shape, device) if device.graphs else paged_attention
    decoder = Decoder(shape, device.where, seed, attend)
    worker = TorchWorker(index, clock, device, decoder, KvPool(shape, device.where))
    device.settle()  # what was laid out here is used on streams that do not wait for this one
    _do(device, worker.prepare)
    return worker


def _do(device: Device, job: Job) -> None:
    """Have the device's thread do it, and wait."""
    over = Event()
    device.post(job)
    device.post(over.set)
    over.wait()
    device.check()


def _triton(shape: DecoderShape, device: Device) -> Attend:
    """The attention for a GPU, once it has shown on random caches that it finds what its definition finds."""
    from emu.real.triton_attention import PagedAttention

    attend = PagedAttention(shape.sequences, shape.heads, shape.head_dim, shape.most_tokens, device.where)

    def compare() -> None:
        where, draw = device.where, torch.Generator(device.where).manual_seed(0)
        sequences, tokens = min(4, shape.sequences), shape.most_tokens
        size = (sequences * shape.sequence_blocks, shape.block_tokens, shape.kv_heads, shape.head_dim)
        queries = torch.randn(sequences, shape.heads, shape.head_dim, device=where, generator=draw).bfloat16()
        keys, values = (torch.randn(size, device=where, generator=draw).bfloat16() for _ in range(2))
        tables = torch.randperm(size[0], device=where, generator=draw).to(torch.int32).view(sequences, -1)
        lengths = torch.tensor([1, tokens // 3 + 1, tokens - 1, tokens][:sequences], dtype=torch.int32, device=where)
        found, expected = (each(queries, keys, values, tables, lengths) for each in (attend, paged_attention))
        error = float((found.float() - expected.float()).norm() / expected.float().norm())
        if not error < TOLERANCE:
            raise ArithmeticError(f"attention on {where} is off by {error:.3g} of its norm")

    def compared() -> None:
        with device.computing():
            compare()

    _do(device, compared)
    return attend
