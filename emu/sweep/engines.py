"""Who makes runs: processes of this machine, or a Ray cluster. Each takes jobs and gives their ends, in any order.

Workers are started once, import once and stay warm. A worker that dies takes nothing with it but its run: an engine
says which one it was. Whether a run is tried again, and what is kept of it, is decided elsewhere.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from attrs import frozen

from emu.refusal import Refusal
from emu.sweep.jobs import Job
from emu.workload.table import Workload

Work: TypeAlias = Callable[[Job, Workload | None], dict[str, Any]]
"""What a worker does with a job and its trace; a module's own function, so that it can travel."""

DIED = "its process was killed"
PARENT_WATCH_S = 1.0


@frozen
class Ended:
    """A job that is over: `result` is what the work gave, or `failure` says in a line why there is none."""

    job: Job
    result: dict[str, Any] | None
    failure: str = ""
    alone: bool = False  # it died twice, the second time with no other run beside it


class Engine(Protocol):
    """Takes jobs up to `room` at a time."""

    room: int

    def submit(self, job: Job) -> None: ...

    def next(self) -> Ended:
        """Wait for the next end. Only while something is submitted."""

    def close(self, *, at_once: bool) -> None:
        """Let the workers go; `at_once` gives up what they are doing."""


class LocalEngine:
    """Processes of this machine: loky, the executor under joblib.Parallel.

    It is used bare because a plan asks for runs as answers come, and because a killed worker breaks the whole pool: the
    runs under way are then made one by one, so that the one that kills its worker is known.
    """

    def __init__(self, work: Work, traces: Mapping[Path, Workload], jobs: int) -> None:
        self._work = work
        self._traces = traces
        self._jobs = jobs
        self.room = 2 * jobs  # one running and one waiting a worker
        self._executor: Any = None
        self._under_way: dict[Future[dict[str, Any]], Job] = {}
        self._suspects: list[Job] = []

    def submit(self, job: Job) -> None:
        if self._executor is None:
            self._executor = _executor(self._jobs)
        try:
            future = self._executor.submit(self._work, job, _trace(job, self._traces))
        except BrokenProcessPool:
            self._suspects.append(job)
        else:
            self._under_way[future] = job

    def next(self) -> Ended:
        while not self._suspects:
            done, _ = wait(self._under_way, return_when=FIRST_COMPLETED)
            future = done.pop()
            if not isinstance(future.exception(), BrokenProcessPool):
                return _ended(self._under_way.pop(future), future)
            self._suspects = [job for other, job in self._under_way.items() if not _whole(other)]
            whole = [(job, other) for other, job in self._under_way.items() if _whole(other)]
            self._under_way = {other: job for job, other in whole}
            self._executor.shutdown(kill_workers=True)
            self._executor = None
        return self._alone(self._suspects.pop(0))

    def close(self, *, at_once: bool) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=at_once)

    def _alone(self, job: Job) -> Ended:
        executor = _executor(1)
        future = executor.submit(self._work, job, _trace(job, self._traces))
        wait([future])
        executor.shutdown(wait=True, kill_workers=True)
        if isinstance(future.exception(), BrokenProcessPool):
            return Ended(job, None, DIED, alone=True)
        return _ended(job, future)


class RayEngine:
    """A Ray cluster: the one at `address`, or one of this machine's own that ends with the sweep."""

    def __init__(self, work: Work, traces: Mapping[Path, Workload], jobs: int, address: str | None) -> None:
        self._ray = ray = _ray()
        try:
            ray.init(
                address=address,
                num_cpus=jobs if address is None else None,
                include_dashboard=False if address is None else None,
                configure_logging=False,
                log_to_driver=False,
            )
        except Exception as error:  # Ray raises bare ones when its processes do not come up
            where = "--engine ray" if address is None else f"--address {address}"
            raise Refusal(where, f"expected a Ray cluster; {_said(error)}") from None
        self.room = 2 * (jobs if address is None else max(1, int(ray.cluster_resources().get("CPU", 1))))
        self._remote = ray.remote(num_cpus=1, max_retries=0)(work)
        self._traces = {path: ray.put(trace) for path, trace in traces.items()}
        self._under_way: dict[Any, Job] = {}

    def submit(self, job: Job) -> None:
        path = job.scenario.workload.trace
        trace = None if path is None else self._traces[path]
        self._under_way[self._remote.remote(job, trace)] = job

    def next(self) -> Ended:
        (done, *_), _ = self._ray.wait(list(self._under_way), num_returns=1)
        job = self._under_way.pop(done)
        try:
            return Ended(job, self._ray.get(done))
        except (self._ray.exceptions.WorkerCrashedError, self._ray.exceptions.OutOfMemoryError):
            return Ended(job, None, DIED)
        except Exception as error:
            return Ended(job, None, _said(getattr(error, "cause", None) or error))

    def close(self, *, at_once: bool) -> None:
        if at_once:
            for reference in self._under_way:
                self._ray.cancel(reference, force=True)
        self._ray.shutdown()


def engine(name: str, work: Work, traces: Mapping[Path, Workload], jobs: int, address: str | None) -> Engine:
    """The engine that goes by "local" or "ray". Refusal: Ray is not installed, or there is no cluster at `address`."""
    return LocalEngine(work, traces, jobs) if name == "local" else RayEngine(work, traces, jobs, address)


def _executor(jobs: int) -> Any:
    from joblib.externals.loky import ProcessPoolExecutor

    return ProcessPoolExecutor(max_workers=jobs, timeout=None, initializer=_settle_in, initargs=(os.getpid(),))


def _settle_in(parent: int) -> None:
    """In a new worker: an interrupt from the terminal is for the process that hands runs out, and a worker whose parent
    was killed ends too, in the middle of a run if need be."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise Refusal("--engine ray", "expected Ray, which is not installed: pip install 'emu[ray]'") from None
    return ray


def _trace(job: Job, traces: Mapping[Path, Workload]) -> Workload | None:
    path = job.scenario.workload.trace
    return None if path is None else traces[path]


def _whole(future: Future[dict[str, Any]]) -> bool:
    """Whether a run had ended, well or badly, before its pool broke."""
    return future.done() and not isinstance(future.exception(), BrokenProcessPool)


def _ended(job: Job, future: Future[dict[str, Any]]) -> Ended:
    error = future.exception()
    return Ended(job, future.result()) if error is None else Ended(job, None, _said(error))


def _said(error: BaseException) -> str:
    """The kind of an error and the first line that it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
