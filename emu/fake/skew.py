"""Skew: a machine's clock that differs from true time, and what keeps the record in true time all the same.

It runs ahead or behind from the start, and may run fast or slow for a while. It never jumps: what a machine measures
its own waits by is the time that its process has seen pass. Everything between a machine's node and the world is in
that machine's time; worker, reports and record are given true time here. Composed only where a scenario has such
clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from attrs import define, field, frozen

from emu.control.batch import Batch
from emu.control.messages import LoadReport, Message
from emu.fake.clock import HeapClock
from emu.fake.faulty_wire import request_of
from emu.node.ports import Ran, Recorder, Reports, Signal, Wire, Worker
from emu.record import entries as e

_MILLION: Final = 10**6
_Stamp = tuple[int, int, int]  # request, attempt, time on the sender's clock


@define(eq=False, repr=False)
class Skew:
    """One machine's clock. True times and its own are picoseconds; drift is in millionths, above 0 for a fast clock."""

    true_ps: int = 0  # since when it drifts like that
    own_ps: int = 0  # what it said then
    drift_ppm: int = 0
    before: Skew | None = None  # how it went until then

    def own(self, true_ps: int) -> int:
        """What it says at a time that is not before its last change."""
        passed_ps = true_ps - self.true_ps
        return self.own_ps + passed_ps + passed_ps * self.drift_ppm // _MILLION

    def true(self, own_ps: int) -> int:
        """When it says that, or something later, for the first time."""
        if self.before is not None and own_ps < self.own_ps:
            return self.before.true(own_ps)
        passed_ps = own_ps - self.own_ps
        at_ps = self.true_ps + passed_ps * _MILLION // (_MILLION + self.drift_ppm)
        while self.own(at_ps) >= own_ps:
            at_ps -= 1
        while self.own(at_ps) < own_ps:
            at_ps += 1
        return at_ps

    def set_ahead(self, by_ps: int) -> None:
        """It has always been so far ahead."""
        self.own_ps += by_ps

    def drift(self, true_ps: int, drift_ppm: int) -> None:
        """From now on it gains so much; what it has gained it keeps."""
        self.before = Skew(self.true_ps, self.own_ps, self.drift_ppm, self.before)
        self.true_ps, self.own_ps, self.drift_ppm = true_ps, self.own(true_ps), drift_ppm


@define(eq=False, repr=False)
class Stamps:
    """When messages were sent whose senders' clocks are wrong."""

    clock: HeapClock
    _true_ps: dict[_Stamp, int] = field(init=False, factory=dict)

    def sent(self, message: Message) -> None:
        request, attempt = request_of(message), getattr(message, "attempt", -1)
        sent_ps = getattr(message, "sent_ps", None)
        if request >= 0 and sent_ps is not None:
            self._true_ps[request, attempt, sent_ps] = self.clock.now_ps

    def true(self, request: int, attempt: int, sent_ps: int) -> int:
        return self._true_ps.get((request, attempt, sent_ps), sent_ps)


@frozen
class SkewedWire:
    """Notes what is sent here, and when."""

    wire: Wire
    stamps: Stamps

    def send(self, machine: int, message: Message) -> None:
        self.stamps.sent(message)
        self.wire.send(machine, message)

    def report(self, message: Message) -> None:
        self.wire.report(message)


@frozen
class SkewedWorker:
    """A worker that is asked in its machine's time."""

    worker: Worker
    skew: Skew

    def start(self, batch: Batch) -> None:
        self.worker.start(batch)

    async def finish(self, mail: Signal) -> Ran:
        return await self.worker.finish(mail)

    def leave(self, left: tuple[int, ...], grown: tuple[tuple[int, int], ...]) -> None:
        self.worker.leave(left, grown)

    def steps_done(self, now: int) -> int:
        return self.worker.steps_done(self.skew.true(now))

    def cut(self) -> Ran:
        return self.worker.cut()


@frozen
class SkewedReports:
    """Reports of a machine that is asked in its own time."""

    reports: Reports
    skew: Skew

    def register(self, machine: int, source: Callable[[int], LoadReport]) -> None:
        skew = self.skew
        self.reports.register(machine, lambda at_ps: source(skew.own(at_ps))._replace(taken_ps=at_ps))

    def changing(self, machine: int) -> None:
        self.reports.changing(machine)

    def collect(self) -> Iterable[LoadReport]:
        return self.reports.collect()


@define(eq=False, repr=False)
class TrueTimes:
    """A machine's recorder: every time in an entry is the true one, whatever its clock says."""

    recorder: Recorder
    clock: HeapClock
    skew: Skew
    stamps: Stamps
    _started_ps: int = field(init=False, default=0)  # the batch under way

    def write(self, entry: Any) -> None:
        now, kind = self.clock.now_ps, type(entry)
        told = entry._replace(at_ps=now)
        if kind is e.StepStarted:
            self._started_ps = now
        elif kind is e.StepFinished or kind is e.StepsCut:
            told = told._replace(started_ps=self._started_ps)
        elif kind is e.Committed:
            told = told._replace(signalled_ps=min(now, self.skew.true(entry.signalled_ps)))
        elif kind in (e.Queued, e.ReserveQueued, e.Reserved, e.Granted, e.Released):
            told = told._replace(sent_ps=self.stamps.true(entry.request, entry.attempt, entry.sent_ps))
        self.recorder.write(told)
