"""Player: the playhead of a record. It plays, stops, steps, seeks, and follows a run that goes on.

Time comes in as seconds of a wall clock that its caller reads; what is seen at the playhead is the reader's. It draws
nothing and waits for nothing.
"""

from __future__ import annotations

from math import inf, isinf
from typing import Final

from emu.record.entries import Entry
from emu.view.cluster import ClusterView
from emu.view.reader import Reader
from emu.view.survey import PS_PER_S, MarkView
from tui.scene import Clock

PACES: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, inf)
STEP_PS: Final = PS_PER_S // 10
_SMOOTH_S: Final = 1.0  # over which the speed that is reached is measured


class Player:
    """At `at_ps` of one record. `live`: a run goes on, and its time is told to `told`."""

    def __init__(self, reader: Reader, at_ps: int = 0, *, live: bool = False, pace: float = 1.0) -> None:
        self.reader = reader
        self.at_ps = at_ps
        self.live = live
        self.follow = live
        self.playing = live
        self.pace = pace
        self.reached = 0.0
        self._edge_ps = 0  # of the run that is followed
        self._measured_s = 0.0
        self._measured_ps = at_ps

    @property
    def end_ps(self) -> int:
        """Of what can be seen."""
        return max(self.reader.front_ps, self._edge_ps)

    def told(self, now_ps: int, live: bool) -> None:
        """The run's own time; False at its end."""
        self._edge_ps = max(self._edge_ps, now_ps) if live else self.reader.front_ps
        if self.live and not live:
            self.follow = self.playing = False
        self.live = live

    def tick(self, wall_s: float, budget_s: float) -> bool:
        """`wall_s` have passed since the last call; `budget_s` may be spent on reading. Whether more is to be read."""
        more = self.reader.advance(budget_s)
        if self.follow:
            self.at_ps = self.end_ps
        elif self.playing:
            more = self._play(wall_s, budget_s) or more
        self._measure(wall_s)
        return more

    def _play(self, wall_s: float, budget_s: float) -> bool:
        end_ps = self.end_ps
        wanted = end_ps if isinf(self.pace) else min(end_ps, self.at_ps + round(wall_s * self.pace * PS_PER_S))
        self.at_ps = self.reader.run_on(self.at_ps, wanted, budget_s)
        if self.at_ps >= end_ps and self.reader.over:
            self.playing = False
        return self.at_ps < wanted

    def _measure(self, wall_s: float) -> None:
        self._measured_s += wall_s
        if self._measured_s >= _SMOOTH_S:
            self.reached = max(0, self.at_ps - self._measured_ps) / PS_PER_S / self._measured_s
            self._measured_s, self._measured_ps = 0.0, self.at_ps

    def seek(self, at_ps: int) -> None:
        """Go there, and stay."""
        self.follow = False
        self.at_ps = max(0, min(at_ps, self.end_ps))
        self._measured_s, self._measured_ps = 0.0, self.at_ps

    def toggle(self) -> None:
        """Play or pause. Played from its end, a record starts over."""
        self.playing = not self.playing
        if self.playing and not self.live and self.at_ps >= self.end_ps and self.reader.over:
            self.seek(0)

    def step(self, steps_ps: int) -> None:
        """So far on, or back."""
        self.playing = False
        self.seek(self.at_ps + steps_ps)

    def next_event(self) -> None:
        """To the next instant at which something happens."""
        self.playing = False
        at_ps = self.reader.next_ps(self.at_ps)
        if at_ps is not None:
            self.seek(at_ps)

    def event_before(self) -> None:
        """To the last instant before this one at which something happened."""
        self.playing = False
        earlier = (entry[0] for entry in self.reader.before(self.at_ps - 1)) if self.at_ps else iter(())
        self.seek(next(earlier, 0))

    def faster(self, steps: int) -> None:
        """Along PACES."""
        nearest = min(range(len(PACES)), key=lambda place: (abs(_size(PACES[place]) - _size(self.pace)), place))
        self.pace = PACES[max(0, min(len(PACES) - 1, nearest + steps))]

    def to_mark(self, forward: bool, marks: list[MarkView]) -> MarkView | None:
        """The nearest mark after or before the playhead; the playhead goes there."""
        if forward:
            found = min((m for m in marks if m.at_ps > self.at_ps), key=lambda m: (m.at_ps, m.mark), default=None)
        else:
            found = max((m for m in marks if m.at_ps < self.at_ps), key=lambda m: (m.at_ps, -m.mark), default=None)
        if found is not None:
            self.playing = False
            self.seek(found.at_ps)
        return found

    def to_end(self) -> None:
        """To the end of what there is; a run that goes on is followed."""
        self.seek(self.end_ps)
        self.follow = self.live

    def view(self) -> ClusterView:
        return self.reader.view(self.at_ps)

    def events(self, most_bytes: int) -> list[Entry]:
        """The latest first."""
        return list(self.reader.before(self.at_ps, most_bytes))

    def clock(self, *, playing: bool | None = None, steered: bool = False, repeats_ps: int = 0) -> Clock:
        """As the screens show it; `playing` where a run is held or let go instead of the playhead."""
        return Clock(
            at_ps=self.at_ps,
            end_ps=self.end_ps,
            playing=self.playing if playing is None else playing,
            pace=self.pace,
            reached=self.reached,
            live=self.live,
            follow=self.follow,
            over=self.reader.over,
            read_share=1.0 if self.live else self.reader.read_share,
            steered=steered,
            repeats_ps=repeats_ps,
        )


def _size(pace: float) -> float:
    return 1000.0 if isinf(pace) else pace
