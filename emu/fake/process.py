"""The processes of machines that may stop and go on: a clock whose signals wake nobody while a gate is shut.

A paused process has all its tasks behind a shut gate, a hung one its engine's. What was posted or launched before goes
on by itself. A fault may hang on a process's wakeup, and strikes before it does anything about what woke it. A run that
no fault can strike has plain signals and none of this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import define, field, frozen
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, wait_task_rescheduled

from emu.fake.clock import HeapClock, HeapEntry, HeapSignal
from emu.fake.skew import Skew

Woken: TypeAlias = Callable[[], bool]
"""Told whenever a loop of the process wakes; whether it is to let others come first."""


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
    """A signal whose waits end only while the gate is open. Where `woken` says so, whoever has waited lets everything
    else come first that is to happen at that instant: between this await and whatever it does next."""

    __slots__ = ("_gate", "_skew", "_woken")

    def __init__(
        self, clock: HeapClock, salt: int, gate: Gate, skew: Skew | None = None, woken: Woken | None = None
    ) -> None:
        super().__init__(clock, salt)
        self._gate, self._skew, self._woken = gate, skew, woken

    async def wait(
        self, until_ps: int | None = None, *, periodic: bool = False, defer: Callable[[int], int] | None = None
    ) -> None:
        if until_ps is not None:
            if self._skew is not None:
                until_ps = self._skew.true(until_ps)
            until_ps = max(until_ps, self._clock.now_ps)  # it may have passed while the process was stopped
        await super().wait(until_ps, periodic=periodic, defer=defer)
        if self._woken is not None and self._woken():
            await self._give_way()
        if self._gate.shut:
            await self._gate.passed()

    async def _give_way(self) -> None:
        clock = self._clock
        entry = clock.wake_at(clock.now_ps, self._salt, current_task(), True)

        def abort(_: RaiseCancelT) -> Abort:
            clock.cancel(entry)
            return Abort.SUCCEEDED

        await wait_task_rescheduled(abort)


@frozen
class Process:
    """The Clock port of one machine that faults may stop: its engine's signal has one gate, all others another."""

    clock: HeapClock
    engine: Gate
    transfers: Gate
    skew: Skew | None = None  # how its clock differs, if it does
    woken: Woken | None = None

    @classmethod
    def of(cls, clock: HeapClock, name: str, skew: Skew | None = None, woken: Woken | None = None) -> Process:
        engine, transfers = (Gate(clock, clock.salt(f"{name}/{part}")) for part in ("engine", "transfers"))
        return cls(clock, engine, transfers, skew, woken)

    def now(self) -> int:
        now_ps = self.clock.now_ps
        return now_ps if self.skew is None else self.skew.own(now_ps)

    def signal(self, name: str) -> GatedSignal:
        """The engine's is waited for by its worker, which has the true time; all others by the machine itself."""
        if name.endswith("/engine"):
            return GatedSignal(self.clock, self.clock.salt(name), self.engine, None, self.woken)
        return GatedSignal(self.clock, self.clock.salt(name), self.transfers, self.skew, self.woken)
