"""Device: one GPU, or the CPU in its place, and the thread that launches its work.

Launching a step takes milliseconds of Python, so it must not happen where the control plane runs. The thread never
waits for the device: it leaves a Mark behind, and the control plane's bell is rung when that is reached. What is
launched is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

import torch

from emu.real.clock import Bell

Job = Callable[[], None]
LANES = 4
"""Copies that leave a GPU, or reach one, each on a stream of its own: more wait behind one of these."""
FIRST = -1
"""Priority of copies: a cache that waits for the next prefill's kernels delays a token, and takes little from them."""


class Mark(Protocol):
    """A place in a device's work."""

    def set(self) -> None:
        """Here, behind what was launched in this context so far."""
        ...

    def reached(self) -> bool:
        """Whether the device has got there; False before `set`."""
        ...


class Device:
    """The CPU: jobs do their work when they run, one behind the other."""

    def __init__(self, name: str, bell: Bell) -> None:
        self.where = torch.device(name)
        self._bell = bell
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._work, name=f"launches for {name}", daemon=True)
        self._thread.start()

    @property
    def graphs(self) -> bool:
        """Whether work can be captured once and launched whole."""
        return False

    def post(self, job: Job) -> None:
        """Have the thread do `job`, behind all posted before."""
        self._jobs.put(job)

    def check(self) -> None:
        """Raises what a job raised."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """No more jobs; waits for those posted."""
        self._jobs.put(None)
        self._thread.join()

    def described(self) -> str:
        """What was measured, in words."""
        return f"{self.where}; torch {torch.__version__}"

    def settle(self) -> None:
        """Until everything launched so far is done."""

    def mark(self) -> Mark:
        return _Flag()

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Where steps run."""
        with torch.inference_mode():
            yield

    @contextmanager
    def copying(self, target: Device) -> Iterator[None]:
        """Where copies to `target` run, beside the steps of both."""
        del target
        with torch.inference_mode():
            yield

    def behind(self, mark: Mark) -> None:
        """What is launched here from now on starts when `mark`, which has been set, is reached."""
        assert mark.reached(), "jobs of a CPU do their work when they run"

    def ring_at_step(self, mark: Mark) -> None:
        """Ring when `mark`, which has been set behind a step, is reached."""
        assert mark.reached()
        self._bell.ring()

    def ring_at_copy(self, mark: Mark) -> None:
        """Likewise, behind a copy that arrived here."""
        self.ring_at_step(mark)

    def put(self, numbers: list[int] | torch.Tensor) -> torch.Tensor:
        """Numbers of the host, on the device."""
        return torch.as_tensor(numbers)

    def fetch(self, tensor: torch.Tensor) -> torch.Tensor:
        """A copy on the host, complete when a mark set behind it is reached."""
        return tensor.clone()

    def host(self, *size: int) -> torch.Tensor:
        """Room for 32-bit integers on the host, from which the device copies fast."""
        return torch.zeros(size, dtype=torch.int32)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException as failure:  # raised where the control plane looks
                self._failure = self._failure or failure
                self._bell.ring()


class _Flag:
    def __init__(self) -> None:
        self._reached = False

    def set(self) -> None:
        self._reached = True

    def reached(self) -> bool:
        return self._reached


class CudaDevice(Device):
    """A GPU, with a stream for steps, and lanes for copies that leave and that arrive, which go before steps."""

    def __init__(self, index: int, bell: Bell) -> None:
        torch.backends.cuda.enable_cudnn_sdp(False)  # it plans anew for every length of a prompt, some 45 ms each
        self._compute = torch.cuda.Stream(index)
        self._leaving = tuple(torch.cuda.Stream(index, priority=FIRST) for _ in range(LANES))
        self._arriving = tuple(torch.cuda.Stream(index, priority=FIRST) for _ in range(LANES))
        self._copied = 0  # puts so far
        self._steps, self._copies = _Lookout(bell), _Lookout(bell)
        super().__init__(f"cuda:{index}", bell)

    def close(self) -> None:
        super().close()
        self._steps.close()
        self._copies.close()

    @property
    def graphs(self) -> bool:
        return True

    def described(self) -> str:
        return f"{torch.cuda.get_device_name(self.where)}; torch {torch.__version__}"

    def settle(self) -> None:
        torch.cuda.synchronize(self.where)

    def mark(self) -> Mark:
        return _Event(self.where)

    @contextmanager
    def computing(self) -> Iterator[None]:
        with torch.inference_mode(), torch.cuda.stream(self._compute):
            yield

    @contextmanager
    def copying(self, target: Device) -> Iterator[None]:
        assert isinstance(target, CudaDevice)
        lane = self._copied % LANES
        self._copied += 1
        with torch.inference_mode(), torch.cuda.stream(target._arriving[lane]), torch.cuda.stream(self._leaving[lane]):
            yield

    def behind(self, mark: Mark) -> None:
        assert isinstance(mark, _Event)
        torch.cuda.current_stream(self.where).wait_event(mark.event)

    def ring_at_step(self, mark: Mark) -> None:
        assert isinstance(mark, _Event)
        self._steps.ring_at(mark)

    def ring_at_copy(self, mark: Mark) -> None:
        assert isinstance(mark, _Event)
        self._copies.ring_at(mark)

    def put(self, numbers: list[int] | torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(numbers).pin_memory().to(self.where, non_blocking=True)

    def fetch(self, tensor: torch.Tensor) -> torch.Tensor:
        copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        return copy.copy_(tensor, non_blocking=True)

    def host(self, *size: int) -> torch.Tensor:
        return torch.zeros(size, dtype=torch.int32, pin_memory=True)

    def _work(self) -> None:
        torch.cuda.set_device(self.where)
        super()._work()


class _Event:
    def __init__(self, where: torch.device) -> None:
        self.event = torch.cuda.Event()
        self._where = where
        self._set = False

    def set(self) -> None:
        self.event.record(torch.cuda.current_stream(self._where))
        self._set = True

    def reached(self) -> bool:
        return self._set and bool(self.event.query())


class _Lookout:
    """A thread that waits for one mark after the other, in the order in which they are reached, and rings at each."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._marks: SimpleQueue[_Event | None] = SimpleQueue()
        self._thread = Thread(target=self._look, name="lookout", daemon=True)
        self._thread.start()

    def ring_at(self, mark: _Event) -> None:
        self._marks.put(mark)

    def close(self) -> None:
        self._marks.put(None)
        self._thread.join()

    def _look(self) -> None:
        while (mark := self._marks.get()) is not None:
            mark.event.synchronize()
            self._bell.ring()
