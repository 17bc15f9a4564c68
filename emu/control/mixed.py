"""Scheduler: the machine-level scheduler, prompts first and decoding sequences beside them.

Every machine runs this one: a prefill machine has only prompts, a decode machine only decoding sequences, and a
machine moves between pools without a change of state here. It decides what the next batch is; it knows neither peers
nor transfers, nor what a step costs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from attrs import define, field, frozen

from emu.control.batch import Batch, InStep, Kind, Slice, StepResult
from emu.control.blocks import BlockPool
from emu.control.decode import Decoder, VictimChooser
from emu.control.prefill import Chooser, PrefillQueue, tokens_to_compute
from emu.control.request import Move, Phase, Sequence


@frozen(eq=False, repr=False)
class SchedulerRules:
    """Limits of a machine-level scheduler; the defaults are the paper's and its simulator's."""

    prefill_batch_tokens: int = 2048
    decode_batch: int = 512
    max_preemptions: int = 4  # and how often a decode may sit out a mixed batch before it goes first
    watermark: float = 0.01  # share of the blocks that joins leave free
    reserve_max_tokens: bool = False  # blocks for all of `max_tokens` from the start, so that nothing ever grows
    layer_wise_from_tokens: int = 512  # batches of at least so many prompt tokens hand over layer by layer
    max_steps: int = 0  # longest leap; 0 for no bound
    next_prompt: Chooser | None = None  # None: first come, first served
    choose_victim: VictimChooser | None = None  # None: the latest arrival
    by_layer: Callable[[int, int], bool] | None = None  # of a batch's prompt tokens and prompts; None: from so many on


class Outcome(NamedTuple):
    """What a step's end means: `prefilled` have a token more; `stopped` are over, some of those just prefilled too."""

    prefilled: tuple[Sequence, ...] = ()
    stopped: tuple[Sequence, ...] = ()


@define(eq=False, repr=False)
class Scheduler:
    """Which sequences this machine runs next."""

    pool: BlockPool
    rules: SchedulerRules
    here: int  # this machine's index: a sequence whose peer is another one hands its cache over
    prefills: PrefillQueue = field(init=False)
    decoder: Decoder = field(init=False)
    watermark_blocks: int = field(init=False)
    preempted: list[tuple[Sequence, int, int]] = field(init=False, factory=list)  # with loan and blocks given back
    failed: list[tuple[Sequence, int, int]] = field(init=False, factory=list)  # likewise, with nobody to preempt
    _batch: tuple[Sequence, ...] = field(init=False, default=())  # whose prefill runs
    _sitting_out: list[Sequence] = field(init=False, factory=list)
    _left: list[int] = field(init=False, factory=list)  # decoding in the last batch and not now
    _had_prompts: bool = field(init=False, default=False)  # in the last batch

    def __attrs_post_init__(self) -> None:
        rules = self.rules
        self.prefills = PrefillQueue(self.pool, rules.prefill_batch_tokens, rules.next_prompt)
        grows = not rules.reserve_max_tokens
        self.decoder = Decoder(self.pool, rules.decode_batch, grows, rules.choose_victim)
        self.watermark_blocks = int(self.pool.capacity * self.rules.watermark)

    @property
    def prefilling(self) -> tuple[Sequence, ...]:
        return self._batch

    @property
    def decoding(self) -> int:
        """Sequences that decode here or wait to."""
        return (
            len(self.decoder.running) + len(self.decoder.ready) + len(self._sitting_out) + len(self.prefills.preempted)
        )

    def blocks_wanted(self, sequence: Sequence) -> int:
        """Blocks that a sequence needs to be prefilled here and, if it stays, to run its first decode step."""
        request = sequence.request
        if sequence.peer != self.here and not sequence.delivered:
            return self.pool.blocks_for(request.prompt_tokens)
        return self.blocks_to_decode(request.prompt_tokens, request.max_tokens, sequence.delivered)

    def blocks_to_decode(self, prompt_tokens: int, max_tokens: int, delivered: int = 0) -> int:
        """Blocks with which a sequence joins: its cache and the token that its next step writes, or all it may ask."""
        if self.rules.reserve_max_tokens:
            return self.pool.blocks_for(prompt_tokens + max_tokens)
        return self.pool.blocks_for(prompt_tokens + delivered + 1)

    def has_room(self, blocks: int) -> bool:
        """Whether `blocks` may be lent to a newcomer: the watermark stays free unless nothing at all is lent."""
        free = self.pool.free_blocks
        return blocks <= free - self.watermark_blocks or (free == self.pool.capacity and blocks <= free)

    def next_batch(self) -> Batch | None:
        """The batch to run now, or None where nothing can run. Takes blocks, and preempts where they run out."""
        decoder = self.decoder
        if not (decoder.running or decoder.ready or self.prefills):
            return None
        if decoder.due_now():
            self._make_room()
            decoder.grow()
        joined = self._join() if decoder.ready else []
        prefills = self._take_prompts() if self.prefills else ()
        tokens = sum(piece.count for piece in prefills) if prefills else 0
        if prefills and decoder.running:
            joined = self._sit_out(tokens, joined)
        sequences = len(decoder.running)
        if not prefills and not sequences:
            return None
        left, self._left = tuple(self._left), []
        after_prompts, self._had_prompts = self._had_prompts, bool(prefills)
        grown, decoder.grown = tuple(decoder.grown), []
        most = 1 if prefills else decoder.max_steps()
        if self.rules.max_steps:
            most = min(most, self.rules.max_steps)
        decoder.leap_end = decoder.steps + most
        return Batch(
            prefills=prefills,
            joined=tuple(joined),
            left=left,
            grown=grown,
            sequences=sequences,
            context_tokens=decoder.context_tokens,
            max_steps=most,
            prompt_tokens=tokens,
            layer_wise=bool(prefills) and self._leaves_by_layer(tokens),
            changed=bool(prefills or joined or left) or after_prompts,
        )

    @property
    def gone(self) -> tuple[int, ...]:
        """Who has left since the last batch; the next one says so."""
        return tuple(self._left)

    def finish(self, result: StepResult) -> Outcome:
        """Count the steps done; who has a first token, and who is over."""
        decoder = self.decoder
        if decoder.running:
            decoder.advance(result.steps)
        stopped = [self._stop(decoder.running[r]) for r in result.stopped if r in decoder.running]
        stopped += [self._stop(sequence) for sequence in decoder.full()]
        while self._sitting_out:
            decoder.ready.appendleft(self._sitting_out.pop())
        prefilled, self._batch = self._batch, ()
        for sequence in prefilled:
            sequence.delivered += 1
            request = sequence.request
            if request.request_id in result.stopped or sequence.delivered >= request.max_tokens:
                sequence.move(Move.END)
                stopped.append(sequence)
            elif sequence.peer != self.here and sequence.delivered == 1:
                sequence.move(Move.HAND_OVER)
            else:
                sequence.move(Move.PREFILLED)
                decoder.ready.append(sequence)
        return Outcome(prefilled, tuple(stopped))

    def _leaves_by_layer(self, tokens: int) -> bool:
        """Whether the caches of this batch leave while it is computed; those that stay do not leave at all."""
        if all(sequence.peer == self.here for sequence in self._batch):
            return False
        by_layer = self.rules.by_layer
        if by_layer is None:
            return tokens >= self.rules.layer_wise_from_tokens
        return by_layer(tokens, len(self._batch))

    def find(self, request_id: int, attempt: int) -> Sequence | None:
        """That attempt, if it waits for a prefill here, decodes here or is ready to; to be asked between steps."""
        decoder, queue = self.decoder, self.prefills
        running = decoder.running.get(request_id)
        if running is not None and running.attempt == attempt:
            return running
        waiting = (*decoder.ready, *queue.preempted, *queue.waiting)  # another attempt may, while one decodes
        mine = (s for s in waiting if s.request.request_id == request_id and s.attempt == attempt)
        return next(mine, None)

    def everyone(self) -> tuple[Sequence, ...]:
        """All that `find` could find."""
        decoder, queue = self.decoder, self.prefills
        return (*decoder.running.values(), *decoder.ready, *queue.preempted, *queue.waiting)

    def in_step(self, steps: int) -> InStep:
        """Who is in the step under way, of whose leap `steps` are done."""
        decoder = self.decoder
        unsettled = steps - decoder.settled
        return (
            *((s.request.request_id, s.attempt, s.told) for s in self._batch),
            *(
                (r, s.attempt, s.request.resumed_tokens + decoder.delivered(s) + unsettled)
                for r, s in decoder.running.items()
            ),
        )

    def aside(self) -> tuple[Sequence, ...]:
        """All whom `everyone` leaves out while a step is under way: its prompts, and those that sit it out."""
        return (*self._batch, *self._sitting_out)

    def withdraw(self, sequence: Sequence) -> None:
        """One of `everyone` is over; its loan stays its own."""
        if sequence.phase is Phase.DECODING:
            self._stop(sequence)
            return
        if sequence.phase is Phase.READY:
            self.decoder.ready.remove(sequence)
        else:
            self.prefills.remove(sequence)
        sequence.move(Move.END)

    def _stop(self, sequence: Sequence) -> Sequence:
        self.decoder.leave(sequence, Move.END)
        self._left.append(sequence.request.request_id)
        return sequence

    def _make_room(self) -> None:
        """Preempt until the blocks of the coming step are free. Alone with the whole pool, a sequence has failed."""
        decoder, pool = self.decoder, self.pool
        while decoder.due_now() > pool.free_blocks:
            sequence = decoder.victim(self.rules.max_preemptions)
            loan = sequence.loan
            assert loan is not None
            held, alone = len(loan.blocks), pool.free_blocks + len(loan.blocks) == pool.capacity
            self._left.append(sequence.request.request_id)
            decoder.leave(sequence, Move.END if alone else Move.PREEMPT)
            sequence.loan = None
            pool.give_back(loan)
            if alone:
                self.failed.append((sequence, loan.number, held))
                continue
            sequence.preemptions += 1
            self.prefills.put_back(sequence)
            self.preempted.append((sequence, loan.number, held))

    def _join(self) -> list[Slice]:
        decoder, joined = self.decoder, []
        while decoder.ready and len(decoder.running) < decoder.limit:
            joined.append(decoder.join(decoder.ready.popleft()))
        return joined

    def _take_prompts(self) -> tuple[Slice, ...]:
        pieces: list[Slice] = []
        taken: list[Sequence] = []
        tokens = 0
        while (head := self.prefills.head()) is not None and self.has_room(blocks := self.blocks_wanted(head)):
            sequence = self.prefills.take(tokens)
            if sequence is None:
                break
            sequence.move(Move.START_PREFILL)
            request = sequence.request
            loan = sequence.loan = self.pool.lend(request.request_id, sequence.attempt, blocks)
            count = tokens_to_compute(sequence)
            kind = Kind.RECOMPUTE if sequence.delivered else Kind.PREFILL
            pieces.append(Slice(request.request_id, sequence.attempt, 0, count, kind, loan.number, tuple(loan.blocks)))
            taken.append(sequence)
            tokens += count
        self._batch = tuple(taken)
        return tuple(pieces)

    def _sit_out(self, prompt_tokens: int, joined: list[Slice]) -> list[Slice]:
        """Beside prompts, decodes ride as far as the batch's token limit allows; who sat out too often rides anyway."""
        decoder = self.decoder
        room = self.rules.prefill_batch_tokens - prompt_tokens
        if len(decoder.running) <= room:
            return joined
        fresh = {piece.request_id for piece in joined}
        for sequence in sorted(decoder.running.values(), key=_seniority(self.rules.max_preemptions)):
            if sequence.sat_out >= self.rules.max_preemptions or room > 0:
                sequence.sat_out = 0
                room -= 1
                continue
            decoder.leave(sequence, Move.SIT_OUT)
            sequence.sat_out += 1
            self._sitting_out.append(sequence)
            if sequence.request.request_id not in fresh:
                self._left.append(sequence.request.request_id)
        return [piece for piece in joined if piece.request_id in decoder.running]


def _seniority(limit: int) -> Callable[[Sequence], tuple[bool, int, int]]:
    def key(sequence: Sequence) -> tuple[bool, int, int]:
        return sequence.sat_out < limit, sequence.request.arrived_ps, sequence.request.request_id

    return key
