"""PromptSteps: prefills of one short prompt, captured as graphs where the device can.

Launching a prefill kernel by kernel takes a process that two machines and the router share some 8 to 20 ms, however
short the prompt; a graph is launched at once. A prompt is padded to the next size that was captured: what pads compute
goes into the block that belongs to nobody, and since they stand behind the prompt no token of it attends to them.
Prompts that are longer, or several, or whose caches leave layer by layer, are launched kernel by kernel elsewhere.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from attrs import evolve

from emu.real.decoder import Decoder, Prompts
from emu.real.device import Device
from emu.real.pool import KvPool

SIZES: Final = (64, 128, 192, 256, 320, 384, 448, 512)
WARM_UPS: Final = 2


class PromptSteps:
    """`sizes` are the tokens that prompts are padded to."""

    def __init__(self, device: Device, decoder: Decoder, pool: KvPool) -> None:
        shape = decoder.shape
        self._device, self._decoder, self._pool = device, decoder, pool
        self.sizes = tuple(size for size in SIZES if size <= shape.most_tokens)
        most, self._block_tokens = max(self.sizes, default=0), shape.block_tokens
        blocks = -(-most // shape.block_tokens)

        def zeros(count: int) -> torch.Tensor:
            return torch.zeros(count, dtype=torch.int64, device=device.where)

        self._room = Prompts(
            zeros(most), zeros(most), zeros(most), zeros(most), (most,), zeros(blocks), zeros(blocks), zeros(1)
        )
        self._graphs: dict[int, tuple[Any, torch.Tensor]] = {}

    def capture(self) -> None:
        """To be called from the device's thread, before any step, with nothing else under way on it."""
        self._room.token_blocks.fill_(self._pool.nobodys)
        self._room.blocks.fill_(self._pool.nobodys)
        graphs = torch.cuda.graph_pool_handle()
        for size in reversed(self.sizes):
            prompt = self._first(size)
            for _ in range(WARM_UPS):
                self._decoder.prefill(prompt, self._pool, lambda _: None)
            torch.cuda.synchronize(self._device.where)
            graph = torch.cuda.CUDAGraph()
            stream = torch.cuda.current_stream(self._device.where)  # else one that belongs to the first device
            with torch.cuda.graph(graph, pool=graphs, stream=stream, capture_error_mode="thread_local"):
                tokens = self._decoder.prefill(prompt, self._pool, lambda _: None)
            self._graphs[size] = graph, tokens
        torch.cuda.synchronize(self._device.where)

    def takes(self, prompts: Prompts) -> bool:
        """Whether these are one prompt for which there is a graph."""
        return len(prompts.lengths) == 1 and prompts.lengths[0] <= max(self._graphs, default=0)

    def launch(self, prompts: Prompts) -> torch.Tensor:
        """The next token of the one prompt, on the host when a mark behind this is reached."""
        graph, tokens = self._graphs[self.padded(prompts).lengths[0]]
        graph.replay()
        return self._device.fetch(tokens)

    def padded(self, prompts: Prompts) -> Prompts:
        """The prompt in the room that graphs read, with pads behind it."""
        length = prompts.lengths[0]
        room = self._first(next(size for size in self.sizes if size >= length))
        pairs = (
            (room.tokens, prompts.tokens),
            (room.places, prompts.places),
            (room.token_offsets, prompts.token_offsets),
        )
        for theirs, ours in (*pairs, (room.token_blocks, prompts.token_blocks)):
            theirs[:length].copy_(ours)
        room.token_blocks[length:].fill_(self._pool.nobodys)
        written = prompts.blocks.shape[0]
        room.blocks[:written].copy_(prompts.blocks)
        room.blocks[written:].fill_(self._pool.nobodys)
        room.stamps[:written].copy_(prompts.stamps)
        room.ends.copy_(prompts.ends)
        return room

    def _first(self, size: int) -> Prompts:
        """The room's first `size` tokens."""
        room, blocks = self._room, -(-size // self._block_tokens)
        return evolve(
            room,
            tokens=room.tokens[:size],
            places=room.places[:size],
            token_blocks=room.token_blocks[:size],
            token_offsets=room.token_offsets[:size],
            lengths=(size,),
            blocks=room.blocks[:blocks],
            stamps=room.stamps[:blocks],
        )
