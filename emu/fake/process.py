"""The processes of machines that may stop and go on: a clock whose signals wake nobody while a gate is shut.

A paused process has all its tasks behind a shut gate, a hung one its engine's. What was posted or launched before goes
on by itself. A run that no fault can strike has plain signals and none of this.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field, frozen
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, wait_task_rescheduled

from emu.fake.clock import HeapClock, HeapEntry, HeapSignal
from emu.fake.skew import Skew


@define(eq=False, repr=False)
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

    __slots__ = ("_gate", "_skew")

    def __init__(self, clock: HeapClock, salt: int, gate: Gate, skew: Skew | None = None) -> None:
        super().__init__(clock, salt)
        self._gate, self._skew = gate, skew

    async def wait(
        self, until_ps: int | None = None, *, periodic: bool = False, defer: Callable[[int], int] | None = None
    ) -> None:
        if until_ps is not None:
            if self._skew is not None:
                until_ps = self._skew.true(until_ps)
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
    skew: Skew | None = None  # how its clock differs, if it does

    @classmethod
    def of(cls, clock: HeapClock, name: str, skew: Skew | None = None) -> Process:
        engine, transfers = (Gate(clock, clock.salt(f"{name}/{part}")) for part in ("engine", "transfers"))
        return cls(clock, engine, transfers, skew)

    def now(self) -> int:
        now_ps = self.clock.now_ps
        return now_ps if self.skew is None else self.skew.own(now_ps)

    def signal(self, name: str) -> GatedSignal:
        """The engine's is waited for by its worker, which has the true time; all others by the machine itself."""
        if name.endswith("/engine"):
            return GatedSignal(self.clock, self.clock.salt(name), self.engine)
        return GatedSignal(self.clock, self.clock.salt(name), self.transfers, self.skew)
