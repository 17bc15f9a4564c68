"""FakeWorker: a GPU worker that sleeps for as long as the cost model says.

A decode batch in which nothing can change is one sleep however many tokens it makes: step k takes `first + k * growth`,
so the end of any step is closed form. It stops at the first boundary at which a sequence is done or mail has come.
Which batch runs is decided elsewhere; how long it takes, and when a sequence's last token comes, is decided here.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from attrs import define

from emu.control.batch import Batch, Slice
from emu.fake.clock import HeapClock, HeapSignal
from emu.fake.costs import Costs
from emu.fake.leap import LayerTimes, Leap
from emu.fake.model import Extent, FakeModel, KvMemory
from emu.fake.plan import SCALE
from emu.node.ports import Ran, Signal


@define(eq=False, repr=False)
class _Sequence:
    """A sequence that decodes here: at worker step `base_step` it had `delivered` tokens."""

    blocks: list[int]
    base_step: int
    delivered: int
    fingerprint: int
    last_step: int
    attempt: int
    extents: list[Extent] | None  # what its blocks are, when it joined: as long as they are sound, nobody need look
    growth: Extent | None  # what further blocks go on


class FakeWorker:
    """The worker of one machine, of a model with `layers` layers."""

    def __init__(
        self,
        clock: HeapClock,
        costs: Costs,
        model: FakeModel,
        memory: KvMemory,
        layers: int,
        layer_sync_ps: int,
        block_tokens: int,
    ) -> None:
        self._clock, self._costs, self._model = clock, costs, model
        self.memory = memory
        self._layers, self._layer_sync_ps = layers, layer_sync_ps
        self._block_tokens = block_tokens
        self._sequences: dict[int, _Sequence] = {}
        self._steps = 0  # decode steps so far
        self._lasts: list[tuple[int, int]] = []  # (worker step of the last token, request)
        self._batch: Batch | None = None
        self._leap: Leap | None = None
        self._context_ps = 0  # of the first step of the leap, what rests on the cost of context
        self._layer_times: LayerTimes | None = None
        self._running = False
        self._curbed = False  # no step begins after the one under way
        self.factor = SCALE  # thousandths of the time that a step takes

    def steps_done(self, now: int) -> int:
        """Steps of the latest batch that ended before `now`, but for a last one that nobody has noticed yet."""
        leap = self._leap
        return 0 if leap is None else min(max(0, leap.steps_until(now) - 1), leap.limit - 1)

    def layer_times(self) -> LayerTimes | None:
        """Of the prefill under way, if one is."""
        return self._layer_times

    def start(self, batch: Batch) -> None:
        self._change(batch)
        now, costs, factor = self._clock.now_ps, self._costs, self.factor
        self._batch = batch
        self._running = True
        if batch.prefills:
            tokens, prompts = batch.prompt_tokens, len(batch.prefills)
            cached = sum(piece.first for piece in batch.prefills)
            duration = costs.mixed_ps(tokens, prompts, cached, batch.sequences, batch.context_tokens)
            if batch.layer_wise:
                duration += self._layers * self._layer_sync_ps
            if factor != SCALE:
                duration = duration * factor // SCALE
            self._context_ps = 0
            if batch.sequences:
                self._context_ps = costs.decode_coefficients(batch.sequences)[1] * batch.context_tokens
            self._leap = Leap(now, duration, 0, 1)
            self._layer_times = LayerTimes(now, duration, self._layers)
        else:
            base, unit = costs.decode_coefficients(batch.sequences)
            if factor != SCALE:
                base, unit = base * factor // SCALE, unit * factor // SCALE
            self._context_ps = unit * batch.context_tokens
            limit = min(batch.max_steps, self._steps_to_last())
            self._leap = Leap(now, base + self._context_ps, unit * batch.sequences, limit)

    async def finish(self, mail: Signal) -> Ran:
        leap, batch = self._leap, self._batch
        assert isinstance(mail, HeapSignal)
        assert leap is not None
        assert batch is not None
        end_ps = leap.end_ps(leap.limit)
        await mail.wait(end_ps, defer=leap.boundary)
        now_ps = self._clock.now_ps
        steps = leap.limit if now_ps == end_ps else leap.steps_until(now_ps)
        closes = self._curbed
        if closes:
            steps, self._curbed = min(steps, leap.limit), False
        self._layer_times = None
        self._running = False
        if batch.sequences:
            self._steps += steps
        context_ps = steps * self._context_ps + leap.growth_ps * (steps * (steps - 1) // 2)
        return Ran(
            steps,
            self._stopped(batch),
            leap.first_ps,
            leap.growth_ps,
            context_ps,
            self._unmeasured(batch, steps),
            closes,
        )

    def _write_prefilled(self, piece: Slice) -> None:
        content = self._model.content(piece.request_id)
        self.memory.write(piece.blocks[: -(-piece.count // self._block_tokens)], content)

    def leave(self, left: tuple[int, ...], grown: tuple[tuple[int, int], ...]) -> None:
        # what leaves has decoded with its own blocks, which may be another's from now on, also of one that leaves after
        # it; of an attempt that was given up they may be another's by now
        for request_id in left:
            gone = self._sequences.get(request_id)
            if gone is not None and self._model.is_fenced(request_id, gone.attempt):
                del self._sequences[request_id]
            self._grow(lent for lent in grown if lent[0] == request_id)
            self._leave(request_id)

    def curb(self) -> bool:
        """Let no step begin after the one under way; whether one is. Whoever waits for it must be woken."""
        leap = self._leap
        if not self._running or leap is None:
            return False
        leap.limit = min(leap.limit, max(1, leap.steps_until(self._clock.now_ps)))
        self._curbed = True
        if self._batch is not None:
            for piece in self._batch.prefills:  # puts that follow land whenever the process goes on
                self._write_prefilled(piece)
        return True

    def flush(self, request_id: int) -> None:
        """Say the tokens of a request that decodes here, with those of steps that have ended by now."""
        sequence = self._sequences.get(request_id)
        if sequence is not None:
            steps = self._steps
            if self._running and self._batch is not None and self._batch.sequences:
                steps += self.steps_done(self._clock.now_ps)
            self._say(request_id, sequence, steps)
            sequence.delivered += steps - sequence.base_step
            sequence.base_step = steps

    def cut(self) -> Ran:
        """The worker is gone: what it had done of the batch under way. The step under way is lost."""
        leap, batch = self._leap, self._batch
        if not self._running or leap is None or batch is None:
            return Ran(0, (), 0)
        self._running = False
        steps = self.steps_done(self._clock.now_ps)
        self._steps += steps
        for request_id, sequence in self._sequences.items():
            self._say(request_id, sequence, self._steps)
        context_ps = steps * self._context_ps + leap.growth_ps * (steps * (steps - 1) // 2)
        unmeasured = self._unmeasured(batch, steps) if steps else 0
        return Ran(steps, (), leap.first_ps, leap.growth_ps, context_ps, unmeasured, True)

    def _change(self, batch: Batch) -> None:
        if batch.left:
            self.leave(batch.left, batch.grown)
        self._grow(batch.grown)
        for piece in batch.joined:
            self._join(piece)

    def _grow(self, grown: Iterable[tuple[int, int]]) -> None:
        for request_id, block in grown:
            sequence = self._sequences.get(request_id)
            if sequence is not None:  # it may have left before its last blocks were named
                if sequence.growth is None:
                    first, content = len(sequence.blocks), self._model.content(request_id)
                    sequence.growth = self.memory.write((block,), content, first)
                    if sequence.extents is not None:
                        sequence.extents.append(sequence.growth)
                else:
                    self.memory.append(sequence.growth, block)
                sequence.blocks.append(block)

    def _join(self, piece: Slice) -> None:
        content = self._model.content(piece.request_id)
        cached = -(-piece.first // self._block_tokens)
        delivered = piece.first + 1 - self._model.prompt_tokens[piece.request_id]
        last_step = self._steps + self._model.output_tokens[piece.request_id] - delivered
        blocks = list(piece.blocks)
        extents = self.memory.extents(blocks[:cached], content)
        fingerprint = content if extents is not None else self.memory.read(blocks[:cached], content)
        if len(blocks) > cached:
            if not self.memory.holds(blocks[-1], content, len(blocks) - 1):  # it did not only sit out: these are new
                self.memory.write(blocks[cached:], content, cached)
            extents = self.memory.extents(blocks, content)
        last = extents[-1] if extents else None
        growth = last if last is not None and last.first + len(last.blocks) == len(blocks) else None
        self._sequences[piece.request_id] = _Sequence(
            blocks, self._steps, delivered, fingerprint, last_step, piece.attempt, extents, growth
        )
        heapq.heappush(self._lasts, (last_step, piece.request_id))

    def _leave(self, request_id: int) -> None:
        """The tokens that a sequence has had since it joined, if `_stopped` has not said them already."""
        sequence = self._sequences.pop(request_id, None)
        if sequence is not None:
            self._say(request_id, sequence, self._steps)

    def _say(self, request_id: int, sequence: _Sequence, steps: int) -> None:
        """Those of the steps from its first one here to number `steps`."""
        made = steps - sequence.base_step
        if made:
            fingerprint = sequence.fingerprint
            content = self._model.content(request_id)
            if fingerprint == content and not _sound(sequence.extents):  # still what it was when it joined?
                fingerprint = self.memory.read(sequence.blocks, content)
            first, last = sequence.delivered + 1, sequence.delivered + made
            self._model.say(request_id, fingerprint, first, last, sequence.attempt)

    def _steps_to_last(self) -> int:
        lasts = self._lasts
        while True:
            step, request_id = lasts[0]
            sequence = self._sequences.get(request_id)
            if sequence is not None and sequence.last_step == step:
                return step - self._steps
            heapq.heappop(lasts)

    def _stopped(self, batch: Batch) -> tuple[int, ...]:
        """The requests whose last token came in the step that has just ended."""
        stopped = []
        lasts = self._lasts
        while lasts and lasts[0][0] <= self._steps:
            step, request_id = heapq.heappop(lasts)
            sequence = self._sequences.get(request_id)
            if sequence is not None and sequence.last_step == step:
                self._leave(request_id)
                stopped.append(request_id)
        for piece in batch.prefills:
            content, request_id = self._model.content(piece.request_id), piece.request_id
            self._write_prefilled(piece)
            before = piece.count - self._model.prompt_tokens[request_id]  # of an attempt that resumes, as of one again
            self._model.say(request_id, content, before + 1, before + 1, piece.attempt)
            if before + 1 >= self._model.output_tokens[request_id]:
                stopped.append(request_id)
        return tuple(stopped)

    def _unmeasured(self, batch: Batch, steps: int) -> int:
        """How many of the steps lie outside what the costs were measured on."""
        if batch.prefills:
            return int(not self._costs.measured_prefill(batch.prompt_tokens, len(batch.prefills)))
        measured, size = self._costs.measured, batch.sequences
        first, last = measured(size, batch.context_tokens), measured(size, batch.context_tokens + size * (steps - 1))
        if first and last:
            return 0
        if steps == 1 or not (first or last):
            return steps
        inside, outside = (0, steps - 1) if first else (steps - 1, 0)
        while abs(outside - inside) > 1:  # the range has one end between them
            middle = (inside + outside) // 2
            if measured(size, batch.context_tokens + size * middle):
                inside = middle
            else:
                outside = middle
        return steps - outside if first else outside + 1


def _sound(extents: list[Extent] | None) -> bool:
    return extents is not None and all(extent.sound for extent in extents)
