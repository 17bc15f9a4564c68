"""FaultyReports: load reports of machines that may fall silent, and what the router is told of silence.

It takes the place of FakeReports in a run that faults may strike. A machine is heard while its process runs and its way
to the router is open. When its reports have been missed for `detect_after_ps` the router is told. From then on its
reports are handed to the router one by one, and so are those of a new incarnation, until one comes under a newer epoch:
the router has taken it back. A machine that is heard costs no wakeup.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from emu.control.messages import LoadReport, Silent
from emu.fake.reports import FakeReports, Reporter


@define(eq=False, repr=False)
class _Hearing:
    """What comes through from one machine."""

    heard: bool = True
    changes: int = 0  # how often that changed
    silent: bool = False  # the router has been told so
    posting: bool = False  # reports are handed to the router one by one
    epoch: int = 0  # of the last report before the silence
    incarnation: int = 0
    frozen: list[LoadReport] = field(factory=list)  # what it goes on saying, while it does


@define(kw_only=True)
class FaultyReports(FakeReports):
    """`deliver` hands the router what it is to look at now."""

    detect_after_ps: int
    deliver: Callable[[Silent | LoadReport], None]
    _hearings: list[_Hearing] = field(init=False)
    _epoch: int = field(init=False, default=0)  # under which the router has begun
    _salt: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._hearings = [_Hearing() for _ in range(self.machines)]
        self._salt = self.clock.salt("reports")

    def register(self, machine: int, source: Callable[[int], LoadReport]) -> None:
        hearing = self._hearings[machine]

        def say(at_ps: int) -> LoadReport:
            return hearing.frozen[-1] if hearing.frozen else source(at_ps)

        if machine < len(self._reporters):
            self._reporters[machine].source = say  # a new incarnation
        else:
            super().register(machine, say)

    def freeze(self, machine: int) -> None:
        """From now on its reports say what they would say now, again and again."""
        hearing = self._hearings[machine]
        hearing.frozen.append(self._reporters[machine].source(self.clock.now_ps))

    def thaw(self, machine: int) -> None:
        hearing, reporter = self._hearings[machine], self._reporters[machine]
        if hearing.frozen:
            hearing.frozen.pop()
            reporter.changed_ps = self.clock.now_ps
            self._list(machine, reporter)

    def changing(self, machine: int) -> None:
        hearing = self._hearings[machine]
        if hearing.heard and not hearing.posting:
            super().changing(machine)

    def farewell(self, machine: int) -> None:
        """The machine says itself that it is not there."""
        self._missed(machine, self._hearings[machine].changes)

    def begin_anew(self, epoch: int) -> None:
        """Another router listens from now on, which has heard of nobody: whom it does not hear is silent to it. Whom it
        then takes for dead it takes back under a newer epoch than this one."""
        now, self._epoch = self.clock.now_ps, epoch
        for machine, hearing in enumerate(self._hearings):
            reporter = self._reporters[machine]
            reporter.sent.clear()
            hearing.silent = hearing.posting = False
            hearing.changes += 1
            if hearing.heard:
                reporter.asked_ps = self._tick(reporter, now) if self.every_ps else now
                reporter.changed_ps = now
                self._list(machine, reporter)
            else:
                self._miss_from(machine, now)

    def _miss_from(self, machine: int, heard_ps: int) -> None:
        """Unless it is heard again, the router is told when it has missed this machine for long enough."""
        change = self._hearings[machine].changes
        at_ps = heard_ps + self.latency_ps + self.detect_after_ps
        self.clock.call_at(at_ps, self._salt, lambda: self._missed(machine, change))

    def hear(self, machine: int, heard: bool, incarnation: int) -> None:
        """From now on reports of this machine get through, or not; of that incarnation."""
        hearing, reporter, now = self._hearings[machine], self._reporters[machine], self.clock.now_ps
        if heard == hearing.heard and incarnation == hearing.incarnation:
            return
        if not heard:
            self.changing(machine)  # what it has said by now
            hearing.epoch = max(hearing.epoch, reporter.source(now).epoch)
        elif incarnation != hearing.incarnation:
            hearing.posting = True
            reporter.sent.clear()
        hearing.heard, hearing.incarnation = heard, incarnation
        hearing.changes += 1
        change, period_ps = hearing.changes, self.every_ps
        if heard:
            reporter.changed_ps = now
            reporter.asked_ps = self._tick(reporter, now) if period_ps else now
            if hearing.posting:
                self._post_next(machine, change)
            else:
                self._list(machine, reporter)
        elif not hearing.silent:
            self._miss_from(machine, self._tick(reporter, now) if period_ps else now)

    def _missed(self, machine: int, change: int) -> None:
        hearing = self._hearings[machine]
        if hearing.changes == change and not hearing.silent:
            hearing.silent = hearing.posting = True
            hearing.epoch = max(hearing.epoch, self._epoch)
            self._reporters[machine].sent.clear()
            self.deliver(Silent(machine))

    def _post_next(self, machine: int, change: int) -> None:
        """The next report is taken at its tick, and handed over when it comes."""
        reporter, clock = self._reporters[machine], self.clock
        period_ps = self.every_ps or self.detect_after_ps
        at_ps = self._tick(reporter, clock.now_ps) + self.every_ps if self.every_ps else clock.now_ps

        def take() -> None:
            hearing = self._hearings[machine]
            if hearing.changes != change:
                return  # silent again
            report = reporter.source(clock.now_ps)
            clock.call_at(clock.now_ps + self.latency_ps, self._salt, lambda: self.deliver(report), vital=False)
            if report.epoch > hearing.epoch:
                hearing.silent = hearing.posting = False
                reporter.asked_ps, reporter.changed_ps = clock.now_ps, clock.now_ps
                self._list(machine, reporter)
            else:
                clock.call_at(clock.now_ps + period_ps, self._salt, take, vital=False)

        clock.call_at(max(at_ps, clock.now_ps), self._salt, take)

    def _latest(self, reporter: Reporter, now: int) -> LoadReport | None:
        hearing = self._hearings[self._reporters.index(reporter)]
        if hearing.heard and not hearing.posting:
            return super()._latest(reporter, now)
        return self._arrived(reporter, now)
