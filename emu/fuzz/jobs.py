"""Jobs: several hunts at a time, a process each with a seed of its own, and what they come to together.

The first finding ends the others. What a hunt does is in `hunt`; here its tallies are added up and its end is told.
"""

from __future__ import annotations

import multiprocessing
import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from attrs import define, evolve, field, frozen

from emu.fuzz.choices import rolled
from emu.fuzz.hunt import Caught, Hunt, Limits, Tally
from emu.fuzz.strategies import fault_plans, situation
from emu.scenario.schema import Scenario

SEEDS_APART: Final = 7919  # so that a job's rounds never have the seeds of another's


@frozen
class Order:
    """What is hunted: situations around `scenario`, by `jobs` processes; the scenario itself is judged first."""

    scenario: Scenario
    limits: Limits
    faults: int
    seed: int
    jobs: int
    database: Path


class JobFailed(Exception):
    """A job ended without a word: it was killed, or met a bug in the fuzzer itself."""


@define(eq=False)
class Jobs:
    """The jobs of one order. `watch` is given the tally of all of them whenever one has something to tell."""

    order: Order
    watch: Callable[[Tally], None]
    _tallies: dict[int, Tally] = field(init=False, factory=dict)

    def go(self) -> Caught | None:
        """Raises JobFailed."""
        if self.order.jobs == 1:
            return hunt(self.order, 0, lambda tally: self._told(0, tally))
        context = multiprocessing.get_context("spawn")
        told: Any = context.Queue()
        processes = [
            context.Process(target=_work, args=(self.order, job, told), daemon=True) for job in range(self.order.jobs)
        ]
        for process in processes:
            process.start()
        try:
            return self._listen(told, len(processes), lambda: all(not process.is_alive() for process in processes))
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.join()

    def _listen(self, told: Any, left: int, silent: Callable[[], bool]) -> Caught | None:
        while left:
            try:
                job, kind, what = told.get(timeout=1.0)
            except queue.Empty:
                if silent():
                    raise JobFailed("a job ended without saying what it found") from None
                continue
            if kind == "tally":
                self._told(job, what)
            elif kind == "failed":
                raise JobFailed(what)
            elif what is not None:
                found: Caught = what
                return found
            else:
                left -= 1
        return None

    def _told(self, job: int, tally: Tally) -> None:
        self._tallies[job] = tally
        self.watch(self.together())

    def together(self) -> Tally:
        """What all jobs have done so far."""
        total = Tally()
        for tally in self._tallies.values():
            total.examples += tally.examples
            total.runs += tally.runs
            total.requests += tally.requests
            total.struck += tally.struck
            total.laws += tally.laws
            total.pairs |= tally.pairs
            total.cpu_s += tally.cpu_s
            total.shrinking |= tally.shrinking
        return total


def hunt(order: Order, job: int, progress: Callable[[Tally], None]) -> Caught | None:
    """One job's hunt, to its end."""
    plans = fault_plans(order.faults) if order.faults else None
    hunting = Hunt(
        rolled(lambda choose: situation(choose, order.scenario, plans)),
        base=order.scenario,
        seed=order.seed + SEEDS_APART * job,
        database=order.database,
        progress=progress,
    )
    if job == 0 and order.scenario.workload.requests:
        caught = hunting.as_it_stands(order.scenario)
        if caught is not None:
            return caught
    examples = order.limits.examples
    share = None if examples is None else (examples + order.jobs - 1 - job) // order.jobs
    return hunting.go(evolve(order.limits, examples=share))


def _work(order: Order, job: int, told: Any) -> None:
    last_s = 0.0

    def tell(tally: Tally) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= 0.5:
            last_s = time.monotonic()
            told.put((job, "tally", tally))

    try:
        caught = hunt(order, job, tell)
    except BaseException as error:
        import traceback

        told.put((job, "failed", "".join(traceback.format_exception(error))))
        return
    told.put((job, "caught", caught))
