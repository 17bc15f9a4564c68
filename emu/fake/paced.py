"""PacedClock: virtual time that a wall clock, or a person, holds back. Pacing delays what fires, and changes nothing.

Virtual now is still the time of the last entry fired, and a paced run writes the record of one that was not paced.
Before each instant the clock asks its gate, which may wait, and may plan something earlier. Who waits, and for what, is
the gate's; `Pace` says when an instant is due.
"""

from __future__ import annotations

import heapq
from math import inf
from typing import Final, Protocol

from emu.fake.clock import PS_PER_S, TIME, WAKE, HeapClock, HeapEntry

LATEST_S: Final = 1.0  # how far a run may lag behind its pace and still catch up
_LAST: Final = 9  # rank behind all that happens at an instant


class Gate(Protocol):
    """Whoever holds a run back."""

    @property
    def open(self) -> bool:
        """Whether instants need not be asked for one by one."""

    def passes(self, at_ps: int) -> bool:
        """Wait until what is next, at `at_ps`, may fire. False: something earlier may have been planned; look again.

        What it raises ends the run, and comes out of it.
        """


class PacedClock(HeapClock):
    """A HeapClock with a gate before each instant."""

    def __init__(self, gate: Gate, interleaving: int = 0, liveness_ps: int = 120 * PS_PER_S) -> None:
        super().__init__(interleaving, liveness_ps)
        self._gate = gate
        self._stop: HeapEntry = [-1, _LAST, 0, 0, None, False]

    def deadline_to_sleep_time(self, deadline: float) -> float:
        if self._stop[WAKE] is None or not self._heap or self._stop[TIME] != self._heap[0][TIME]:
            try:
                self._ask()
            except Exception as failure:  # raised in the supervisor, as what the world raises is: trio takes none here
                self.failure = failure
        if self.failure is not None:
            return self._wake_supervisor()
        return super().deadline_to_sleep_time(deadline)

    def _ask(self) -> None:
        """Wait until the next instant may fire; an entry behind all others of that instant asks again."""
        heap, gate = self._heap, self._gate
        while heap:
            head = heap[0]
            if head[WAKE] is None:
                heapq.heappop(heap)
                continue
            if gate.passes(head[TIME]):
                break
        if heap and not gate.open:
            self._sequence += 1
            self._stop = [heap[0][TIME], _LAST, 0, self._sequence, self._ask, False]
            heapq.heappush(heap, self._stop)


class Pace:
    """When virtual instants are due by a wall clock: `factor` virtual seconds pass in one of its seconds."""

    def __init__(self, now_s: float, factor: float = 1.0, at_ps: int = 0) -> None:
        self.factor = factor
        self._from_s = now_s
        self._from_ps = at_ps

    def set(self, factor: float, now_s: float, at_ps: int) -> None:
        """From this moment on, at which it is `at_ps`."""
        self.factor, self._from_s, self._from_ps = factor, now_s, at_ps

    def due_s(self, at_ps: int) -> float:
        """When `at_ps` is, by the wall clock; long ago where the factor is endless."""
        if self.factor == inf:
            return -inf
        return self._from_s + (at_ps - self._from_ps) / PS_PER_S / self.factor

    def virtual_ps(self, now_s: float) -> int:
        """What time it is; only for a factor that is not endless."""
        return self._from_ps + round(max(0.0, now_s - self._from_s) * self.factor * PS_PER_S)

    def late(self, at_ps: int, now_s: float) -> None:
        """`at_ps` fires now. What is too late to be caught up is let go, so that the pace holds from here on."""
        behind_s = now_s - self.due_s(at_ps)
        if self.factor != inf and behind_s > LATEST_S:
            self._from_s += behind_s - LATEST_S
