"""PrefillQueue: prompts in the order in which they came, batched up to a number of tokens.

First come, first served: a prompt that must wait for memory holds back those behind it, so that none starves. A
preempted sequence goes to the head. Decoding sequences must stay out of here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from attrs import define, field

from emu.control.blocks import BlockPool
from emu.control.request import Sequence

Chooser: TypeAlias = Callable[[list[Sequence]], int]
"""Somebody else's order: the index of the sequence that goes next, of two or more that wait."""


@define(eq=False, repr=False)
class PrefillQueue:
    """Sequences that wait for a prefill; `queued_tokens` are the prompt tokens among them, recomputed ones excluded.

    First come, first served, unless `next_prompt` is there to choose.
    """

    pool: BlockPool
    batch_tokens: int
    next_prompt: Chooser | None = None
    queued_tokens: int = 0
    preempted: deque[Sequence] = field(factory=deque)
    waiting: deque[Sequence] = field(factory=deque)
    _chosen: Sequence | None = field(init=False, default=None)  # until another comes, or it is taken

    def __len__(self) -> int:
        return len(self.preempted) + len(self.waiting)

    def add(self, sequence: Sequence) -> None:
        self.waiting.append(sequence)
        self._chosen = None
        self.queued_tokens += sequence.request.prompt_tokens

    def put_back(self, sequence: Sequence) -> None:
        """A preempted sequence goes before all others; several in the order of their arrivals, ties by request."""
        earlier = [other for other in self.preempted if _arrival(other) < _arrival(sequence)]
        self.preempted.insert(len(earlier), sequence)

    def remove(self, sequence: Sequence) -> None:
        """It waits no more; raises ValueError where it did not."""
        if sequence.delivered:
            self.preempted.remove(sequence)
            return
        self.waiting.remove(sequence)
        self._chosen = None
        self.queued_tokens -= sequence.request.prompt_tokens

    def head(self) -> Sequence | None:
        if self.preempted:
            return self.preempted[0]
        if self.next_prompt is not None and len(self.waiting) > 1:
            return self._choice(self.next_prompt)
        return self.waiting[0] if self.waiting else None

    def take(self, tokens_before: int) -> Sequence | None:
        """The next sequence, if a batch that has `tokens_before` prompt tokens has room for it.

        The first of a batch always has room: a prompt longer than the limit runs alone.
        """
        head = self.head()
        if head is None or (tokens_before and tokens_before + tokens_to_compute(head) > self.batch_tokens):
            return None
        if self.preempted:
            return self.preempted.popleft()
        self.queued_tokens -= head.request.prompt_tokens
        if self.next_prompt is None:
            return self.waiting.popleft()
        self.waiting.remove(head)
        self._chosen = None
        return head

    def _choice(self, next_prompt: Chooser) -> Sequence:
        """Asked once for every queue that is new, so that whoever chooses need not answer alike twice."""
        if self._chosen is None or self._chosen not in self.waiting:
            waiting = list(self.waiting)
            self._chosen = waiting[next_prompt(waiting)]
        return self._chosen


def tokens_to_compute(sequence: Sequence) -> int:
    """A prompt's tokens; of a preempted sequence the delivered ones too, whose cache was given back."""
    return sequence.request.prompt_tokens + sequence.delivered


def _arrival(sequence: Sequence) -> tuple[int, int]:
    return sequence.request.arrived_ps, sequence.request.request_id
