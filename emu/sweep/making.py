"""Making the runs that are not there yet: handed to an engine, tried twice, written to the journal as they end.

This is the only loop over runs; sweeps and plans share it. Which runs are wanted is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from emu.execute import execute
from emu.sweep.engines import Ended, Engine
from emu.sweep.jobs import Job
from emu.sweep.journal import Journal
from emu.workload.table import Workload

TRIES = 2


def whole_run(job: Job, trace: Workload | None) -> dict[str, Any]:
    """In a worker: the run's summary."""
    return execute(job.scenario, whole=trace).summary


class Making:
    """Wanted runs on their way into a journal. A result is {"summary": ...}, or {"failure": ...} after two tries."""

    def __init__(self, engine: Engine, journal: Journal, made: Callable[[Job], None] = lambda _: None) -> None:
        self._engine = engine
        self._journal = journal
        self._made = made
        self._waiting: list[tuple[int, int, Job]] = []
        self._asked = count()
        self._under_way: set[str] = set()
        self._tries: dict[str, int] = {}

    def want(self, jobs: Iterable[Job], rank: int = 0) -> None:
        """Ask for runs; one that is there, or asked for already, is not made again. The lowest rank is made first, and
        of equals what was asked for first."""
        for job in jobs:
            if job.key not in self._journal.results and job.key not in self._under_way:
                self._under_way.add(job.key)
                heappush(self._waiting, (rank, next(self._asked), job))

    def step(self) -> Job | None:
        """Wait for the next run to be over for good, and name it; None when nothing is wanted any more."""
        while self._under_way:
            while self._waiting and len(self._under_way) - len(self._waiting) < self._engine.room:
                self._submit(heappop(self._waiting)[2])
            ended = self._engine.next()
            if self._over(ended):
                self._under_way.remove(ended.job.key)
                self._made(ended.job)
                return ended.job
        return None

    def _submit(self, job: Job) -> None:
        self._tries[job.key] = self._tries.get(job.key, 0) + 1
        self._engine.submit(job)

    def _over(self, ended: Ended) -> bool:
        key = ended.job.key
        if ended.result is not None:
            self._journal.add(key, {"summary": ended.result})
        elif ended.alone or self._tries[key] >= TRIES:
            self._journal.add(key, {"failure": ended.failure})
        else:
            self._submit(ended.job)
            return False
        return True
