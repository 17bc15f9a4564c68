"""A line on stderr while a run lasts: virtual time, requests done of all, requests a second, time left.

It is a fold over the record, looks at the time only now and then, and draws from the run's own thread, so that it costs
the run next to nothing and cannot disturb the order of its tasks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from rich import progress as bars
from rich.console import Console

from emu.record.entries import Arrived, RequestEnded, StepFinished
from emu.record.start import RunStarted
from emu.screen.quantities import digits, span

PS_PER_S = 10**12
ENTRIES_BETWEEN_LOOKS = 256
SECONDS_BETWEEN_DRAWINGS = 0.1


class Progress:
    """Made before the run; called with the run's facts when it begins, it is the fold that follows it."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until_look = ENTRIES_BETWEEN_LOOKS
        self._ended = 0
        self._began_s = self._drawn_s = 0.0
        self._line = bars.Progress(
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(bar_width=20),
            bars.TextColumn("{task.completed:,.0f} of {task.total:,.0f} requests"),
            bars.TextColumn("{task.fields[pace]}"),
            console=console or Console(stderr=True, highlight=False),
            auto_refresh=False,  # no thread of its own
            transient=True,
        )
        self._task: bars.TaskID | None = None

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]:
        return {RequestEnded: self._count, StepFinished: self._tick, Arrived: self._tick}

    def __enter__(self) -> Self:
        self._line.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._line.stop()

    def __call__(self, started: RunStarted) -> Self:
        self._began_s = self._drawn_s = self._clock()
        self._task = self._line.add_task(started.name, total=started.requests, pace="")
        self._line.refresh()
        return self

    def _count(self, entry: RequestEnded) -> None:
        self._ended += 1
        self._tick(entry)

    def _tick(self, entry: RequestEnded | StepFinished | Arrived) -> None:
        self._until_look -= 1
        if self._until_look == 0:
            self._until_look = ENTRIES_BETWEEN_LOOKS
            now_s = self._clock()
            if now_s - self._drawn_s >= SECONDS_BETWEEN_DRAWINGS:
                self._drawn_s = now_s
                self._draw(entry.at_ps, now_s)

    def _draw(self, at_ps: int, now_s: float) -> None:
        if self._task is None:
            return
        rate_rps = self._ended / max(now_s - self._began_s, 1e-9)
        pace = f"{digits(rate_rps)} a second, virtual time {at_ps / PS_PER_S:,.1f} s"
        total = self._line.tasks[0].total
        if self._ended and total is not None:
            pace += f", {span((total - self._ended) / rate_rps)} left"
        self._line.update(self._task, completed=self._ended, pace=pace)
        self._line.refresh()
