"""Decoder: the sequences that decode on one machine, their growth by KV blocks, and who is preempted.

All running sequences advance in lockstep, one token a step. So every sum is kept incrementally and the cost of a leap
of many steps is that of the blocks it takes: a sequence needs a block each `block_tokens` steps, always at the same
place of a wheel. Prompts must stay out of here, and so must what a step costs.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from attrs import define, field

from emu.control.batch import Kind, Slice
from emu.control.blocks import BlockPool
from emu.control.request import Move, Sequence

VictimChooser: TypeAlias = Callable[[list[tuple[Sequence, int]]], int]
"""Somebody else's victim: an index into running sequences and their delivered tokens, in the order of arrivals."""


@define(eq=False, repr=False)
class Decoder:
    """Sequences in step `steps` of this machine; `grows` is false where all blocks are reserved beforehand."""

    pool: BlockPool
    limit: int  # sequences a batch
    grows: bool = True
    choose_victim: VictimChooser | None = None
    steps: int = 0
    settled: int = 0  # of the leap under way, steps that are counted already
    leap_end: int = 0  # the step before which the leap under way ends, whatever its worker finds
    context_tokens: int = 0  # that the step under way reads, all sequences together
    ready: deque[Sequence] = field(factory=deque)
    running: dict[int, Sequence] = field(factory=dict)
    grown: list[tuple[int, int]] = field(factory=list)  # since the last batch
    _wheel: list[dict[int, Sequence]] = field(init=False)
    _place: dict[int, int] = field(init=False, factory=dict)  # request -> place on the wheel
    _ends: list[tuple[int, int]] = field(init=False, factory=list)  # (step at which max_tokens is reached, request)

    def __attrs_post_init__(self) -> None:
        self._wheel = [{} for _ in range(self.pool.block_tokens)]

    def delivered(self, sequence: Sequence) -> int:
        """Tokens that the client has of a running sequence."""
        return sequence.delivered + self.steps - sequence.base_step

    def context(self, sequence: Sequence) -> int:
        """Tokens that a running sequence's next step reads: the cached ones and its last token."""
        return sequence.request.prompt_tokens + self.delivered(sequence)

    def join(self, sequence: Sequence) -> Slice:
        """A ready sequence runs from the coming step on; its loan must hold that step's token."""
        loan = sequence.loan
        assert loan is not None
        sequence.move(Move.JOIN)
        request = sequence.request
        sequence.base_step = self.steps
        context = request.prompt_tokens + sequence.delivered
        self.context_tokens += context
        self.running[request.request_id] = sequence
        heapq.heappush(self._ends, (self.steps + request.max_tokens - sequence.delivered, request.request_id))
        if self.grows:
            slack = len(loan.blocks) * self.pool.block_tokens - context
            assert 0 <= slack < self.pool.block_tokens, "a sequence joins with the blocks of its next token, no more"
            place = (self.steps + slack + 1) % self.pool.block_tokens
            self._wheel[place][request.request_id] = sequence
            self._place[request.request_id] = place
        return Slice(request.request_id, sequence.attempt, context - 1, 1, Kind.DECODE, loan.number, tuple(loan.blocks))

    def leave(self, sequence: Sequence, move: Move) -> None:
        """A running sequence stops running; its count of delivered tokens becomes its own again."""
        request_id = sequence.request.request_id
        self.context_tokens -= self.context(sequence)
        sequence.delivered = self.delivered(sequence)
        sequence.move(move)
        del self.running[request_id]
        if self.grows:
            del self._wheel[self._place.pop(request_id)][request_id]

    def due_now(self) -> int:
        """Blocks that the step that starts now needs."""
        return len(self._wheel[self.steps % len(self._wheel)])

    def blocks_due(self, first: int, steps: int) -> int:
        """Blocks that the running sequences need for steps `first` to `first + steps - 1`."""
        rounds, rest = divmod(steps, len(self._wheel))
        due = rounds * len(self._place)
        for step in range(first, first + rest):
            due += len(self._wheel[step % len(self._wheel)])
        return due

    def max_steps(self) -> int:
        """The most steps that can run before a sequence needs a block that is not free, or has its last token."""
        ends = self._ends
        while ends and not self._is_current_end(*ends[0]):
            heapq.heappop(ends)
        most = ends[0][0] - self.steps
        free = self.pool.free_blocks
        at_most = len(self._place) * (most // len(self._wheel) + 1)  # cheaper than the exact count, and mostly enough
        if at_most > free and self.blocks_due(self.steps + 1, most - 1) > free:
            rounds = free // len(self._place)
            most = min(most, 1 + rounds * len(self._wheel))
            free -= rounds * len(self._place)
            while (due := len(self._wheel[(self.steps + most) % len(self._wheel)])) <= free:
                free -= due
                most += 1
        return most

    def grow(self) -> None:
        """Take the blocks of the step that starts now; `due_now()` of them must be free."""
        self._grow(self._wheel[self.steps % len(self._wheel)])

    def _grow(self, due: dict[int, Sequence]) -> None:
        for request_id, sequence in due.items():
            assert sequence.loan is not None
            self.grown.append((request_id, self.pool.extend(sequence.loan)))

    def settle(self, done: int) -> None:
        """`done` steps of the leap under way are done, and the next one is: it has its blocks. Those who ask for blocks
        in the middle of a leap find what stepping would have left."""
        wheel, step = self._wheel, self.steps
        self.steps += done - self.settled
        self.context_tokens += (done - self.settled) * len(self.running)
        self.settled = done
        while step < self.steps:
            step += 1
            if due := wheel[step % len(wheel)]:
                self._grow(due)

    def advance(self, steps: int) -> None:
        """The leap under way is over after `steps` steps."""
        self.settle(steps - 1)
        self.steps += 1
        self.context_tokens += len(self.running)
        self.settled = 0

    def too_long(self) -> bool:
        """Whether the leap under way, which is settled, could run out of blocks that were free when it began."""
        return bool(self.running) and self.steps + self.max_steps() < self.leap_end

    def victim(self, max_preemptions: int) -> Sequence:
        """Who is preempted when blocks run out: the latest arrival, none too often while another is left."""
        fresh = [sequence for sequence in self.running.values() if sequence.preemptions < max_preemptions]
        among = fresh or self.running.values()
        if self.choose_victim is not None and len(among) > 1:
            ordered = sorted(among, key=_arrival)
            return ordered[self.choose_victim([(sequence, self.delivered(sequence)) for sequence in ordered])]
        return max(among, key=_arrival)

    def full(self) -> list[Sequence]:
        """The running sequences whose client has as many tokens as it asked for."""
        found: dict[int, Sequence] = {}  # who left and came back may have the same end twice
        ends = self._ends
        while ends and ends[0][0] <= self.steps:
            step, request_id = heapq.heappop(ends)
            if self._is_current_end(step, request_id):
                found[request_id] = self.running[request_id]
        return list(found.values())

    def _is_current_end(self, step: int, request_id: int) -> bool:
        sequence = self.running.get(request_id)
        return sequence is not None and (step == sequence.base_step + sequence.request.max_tokens - sequence.delivered)


def _arrival(sequence: Sequence) -> tuple[int, int]:
    return sequence.request.arrived_ps, sequence.request.request_id
