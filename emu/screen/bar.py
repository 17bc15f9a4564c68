"""A line on stderr while many runs are made: how many are over, how many a minute, time left.

It draws only when a run ends, from the thread that waits for runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich import progress as bars
from rich.console import Console

from emu.screen.quantities import digits, span


class RunsBar:
    """`total` runs of which `there` are kept from before; `shown` False draws nothing."""

    def __init__(
        self,
        total: int,
        there: int = 0,
        *,
        shown: bool = True,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._began_s = clock()
        self._made = 0
        self._there = there
        self._total = total
        self._line = bars.Progress(
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(bar_width=20),
            bars.TextColumn("{task.completed:,.0f} of {task.total:,.0f} runs"),
            bars.TextColumn("{task.fields[pace]}"),
            console=console or Console(stderr=True, highlight=False),
            auto_refresh=False,
            transient=True,
            disable=not shown,
        )
        self._task = self._line.add_task("sweep", total=total, completed=there, pace="")

    def __enter__(self) -> Self:
        self._line.start()
        self._line.refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._line.stop()

    def ended(self) -> None:
        """One more run is over."""
        self._made += 1
        a_second = self._made / max(self._clock() - self._began_s, 1e-9)
        left = self._total - self._there - self._made
        pace = f"{digits(a_second * 60)} a minute, {span(left / a_second)} left"
        self._line.update(self._task, completed=self._there + self._made, pace=pace)
        self._line.refresh()
