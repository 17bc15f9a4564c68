"""The processes of machines that may stop and go on: a clock whose signals wake nobody while a gate is shut.

A paused process has all its tasks behind a shut gate, a hung one its engine's. What was posted or launched before goes
on by itself. A run that no fault can strike has plain signals and none of this.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field, frozen
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, wait_task_rescheduled

from emu.fake.clock import HeapClock, HeapEntry, HeapSignal


@define(eq=False)
class Gate:
    """Shut by `shut` faults at once; open when none of them is left."""

    clock: HeapClock
    salt: int
    shut: int = 0
    _parked: dict[Task, HeapEntry | None] = field(init=False, factory=dict)

    def close(self) -> None:
        self.shut += 1

    def open(self) -> None:
        self.shut -= 1
        if not self.shut:
            for task in self._parked:
                self._parked[task] = self.clock.wake_at(self.clock.now_ps, self.salt, task, True)

    async def passed(self) -> None:
        """Until the gate is open."""
        while self.shut:
            task = current_task()
            self._parked[task] = None
            try:
                await wait_task_rescheduled(self._abort)
            finally:
                entry = self._parked.pop(task)
                if entry is not None:
                    self.clock.cancel(entry)

    def _abort(self, _: RaiseCancelT) -> Abort:
        return Abort.SUCCEEDED


class GatedSignal(HeapSignal):
    """A signal whose waits end only while the gate is open."""

    __slots__ = ("_gate",)

    def __init__(self, clock: HeapClock, salt: int, gate: Gate) -> None:
        super().__init__(clock, salt)
        self._gate = gate

    async def wait(
        self, until_ps: int | None = None, *, periodic: bool = False, defer: Callable[[int], int] | None = None
    ) -> None:
        if until_ps is not None:
            until_ps = max(until_ps, self._clock.now_ps)  # it may have passed while the process was stopped
        await super().wait(until_ps, periodic=periodic, defer=defer)
        if self._gate.shut:
            await self._gate.passed()


@frozen
class Process:
    """The Clock port of one machine that faults may stop: its engine's signal has one gate, all others another."""

    clock: HeapClock
    engine: Gate
    transfers: Gate

    @classmethod
    def of(cls, clock: HeapClock, name: str) -> Process:
        return cls(clock, Gate(clock, clock.salt(f"{name}/engine")), Gate(clock, clock.salt(f"{name}/transfers")))

    def now(self) -> int:
        return self.clock.now_ps

    def signal(self, name: str) -> GatedSignal:
        gate = self.engine if name.endswith("/engine") else self.transfers
        return GatedSignal(self.clock, self.clock.salt(name), gate)
