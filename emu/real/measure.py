"""How long the steps of a real world's own workers and the copies between them take: the table that `fit` reads.

Batches are made up and run through the same port as a cluster's, so what a step costs here holds the launch, the device
and the look that notices its end. KV blocks of a cell are its own, as far as the pool goes; larger cells are left out.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Final

import trio

from emu.control.batch import Batch, Kind, Slice
from emu.control.commands import Put
from emu.node.ports import Signal
from emu.real.answers import Answers
from emu.real.clock import WallClock
from emu.real.link import CudaLink
from emu.real.rows import CopyRow, StepRow
from emu.real.shape import VOCABULARY
from emu.real.worker import TorchWorker
from emu.record.entries import Entry

PS_PER_MS: Final = 10**9
PROMPTS: Final = (16, 32, 64, 128, 256, 384, 512, 768, 1024, 1280, 1536, 2048, 4096, 8192)
BATCHED_PROMPTS: Final = (128, 256, 512)
BATCHES: Final = (2, 3, 4, 6, 8, 12, 16)
SEQUENCES: Final = (1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96, 128, 256, 512)
CONTEXTS: Final = (32, 128, 512, 1024, 2048, 4096, 8192)
MIXED_PROMPTS: Final = (64, 256, 512, 640, 1024, 2048)
MIXED_SEQUENCES: Final = (1, 8, 24, 64)
MIXED_CONTEXTS: Final = (256, 1024)
RUNS: Final = 9
WARM: Final = 2
MOST_PROMPT_TOKENS: Final = 4096  # of a batch of several


class Bench:
    """Two machines of a cluster: steps run on the first, and copies go to the second."""

    def __init__(self, clock: WallClock, source: TorchWorker, target: TorchWorker, kv_bytes_per_token: int) -> None:
        self._clock, self._source = clock, source
        self._shape = source.shape
        self._mail: Signal = clock.signal("nobody")
        self._landed: Signal = clock.signal("landed")
        self._rested: Signal = clock.signal("rested")
        self._layers = self._shape.layers
        self._link = CudaLink(
            clock, (source, target), kv_bytes_per_token, self._layers, self, lambda *_: None, lambda *_: None
        )
        self._numbers = count(1)
        self.steps: list[StepRow] = []
        self.copies: list[CopyRow] = []

    def write(self, entry: Entry) -> None:
        """What the link records is that a put has landed."""
        del entry
        self._landed.set()

    def run(self) -> None:
        """Measure everything; `steps` and `copies` hold what was found."""
        self._clock.clear()
        trio.run(self._main)

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._measure)
            self._clock.start()
            await self._clock.starved()

    async def _measure(self) -> None:
        most, room = self._shape.most_tokens, self._shape.blocks
        single = [(1, each) for each in PROMPTS if each < most]
        batched = [each for each in BATCHED_PROMPTS if each < most]
        even = [(n, each) for each in batched for n in BATCHES if n * each <= MOST_PROMPT_TOKENS]
        for prompts, each in single + even:
            if prompts * self._blocks(each) <= room:
                self._row("prefill", prompts, each, [await self._prefill(prompts, each) for _ in range(RUNS)])
        left = 0
        widest = self._shape.sequences
        for sequences in sorted({widest, *(size for size in SEQUENCES if size < widest)}):
            for context in CONTEXTS:
                if context + RUNS < most and sequences * self._blocks(context + RUNS) <= room:
                    await self._decode(sequences, context, left)
                    left = sequences
        await self._prefill(1, 16, left=left)
        await self._mix(widest, most, room)
        for _, each in single:
            if self._blocks(each) <= room:
                await self._copy(each)

    async def _mix(self, widest: int, most: int, room: int) -> None:
        """Steps of a prompt beside sequences that decode, as far as pool and tables go."""
        for context in MIXED_CONTEXTS:
            for sequences in MIXED_SEQUENCES:
                for prompt in MIXED_PROMPTS:
                    blocks = sequences * self._blocks(context + RUNS) + self._blocks(prompt)
                    if sequences <= widest and max(context + RUNS, prompt) < most and blocks <= room:
                        await self._decode(sequences, context, 0, prompt)
                        await self._prefill(1, 16, left=sequences)

    async def _prefill(self, prompts: int, each: int, left: int = 0, follow: bool = False) -> float:
        source = self._source
        source.answers = Answers([each] * prompts, [1 << 30] * prompts, VOCABULARY)
        pieces = tuple(
            Slice(number, 0, 0, each, Kind.PREFILL, next(self._numbers), blocks)
            for number, blocks in enumerate(self._lend(prompts, self._blocks(each)))
        )
        source.start(Batch(pieces, (), tuple(range(left)), (), 0, 0, 1, prompts * each, follow, True))
        if follow:
            self._put(each, follow=True)
        return await self._finished(rest=not follow)

    async def _finished(self, *, rest: bool) -> float:
        """Milliseconds of the step under way. With `rest`, as much time without work follows: prompts without a pause
        take a GPU to the limit of its power, and then longer."""
        took_ms = (await self._source.finish(self._mail)).first_step_ps / PS_PER_MS
        if rest:
            await self._rest(took_ms)
        return took_ms

    async def _rest(self, ms: float) -> None:
        await self._rested.wait(self._clock.now_ps + round(ms * PS_PER_MS))

    async def _decode(self, sequences: int, context: int, left: int, prompt: int = 0) -> None:
        """With `prompt` tokens of another request in each step, if there are any."""
        source = self._source
        lengths = [context] * sequences + [prompt]
        source.answers = answers = Answers(lengths, [1 << 30] * len(lengths), VOCABULARY)
        joined = []
        for number, blocks in enumerate(self._lend(sequences, self._blocks(context + RUNS))):
            answers.computed(number, number)
            joined.append(Slice(number, 0, context, 1, Kind.DECODE, next(self._numbers), blocks))
        beside: tuple[Slice, ...] = ()
        if prompt:
            first = sequences * self._blocks(context + RUNS)
            blocks = tuple(range(first, first + self._blocks(prompt)))
            beside = (Slice(sequences, 0, 0, prompt, Kind.PREFILL, next(self._numbers), blocks),)
        gone = tuple(range(left))
        batch = Batch(beside, tuple(joined), gone, (), sequences, sequences * context, 1, prompt, False, True)
        took = []
        for _ in range(RUNS):
            source.start(batch)
            took.append(await self._finished(rest=bool(prompt)))
            batch = batch._replace(joined=(), left=(), changed=False)
        self._row("mixed" if prompt else "decode", sequences, context + (RUNS + WARM) // 2, took, prompt)

    async def _copy(self, each: int) -> None:
        serialized, remainders, followed, alone, behind = [], [], [], [], []
        for _ in range(RUNS):
            alone.append(await self._prefill(1, each))
            serialized.append(await self._until_landed(lambda: self._put(each, follow=False)))
            self._put(each, follow=False)
            behind.append(await self._prefill(1, each))
            await self._until_landed(lambda: None)
        for _ in range(RUNS):
            followed.append(await self._prefill(1, each, follow=True))
            remainders.append(await self._until_landed(lambda: None))
            await self._rest(followed[-1])
        measured = (serialized, remainders, followed, alone, behind)
        copy_ms, remainder_ms, followed_ms, alone_ms, behind_ms = (statistics.median(ms[WARM:]) for ms in measured)
        self.copies.append(CopyRow(each, copy_ms, remainder_ms, followed_ms, RUNS - WARM, alone_ms, behind_ms))

    async def _until_landed(self, post: Callable[[], None]) -> float:
        began_ps = self._clock.now_ps
        post()
        await self._landed.wait()
        self._landed.clear()
        return (self._clock.now_ps - began_ps) / PS_PER_MS

    def _put(self, each: int, follow: bool) -> None:
        blocks = next(self._lend(1, self._blocks(each)))
        layers = (0, self._layers - 1)
        self._link.put(0, Put(0, next(self._numbers), 1, blocks, 1, blocks, each, layers, follow))

    def _lend(self, loans: int, blocks: int) -> Iterator[tuple[int, ...]]:
        return (tuple(range(first * blocks, (first + 1) * blocks)) for first in range(loans))

    def _blocks(self, tokens: int) -> int:
        return -(-tokens // self._shape.block_tokens)

    def _row(self, phase: str, batch: int, context: int, took_ms: Sequence[float], prompt: int = 0) -> None:
        kept = took_ms[WARM:]
        self.steps.append(StepRow(phase, batch, context, statistics.median(kept), len(kept), prompt))
