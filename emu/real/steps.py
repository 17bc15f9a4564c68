"""DecodeSteps: decode steps of one decoder as its device runs them best, captured as graphs where it can.

A step's rows are padded to the next size that was captured; padding decodes into the block that belongs to nobody.
"""

from __future__ import annotations

from typing import Any, Final

import torch

from emu.real.decoder import HEAD, Decoder
from emu.real.device import Device
from emu.real.pool import KvPool

GRAPH_SIZES: Final = (1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 192, 256, 384, 512)
WARM_UPS: Final = 2


class DecodeSteps:
    """`rows` is where the caller puts a step's rows on the host: [sequences, HEAD + sequence blocks]."""

    def __init__(self, device: Device, decoder: Decoder, pool: KvPool) -> None:
        shape = decoder.shape
        self._device, self._decoder, self._pool = device, decoder, pool
        self._sizes = [size for size in GRAPH_SIZES if size < shape.sequences] + [shape.sequences]
        self.rows = device.host(shape.sequences, HEAD + shape.sequence_blocks)
        self._rows = torch.zeros(self.rows.shape, dtype=torch.int32, device=device.where)
        self._graphs: dict[int, tuple[Any, torch.Tensor]] = {}

    def capture(self) -> None:
        """To be called from the device's thread, before any step, with nothing else under way on it."""
        self._rows[:, HEAD:] = self._pool.nobodys
        pool = torch.cuda.graph_pool_handle()
        for size in reversed(self._sizes):
            for _ in range(WARM_UPS):
                self._decoder.decode(self._rows[:size], self._pool)
            torch.cuda.synchronize(self._device.where)
            graph = torch.cuda.CUDAGraph()
            stream = torch.cuda.current_stream(self._device.where)  # else one that belongs to the first device
            with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                tokens = self._decoder.decode(self._rows[:size], self._pool)
            self._graphs[size] = graph, tokens
        torch.cuda.synchronize(self._device.where)

    def given(self, sequences: int) -> torch.Tensor:
        """The first `sequences` rows, on the device."""
        if not self._device.graphs:
            return self.rows[:sequences]
        return self._rows[:sequences].copy_(self.rows[:sequences], non_blocking=True)

    def launch(self, sequences: int) -> torch.Tensor:
        """One step of the first `sequences` rows; their tokens, on the host when a mark behind this is reached."""
        if not self._device.graphs:
            return self._device.fetch(self._decoder.decode(self.rows[:sequences], self._pool))
        size = next(size for size in self._sizes if size >= sequences)
        self.rows[sequences:size, :HEAD] = 0
        self.rows[sequences:size, HEAD:] = self._pool.nobodys
        self.given(size)
        graph, tokens = self._graphs[size]
        graph.replay()
        return self._device.fetch(tokens[:sequences])
