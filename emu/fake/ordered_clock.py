"""OrderedClock: a HeapClock on which the order of what happens at one instant is told, rather than left to a seed.

It costs a little more than the plain one, so it is there only for runs that ask. What happens, and when, is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from trio.lowlevel import Task

from emu.fake.clock import PS_PER_S, TASK, WORLD, HeapClock, HeapEntry


class OrderedClock(HeapClock):
    """`goes_first` are heap entries, by the number in which they are made, that go before all others of their kind at
    their instant, as long as whoever sent or waits had nothing else to happen then: what one sender does at one instant
    keeps its order. `steady`: ties go by names alone, whatever the time is."""

    def __init__(
        self,
        interleaving: int = 0,
        liveness_ps: int = 120 * PS_PER_S,
        goes_first: Iterable[int] = (),
        *,
        steady: bool = False,
    ) -> None:
        super().__init__(interleaving, liveness_ps)
        self._goes_first = frozenset(goes_first)
        self._steady = steady
        self._keys: dict[tuple[int, int, int], int] = {}  # of who has something to happen, by time, kind and name

    def call_at(self, at_ps: int, salt: int, action: Callable[[], object], *, vital: bool = True) -> HeapEntry:
        return self._put_on(at_ps, WORLD, salt, action, vital)

    def wake_at(self, at_ps: int, salt: int, task: Task, vital: bool) -> HeapEntry:
        return self._put_on(at_ps, TASK, salt, task, vital)

    def _put_on(self, at_ps: int, rank: int, salt: int, wake: object, vital: bool) -> HeapEntry:
        key = salt if self._steady else hash((salt, at_ps))
        if self._goes_first:
            if self._sequence + 1 in self._goes_first:
                key = -(1 << 63)
            key = self._keys.setdefault((at_ps, rank, salt), key)
        return self._push([at_ps, rank, key, self._sequence + 1, wake, vital])
