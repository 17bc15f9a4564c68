"""TorchWorker: a worker that computes. Each batch is one real step of a decoder over a paged KV pool on one device.

It keeps its decoding sequences between batches, as the port asks. A step is launched by the device's thread, whose end
rings the clock's bell, one step a batch however many it may run: blocks that a longer run would need are named
between batches only. Each is a run of its own in the record, as long as it was measured to be. When a sequence has its
last token is known here and nowhere above.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from attrs import define

from emu.control.batch import Batch, Kind, Slice
from emu.node.ports import Ran, Signal
from emu.real.answers import Answers, digest, mark
from emu.real.clock import WallClock
from emu.real.decoder import HEAD, Decoder, Prompts
from emu.real.device import Device, Mark
from emu.real.pool import KvPool
from emu.real.prompt_steps import PromptSteps
from emu.real.shape import VOCABULARY
from emu.real.steps import DecodeSteps


@define(eq=False)
class _Sequence:
    """A sequence that decodes here: it joined with `delivered` tokens and has had `made` since."""

    request_id: int
    blocks: list[int]
    row: int
    delivered: int
    to_make: int
    fingerprint: int
    made: int = 0


@define(eq=False)
class _Read:
    """The blocks of a sequence, whose stamps are read in a step."""

    sequence: _Sequence
    blocks: list[int]
    seen: torch.Tensor | None = None  # complete when the step is


@define(eq=False)
class _Step:
    """A step under way. Its tensors on the host are complete when `end` is reached."""

    batch: Batch
    started_ps: int
    end: Mark
    layers: tuple[Mark, ...]  # of a prefill whose caches leave layer by layer
    sequences: list[_Sequence]  # by row
    reads: list[_Read]
    first_tokens: torch.Tensor | None = None
    tokens: torch.Tensor | None = None


class TorchWorker:
    """The worker of machine `index`. `answers` may be exchanged while nothing runs and no sequence is here."""

    def __init__(self, index: int, clock: WallClock, device: Device, decoder: Decoder, pool: KvPool) -> None:
        self.index, self.device, self.pool, self.shape = index, device, pool, decoder.shape
        self.answers = Answers((), (), 1)
        self.finished = 0  # batches
        self._clock, self._decoder = clock, decoder
        self._steps = DecodeSteps(device, decoder, pool)
        self._short = PromptSteps(device, decoder, pool)
        self._rows = self._steps.rows.numpy()
        self._over = clock.signal(f"worker {index}")
        self._sequences: dict[int, _Sequence] = {}
        self._order: list[_Sequence] = []
        self._step: _Step | None = None
        clock.watch(self._look)

    def prepare(self) -> None:
        """To be run by the device's thread before any batch: what must be compiled or captured once."""
        if self.device.graphs:
            with self.device.computing():
                self._steps.capture()
                self._short.capture()
                for tokens in (2**power for power in range(4, self.shape.most_tokens.bit_length())):
                    self.answers = Answers([tokens], [1], VOCABULARY)
                    blocks = tuple(range(-(-tokens // self.shape.block_tokens)))
                    if len(blocks) <= self.shape.blocks:
                        piece = Slice(0, 0, 0, tokens, Kind.PREFILL, 1, blocks)
                        prompts = self._prompts((piece,))
                        self._decoder.prefill(prompts, self.pool, lambda _: None)
                        self._rows[0, :HEAD], self._rows[0, HEAD:] = 0, self.pool.nobodys
                        self._decoder.mixed(prompts, self._steps.given(1), self.pool, lambda _: None)
            self.device.settle()

    def steps_done(self, now: int) -> int:
        """A step that has ended is counted at once, so none is done while one runs."""
        del now
        return 0

    def prefill_marks(self) -> tuple[int, tuple[Mark, ...]]:
        """The number of the batch that runs, and where its layers are computed if they are to leave one by one."""
        step = self._step
        return self.finished, () if step is None else step.layers

    def start(self, batch: Batch) -> None:
        self._change(batch)
        reads = [_Read(self._sequences[p.request_id], list(p.blocks[: self._blocks(p.first)])) for p in batch.joined]
        reads += [_Read(s, s.blocks[: self._blocks(self._rows[s.row, 1] + 1)]) for s in self._order if s.to_make == 1]
        layers = tuple(self.device.mark() for _ in range(self.shape.layers)) if batch.layer_wise else ()
        self._step = step = _Step(batch, self._clock.now_ps, self.device.mark(), layers, list(self._order), reads)
        self.device.post(lambda: self._launch(step))

    def leave(self, left: tuple[int, ...], grown: tuple[tuple[int, int], ...]) -> None:
        del grown  # what was never read needs no place
        for request_id in left:
            sequence = self._sequences.pop(request_id, None)
            if sequence is not None:
                self._leave(sequence)

    async def finish(self, mail: Signal) -> Ran:
        del mail  # one step is the least there is
        await self._over.wait()
        self._over.clear()
        step, self._step = self._step, None
        assert step is not None
        self.finished += 1
        took_ps = self._clock.now_ps - step.started_ps
        stopped = (*self._decoded(step), *self._prefilled(step))
        return Ran(1, stopped, took_ps, closes=True)  # no step takes as long as another

    def cut(self) -> Ran:
        """A machine of this world shares its process with all others, and crashes with them."""
        return Ran(0, (), 0)

    def _look(self) -> bool:
        self.device.check()
        step = self._step
        if step is None:
            return False
        if step.end.reached():
            self._over.set()
        return True

    def _launch(self, step: _Step) -> None:
        """In the device's thread."""
        device, batch = self.device, step.batch
        with device.computing():
            if batch.prefills:
                prompts = self._prompts(batch.prefills)
                last = self.shape.layers - 1

                def computed(layer: int) -> None:
                    if step.layers and layer < last:
                        step.layers[layer].set()

                if not step.layers and self._short.takes(prompts):  # launched at once, in one graph or two
                    if step.sequences:
                        step.tokens = self._steps.launch(len(step.sequences))
                    step.first_tokens = self._short.launch(prompts)
                elif step.sequences:
                    rows = self._steps.given(len(step.sequences))
                    tokens = device.fetch(self._decoder.mixed(prompts, rows, self.pool, computed))
                    step.first_tokens, step.tokens = tokens[: len(prompts.lengths)], tokens[len(prompts.lengths) :]
                else:
                    step.first_tokens = device.fetch(self._decoder.prefill(prompts, self.pool, computed))
            else:
                step.tokens = self._steps.launch(len(step.sequences))
            for read in step.reads:
                read.seen = device.fetch(self.pool.seen(device.put(read.blocks)))
            if step.layers:  # the last layer is computed when the step is
                step.layers[-1].set()
            step.end.set()
            device.ring_at_step(step.end)

    def _prompts(self, pieces: Iterable[Slice]) -> Prompts:
        """All their columns, sent to the device as one: each copy takes the process time that other machines need."""
        size, answers = self.shape.block_tokens, self.answers
        texts: list[int] = []
        columns: list[list[torch.Tensor]] = [[], [], [], []]  # places, token blocks, blocks, stamps
        lengths: list[int] = []
        for piece in pieces:
            texts += answers.text(piece.request_id, piece.count)
            content, blocks = answers.content(piece.request_id), piece.blocks[: self._blocks(piece.count)]
            places, written = torch.arange(piece.count), torch.tensor(blocks)
            stamps = torch.arange(content, content + len(blocks))
            for column, part in zip(columns, (places, written[places // size], written, stamps), strict=True):
                column.append(part)
            lengths.append(piece.count)
        every = [torch.tensor(texts), *map(torch.cat, columns), torch.tensor(lengths).cumsum(0) - 1]
        sent = self.device.put(torch.cat(every)).split([len(column) for column in every])
        text, place, token_block, block, stamp, ends = sent
        return Prompts(text, place, token_block, place % size, tuple(lengths), block, stamp, ends)

    def _change(self, batch: Batch) -> None:
        """Bring the sequences up to date."""
        self.leave(batch.left, batch.grown)
        for request_id, block in batch.grown:
            sequence = self._sequences.get(request_id)
            if sequence is not None:  # it may have left before its last blocks were named
                self._rows[sequence.row, HEAD + len(sequence.blocks)] = block
                sequence.blocks.append(block)
        for piece in batch.joined:
            self._join(piece)

    def _join(self, piece: Slice) -> None:
        answers, request_id = self.answers, piece.request_id
        delivered = piece.first + 1 - answers.prompt_tokens[request_id]
        to_make = answers.output_tokens[request_id] - delivered
        content = answers.content(request_id)
        sequence = _Sequence(request_id, list(piece.blocks), len(self._order), delivered, to_make, content)
        self._sequences[request_id] = sequence
        self._order.append(sequence)
        row = self._rows[sequence.row]
        row[:HEAD] = answers.last(request_id), piece.first, mark(request_id)
        row[HEAD : HEAD + len(piece.blocks)] = piece.blocks

    def _leave(self, sequence: _Sequence) -> None:
        """Say what it was answered since it joined; the last row takes its row."""
        if sequence.made:
            first = sequence.delivered + 1
            self.answers.say(sequence.request_id, sequence.fingerprint, first, sequence.delivered + sequence.made)
        last = self._order.pop()
        if last is not sequence:
            self._order[sequence.row] = last
            self._rows[sequence.row] = self._rows[last.row]
            last.row = sequence.row

    def _decoded(self, step: _Step) -> list[int]:
        """Every sequence of the step has a token more; those whose last one it was."""
        for read in step.reads:
            self._check(read)
        if step.tokens is None:
            return []
        tokens = step.tokens.tolist()
        rows = len(tokens)
        self._rows[:rows, 0] = tokens
        self._rows[:rows, 1] += 1
        stopped = []
        for sequence, token in zip(step.sequences, tokens, strict=True):
            self.answers.computed(sequence.request_id, token)
            sequence.made += 1
            sequence.to_make -= 1
            if not sequence.to_make:
                stopped.append(sequence)
        for sequence in stopped:
            del self._sequences[sequence.request_id]
            self._leave(sequence)
        return [sequence.request_id for sequence in stopped]

    def _prefilled(self, step: _Step) -> list[int]:
        if step.first_tokens is None:
            return []
        stopped, answers = [], self.answers
        for piece, token in zip(step.batch.prefills, step.first_tokens.tolist(), strict=True):
            request_id = piece.request_id
            before = 0 if piece.kind is Kind.PREFILL else piece.count - answers.prompt_tokens[request_id]
            answers.computed(request_id, token)
            answers.say(request_id, answers.content(request_id), before + 1, before + 1)
            if before + 1 >= answers.output_tokens[request_id]:
                stopped.append(request_id)
        return stopped

    def _check(self, read: _Read) -> None:
        """What the sequence's attention saw, by the stamps of every layer."""
        assert read.seen is not None
        sequence = read.sequence
        content = self.answers.content(sequence.request_id)
        expected = torch.arange(content, content + len(read.blocks))
        if bool((read.seen != expected).any()):
            sequence.fingerprint = digest(repr(read.seen.tolist()))

    def _blocks(self, tokens: int) -> int:
        """Blocks that so many tokens of one sequence fill."""
        return -(-int(tokens) // self.shape.block_tokens)
