"""HeapClock: virtual time. One heap orders everything that happens to emulated code.

trio asks its clock how long to sleep only when no task can run: there the clock jumps to the next heap entry, wakes one
task, and says 0. What the emulated world does by itself (a message arrives, a transfer ends) are entries that call a
plain function. Order at one instant: the world before the tasks, then by key, then by sequence; a key follows from the
interleaving seed, the written name of who waits or sends, and the time, so neither start order nor trio's own shuffle
nor another thread's pokes can change it. trio's deadlines and sleeps must not be used in emulated code.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from typing import Any, Final

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

TIME: Final = 0
WAKE: Final = 4
HeapEntry = list[Any]  # [time, rank, key, sequence, task or function or None, vital]
_VITAL: Final = 5
FAULT, WORLD, TASK = -1, 0, 1
PS_PER_S: Final = 10**12


class TasksMadeRunnable(Exception):
    """Raised at the end of an action of the world that started or cancelled tasks: they run before anything fires."""


class HeapClock(trio.abc.Clock):
    """Virtual time in integer picoseconds, for one run of one cluster.

    `liveness_ps`: how long only periodic entries may follow each other before the run counts as starved.
    """

    def __init__(self, interleaving: int = 0, liveness_ps: int = 120 * PS_PER_S) -> None:
        self.now_ps = 0
        self.wakeups = 0
        self.failure: BaseException | None = None
        self._interleaving = interleaving
        self._liveness_ps = liveness_ps
        self._heap: list[HeapEntry] = []
        self._sequence = 0
        self._vital = 0  # entries that are not merely periodic
        self._vital_ps = 0  # when the last of them fired
        self.firing_vital = True  # whether what fires now is more than periodic
        self._supervisor: Task | None = None

    def now(self) -> int:
        return self.now_ps

    def start_clock(self) -> None:
        """Nothing to start: time moves when nothing else can."""

    def current_time(self) -> float:
        return self.now_ps / PS_PER_S

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """trio's question when no task can run: fire heap entries until one makes a task runnable."""
        del deadline
        heap = self._heap
        while heap and not (self._vital == 0 and heap[0][TIME] > self._vital_ps + self._liveness_ps):
            entry = heapq.heappop(heap)
            wake = entry[WAKE]
            if wake is None:
                continue
            entry[WAKE] = None
            self.now_ps = entry[TIME]
            self.firing_vital = entry[_VITAL]
            if self.firing_vital:
                self._vital -= 1
                self._vital_ps = self.now_ps
            if type(wake) is Task:
                self.firing_vital = True  # what a task does is judged by what it asks for
                self.wakeups += 1
                reschedule(wake)
                return 0
            try:
                wake()
            except TasksMadeRunnable:
                return 0
            except BaseException as failure:  # a bug in the world: raised in the supervisor, where it has a traceback
                self.failure = failure
                break
        return self._wake_supervisor()

    def salt(self, name: str) -> int:
        """What makes the keys of everything that `name` waits for or sends."""
        seed = f"{self._interleaving}/{name}".encode()
        return int.from_bytes(hashlib.blake2b(seed, digest_size=7).digest())

    def call_at(self, at_ps: int, salt: int, action: Callable[[], object], *, vital: bool = True) -> HeapEntry:
        """The world does `action` at that time; what one sender does at one instant keeps its order."""
        self._sequence += 1
        entry = [at_ps, WORLD, hash((salt, at_ps)), self._sequence, action, vital]
        heapq.heappush(self._heap, entry)
        self._vital += vital
        return entry

    def _push(self, entry: HeapEntry) -> HeapEntry:
        self._sequence += 1
        heapq.heappush(self._heap, entry)
        self._vital += entry[_VITAL]
        return entry

    def call_first(self, at_ps: int, action: Callable[[], object], turn: int = 0) -> HeapEntry:
        """A fault does `action` at that time, before all else that happens at that instant; a lower `turn` first."""
        self._sequence += 1
        entry = [at_ps, FAULT, turn, self._sequence, action, True]
        heapq.heappush(self._heap, entry)
        self._vital += 1
        return entry

    def cancel(self, entry: HeapEntry) -> None:
        """Forget an entry that has not fired; one that has stays as it was."""
        if entry[WAKE] is not None:
            entry[WAKE] = None
            self._vital -= entry[_VITAL]

    def wake_at(self, at_ps: int, salt: int, task: Task, vital: bool) -> HeapEntry:
        """`task`, which waits, is rescheduled at that time unless the entry is cancelled before."""
        self._sequence += 1
        entry = [at_ps, TASK, hash((salt, at_ps)), self._sequence, task, vital]
        heapq.heappush(self._heap, entry)
        self._vital += vital
        return entry

    def signal(self, name: str) -> HeapSignal:
        return HeapSignal(self, self.salt(name))

    async def starved(self) -> None:
        """Until nothing can ever happen again, or only what repeats; raises what the world raised."""
        self._supervisor = current_task()

        def abort(_: RaiseCancelT) -> Abort:
            self._supervisor = None
            return Abort.SUCCEEDED

        await wait_task_rescheduled(abort)
        if self.failure is not None:
            raise self.failure

    def _wake_supervisor(self) -> float:
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return 1.0  # no emulated code is left: trio is waiting for something of its own
        reschedule(supervisor)
        return 0


class HeapSignal:
    """One task's wait. It has one winner: whoever takes the heap entry first, be it the timer, `set` or a cancel."""

    __slots__ = ("_clock", "_defer", "_entry", "_salt", "_set", "_task")

    def __init__(self, clock: HeapClock, salt: int) -> None:
        self._clock = clock
        self._salt = salt
        self._set = False
        self._task: Task | None = None
        self._entry: HeapEntry | None = None
        self._defer: Callable[[int], int] | None = None

    def clear(self) -> None:
        self._set = False

    def set(self) -> None:
        if self._set:
            return
        self._set = True
        if self._task is None:
            return
        clock, entry = self._clock, self._entry
        at_ps = clock.now_ps if self._defer is None else self._defer(clock.now_ps)
        if entry is not None:
            if entry[WAKE] is None or entry[TIME] <= at_ps:
                return
            clock.cancel(entry)
        self._entry = clock.wake_at(at_ps, self._salt, self._task, clock.firing_vital)

    async def wait(
        self, until_ps: int | None = None, *, periodic: bool = False, defer: Callable[[int], int] | None = None
    ) -> None:
        """Until it is set, at the time that `defer` makes of that instant, or until `until_ps`."""
        clock = self._clock
        if self._set:
            set_ps = clock.now_ps if defer is None else defer(clock.now_ps)
            until_ps = set_ps if until_ps is None else min(set_ps, until_ps)
        self._task, self._defer = current_task(), defer
        self._entry = None if until_ps is None else clock.wake_at(until_ps, self._salt, self._task, not periodic)
        try:
            await wait_task_rescheduled(self._abort)
        finally:
            self._task = self._entry = self._defer = None

    def _abort(self, _: RaiseCancelT) -> Abort:
        if self._entry is not None:
            self._clock.cancel(self._entry)
        return Abort.SUCCEEDED
