"""WallClock: real time, looked at in rounds, so that what happens in one round happens at one instant.

A round begins when every task waits, and a timer is due or somebody has rung the bell: the clock reads the time, looks
at what the world has under way (steps, copies), fires the timers, and lets those who were woken run until all wait
again. `now()` is the time of the round, so a core that is asked for the next batch in the turn in which mail came is
asked at the instant of that mail, as in virtual time. A round takes some 0.1 ms, and no finer does a record of this
world resolve time.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from time import perf_counter_ns
from typing import Any, Final

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled
from trio.testing import wait_all_tasks_blocked

PS_PER_S: Final = 10**12
LONGEST_PAUSE_S: Final = 0.02
"""Between two rounds, where nobody rings and no timer is due: so long an interrupt may wait."""

WallEntry = list[Any]  # [time, sequence, action or None, vital]
_TIME, _ACTION, _VITAL = 0, 2, 3


class Bell:
    """Wakes the control plane, from any thread: waiting takes nothing from the threads that launch work."""

    def __init__(self) -> None:
        self._silent = Lock()
        self._silent.acquire()

    def ring(self) -> None:
        with suppress(RuntimeError):  # it has been rung and not heard yet
            self._silent.release()

    def wait(self, seconds: float) -> None:
        """Until it is rung, or was since the last time; at most so long."""
        self._silent.acquire(timeout=seconds)


class WallClock:
    """The one clock of a real cluster whose machines share a process; its 0 is when `start` was called.

    `liveness_ps`: how long only periodic entries may follow each other before the run counts as starved.
    """

    def __init__(self, liveness_ps: int = 120 * PS_PER_S) -> None:
        self.now_ps = 0
        self.wakeups = 0
        self.bell = Bell()
        self._zero_ns = perf_counter_ns()
        self._liveness_ps = liveness_ps
        self._heap: list[WallEntry] = []
        self._sequence = 0
        self._vital = 0
        self._vital_ps = 0
        self._under_way: list[Callable[[], bool]] = []

    def clear(self) -> None:
        """Forget the timers of a run that is over, and its time."""
        self._heap.clear()
        self._vital = self._vital_ps = self.now_ps = 0

    def start(self) -> None:
        """Now is 0."""
        self._zero_ns = perf_counter_ns()
        self.now_ps = self._vital_ps = 0

    def now(self) -> int:
        return self.now_ps

    def signal(self, name: str) -> WallSignal:
        """A signal for one task; in real time its name orders nothing."""
        del name
        return WallSignal(self)

    def watch(self, look: Callable[[], bool]) -> None:
        """Call `look` in every round: it does what has become due, and says whether anything is still under way."""
        self._under_way.append(look)

    def call_at(self, at_ps: int, action: Callable[[], object], *, vital: bool = True) -> WallEntry:
        """Do `action` in the first round at or after that time; equal times keep their order."""
        self._sequence += 1
        entry = [at_ps, self._sequence, action, vital]
        heapq.heappush(self._heap, entry)
        self._vital += vital
        return entry

    def cancel(self, entry: WallEntry) -> None:
        """Forget an entry that has not fired; one that has stays as it was."""
        if entry[_ACTION] is not None:
            entry[_ACTION] = None
            self._vital -= entry[_VITAL]

    async def starved(self, quiet: Callable[[], bool] = lambda: False) -> None:
        """Round after round, until nothing can ever happen again, or only what repeats. Raises what the world does.

        Where `quiet` says that nothing is open, what repeats is not waited for: real seconds pass meanwhile.
        """
        while True:
            await wait_all_tasks_blocked()
            self.now_ps = max(self.now_ps, (perf_counter_ns() - self._zero_ns) * 1000)
            before = self.wakeups
            busy = False
            for look in self._under_way:
                busy = look() or busy
            self._fire()
            if busy or self._vital or self.wakeups != before:
                self._vital_ps = self.now_ps
            if self.wakeups != before:
                continue
            if not busy and self._is_starved(quiet):
                return
            self._pause()

    def _fire(self) -> None:
        heap = self._heap
        while heap and (heap[0][_TIME] <= self.now_ps or heap[0][_ACTION] is None):
            entry = heapq.heappop(heap)
            action, entry[_ACTION] = entry[_ACTION], None
            if action is not None:
                self._vital -= entry[_VITAL]
                action()

    def _is_starved(self, quiet: Callable[[], bool]) -> bool:
        if self._vital:
            return False
        return quiet() or not self._heap or self._heap[0][_TIME] > self._vital_ps + self._liveness_ps

    def _pause(self) -> None:
        """Until there may be something to do. All tasks wait for this clock, so that trio may stand still."""
        left_s = (self._heap[0][_TIME] - self.now_ps) / PS_PER_S if self._heap else LONGEST_PAUSE_S
        if left_s > 0:
            self.bell.wait(min(left_s, LONGEST_PAUSE_S))


class WallSignal:
    """One task's wait. Whoever comes first, the timer, `set` or a cancel, ends it."""

    def __init__(self, clock: WallClock) -> None:
        self._clock = clock
        self._set = False
        self._task: Task | None = None
        self._timer: WallEntry | None = None

    def set(self) -> None:
        if not self._set:
            self._set = True
            self._wake()

    def clear(self) -> None:
        self._set = False

    async def wait(self, until_ps: int | None = None, *, periodic: bool = False) -> None:
        """Until it is set, or until the first round at or after `until_ps`."""
        clock = self._clock
        if self._set:
            await trio.lowlevel.checkpoint()
            return
        self._task = current_task()
        self._timer = None if until_ps is None else clock.call_at(until_ps, self._wake, vital=not periodic)
        try:
            await wait_task_rescheduled(self._abort)
        finally:
            self._forget()

    def _wake(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._clock.wakeups += 1
            reschedule(task)

    def _forget(self) -> None:
        if self._timer is not None:
            self._clock.cancel(self._timer)
        self._task = self._timer = None

    def _abort(self, _: RaiseCancelT) -> Abort:
        self._forget()
        return Abort.SUCCEEDED
