"""A plan's progress on stderr: each design's bounds, the candidate it looks at, and a guess at the time left.

Drawn when a run ends, at most ten times a second, from the thread that waits for runs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import ceil, log2
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live

from emu.plan.planner import Searching
from emu.screen.plan import progress_table
from emu.screen.quantities import digits, span

RUNS_A_HALVING = 5
SECONDS_BETWEEN_DRAWINGS = 0.1


class PlanProgress:
    """Told after every run; `shown` False draws nothing."""

    def __init__(self, searched: Sequence[Searching], *, shown: bool) -> None:
        self._searched = searched
        self._runs = 0
        self._began_s = self._drawn_s = time.monotonic()
        console = Console(stderr=True, highlight=False)
        self._live = Live(console=console, auto_refresh=False, transient=True) if shown else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self) -> None:
        self._runs += 1
        now_s = time.monotonic()
        if self._live is None or now_s - self._drawn_s < SECONDS_BETWEEN_DRAWINGS:
            return
        self._drawn_s = now_s
        ahead = sum(runs_ahead(search) for search in self._searched)
        left = f"{span(ahead * (now_s - self._began_s) / self._runs)} left, at a guess"
        self._live.update(progress_table([_line(search) for search in self._searched[:12]], left), refresh=True)


def runs_ahead(search: Searching) -> int:
    """About as many runs as the halvings that are left take, and those that make the answer sure."""
    if search.over:
        return 0
    open_levels = max(1, search.bounds.failed - search.bounds.carried)
    return RUNS_A_HALVING * (ceil(log2(open_levels)) + 1) + 3 * search.plan.search.seeds


def _line(search: Searching) -> tuple[str, str, str, int, str]:
    bounds, space = search.bounds, search.space
    low = "-" if bounds.carried < 0 else digits(space.worth(bounds.carried))
    high = "-" if bounds.failed >= space.levels else digits(space.worth(bounds.failed))
    point = bounds.point
    at = "" if point is None else f"{' + '.join(map(str, point.counts))} at {digits(point.rate_rps)} req/s"
    return search.design.name, f"{low} to {high}", at, len(search.runs), "found" if search.over else ""
