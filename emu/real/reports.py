"""WallReports: load reports that are really sent, each period, and take their time to the router."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import define, field

from emu.control.messages import LoadReport
from emu.real.clock import WallClock


@define
class WallReports:
    """The report channels of `machines` machines, whose ticks are spread evenly over `every_ps`; 0: one a change."""

    clock: WallClock
    every_ps: int
    latency_ps: int
    machines: int
    _sources: list[Callable[[int], LoadReport]] = field(init=False, factory=list)
    _arrived: dict[int, LoadReport] = field(init=False, factory=dict)
    _asked: set[int] = field(init=False, factory=set)  # without ticks: whose change is not reported yet

    def register(self, machine: int, source: Callable[[int], LoadReport]) -> None:
        assert machine == len(self._sources), "machines register in order"
        self._sources.append(source)
        if self.every_ps:
            self.clock.call_at(self.every_ps * machine // self.machines, lambda: self._tick(machine), vital=False)

    def changing(self, machine: int) -> None:
        """The report of a change is made in the next round, when it has happened."""
        if not self.every_ps and machine not in self._asked:
            self._asked.add(machine)
            self.clock.call_at(self.clock.now_ps, lambda: self._changed(machine), vital=False)

    def collect(self) -> Iterable[LoadReport]:
        reports = list(self._arrived.values())
        self._arrived.clear()
        return reports

    def _tick(self, machine: int) -> None:
        self._send(machine)
        self.clock.call_at(self.clock.now_ps + self.every_ps, lambda: self._tick(machine), vital=False)

    def _changed(self, machine: int) -> None:
        self._asked.discard(machine)
        self._send(machine)

    def _send(self, machine: int) -> None:
        report = self._sources[machine](self.clock.now_ps)
        self.clock.call_at(self.clock.now_ps + self.latency_ps, lambda: self._arrive(report), vital=False)

    def _arrive(self, report: LoadReport) -> None:
        self._arrived[report.machine] = report
