"""FakeReports: load reports as state, not as tasks.

Every machine reports each `every_ps`, and a report takes `latency_ps`. Nobody wakes up for that: what a machine would
have said at its ticks is asked for just before its state changes, or when the router looks. What the router sees is
what it would see if every report had been sent. With `every_ps` 0 a machine reports after every change instead.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from attrs import define, field

from emu.control.messages import LoadReport
from emu.fake.clock import HeapClock


@define(eq=False, repr=False)
class Reporter:
    source: Callable[[int], LoadReport]
    offset_ps: int
    asked_ps: int  # the latest tick that was asked for; without ticks the latest change
    changed_ps: int = -1
    sent: list[tuple[int, LoadReport]] = field(factory=list)  # when it reaches the router, and what
    listed: bool = False  # among those that the router will look at


@define(eq=False, repr=False)
class FakeReports:
    """The report channels of a cluster of `machines` machines, whose ticks are spread evenly over the period."""

    clock: HeapClock
    every_ps: int
    latency_ps: int
    machines: int
    _reporters: list[Reporter] = field(init=False, factory=list)
    _due: list[tuple[int, int]] = field(init=False, factory=list)  # (when, machine): the next report to look for

    def register(self, machine: int, source: Callable[[int], LoadReport]) -> None:
        assert machine == len(self._reporters), "machines register in order"
        offset_ps = self.every_ps * machine // self.machines
        self._reporters.append(Reporter(source, offset_ps, offset_ps - self.every_ps))

    def changing(self, machine: int) -> None:
        """Ask for what was said since the last change and the router may still want: the last report that has reached
        it, and those on their way."""
        now, reporter = self.clock.now_ps, self._reporters[machine]
        reporter.changed_ps = now
        if reporter.listed and reporter.asked_ps + self.every_ps > now:
            return  # no tick since the last one that was asked for
        if not self.every_ps:
            reporter.sent.append((reporter.asked_ps + self.latency_ps, reporter.source(now)))
            reporter.asked_ps = now
        else:
            first = max(self._tick(reporter, now - self.latency_ps), reporter.asked_ps + self.every_ps)
            for tick_ps in range(first, now + 1, self.every_ps):
                reporter.sent.append((tick_ps + self.latency_ps, reporter.source(tick_ps)))
                reporter.asked_ps = tick_ps
        self._list(machine, reporter)

    def collect(self) -> Iterable[LoadReport]:
        now, due = self.clock.now_ps, self._due
        reports = []
        machines = []
        while due and due[0][0] <= now:
            machines.append(heapq.heappop(due)[1])
        for machine in machines:
            reporter = self._reporters[machine]
            reporter.listed = False
            report = self._latest(reporter, now)
            if report is not None:
                reports.append(report)
            # look again while a change is not reported yet, or something changes by itself
            if report is None or report.taken_ps <= reporter.changed_ps or report.sequences:
                self._list(machine, reporter)
        return reports

    def _latest(self, reporter: Reporter, now: int) -> LoadReport | None:
        visible_ps = now - self.latency_ps
        if not self.every_ps:
            if reporter.asked_ps <= visible_ps:
                reporter.sent.clear()
                return reporter.source(visible_ps + 1)  # the steps of a leap that had ended by then count as changes
        elif (tick_ps := self._tick(reporter, visible_ps)) > reporter.asked_ps:
            reporter.sent.clear()  # nothing has changed since but the steps of a leap, which the source counts
            reporter.asked_ps = tick_ps
            return reporter.source(tick_ps)
        return self._arrived(reporter, now)

    def _arrived(self, reporter: Reporter, now: int) -> LoadReport | None:
        """The last one sent that has reached the router since it looked."""
        arrived = 0
        while arrived < len(reporter.sent) and reporter.sent[arrived][0] <= now:
            arrived += 1
        report = reporter.sent[arrived - 1][1] if arrived else None
        del reporter.sent[:arrived]
        return report

    def _list(self, machine: int, reporter: Reporter) -> None:
        if reporter.listed:
            return
        reporter.listed = True
        now = self.clock.now_ps
        next_ps = now + self.latency_ps
        if self.every_ps:
            next_ps = self._tick(reporter, now - self.latency_ps) + self.every_ps + self.latency_ps
        heapq.heappush(self._due, (next_ps, machine))

    def _tick(self, reporter: Reporter, at_ps: int) -> int:
        """The last tick not after `at_ps`; before the first one, a tick that never was."""
        return at_ps - (at_ps - reporter.offset_ps) % self.every_ps
