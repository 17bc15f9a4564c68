"""How long a step takes on a device, warm and undisturbed, and what power it draws. Knows no model.

The card's settings are left as they are. A time is the median of many runs of one step, each between two events of the
GPU; on a CPU between two readings of the clock.
"""

import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import torch

WARM_RUNS = 2
MOST_RUNS = 400
LEAST_POWER_S = 0.5
"""The counter moves about ten times a second: over less than this, power would be its rounding."""


class Timed(NamedTuple):
    """The median of `runs` runs, and the power drawn over all of them where the driver gives it."""

    ms: float
    runs: int
    power_w: float | None


class EnergyMeter:
    """The card's own energy counter, through NVML. Says None where there is no card, no NVML or no counter."""

    def __init__(self, device: str) -> None:
        self._read = self._reader(torch.device(device))

    def millijoules(self) -> float | None:
        return None if self._read is None else float(self._read())

    @staticmethod
    def _reader(device: Any) -> Callable[[], int] | None:
        if device.type != "cuda":
            return None
        try:
            import pynvml
        except ImportError:
            return None
        try:
            pynvml.nvmlInit()
            card = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
            pynvml.nvmlDeviceGetTotalEnergyConsumption(card)
        except pynvml.NVMLError:
            return None
        return lambda: int(pynvml.nvmlDeviceGetTotalEnergyConsumption(card))


def captured(step: Callable[[], Any], device: str) -> Callable[[], Any]:
    """The step as one CUDA graph: launched at once, so that no time goes into launching its kernels. On a CPU the step
    itself."""
    if torch.device(device).type != "cuda":
        return step
    aside = torch.cuda.Stream(device)
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        for _ in range(WARM_RUNS):
            step()
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return lambda: graph.replay()


def timed(step: Callable[[], Any], device: str, meter: EnergyMeter, *, least_runs: int, least_s: float) -> Timed:
    """The median of at least `least_runs` runs that take at least `least_s` together, after warm ones."""
    for _ in range(WARM_RUNS):
        step()
    wait(device)
    taken: list[float] = []
    before, began = meter.millijoules(), time.perf_counter()
    while len(taken) < least_runs or (time.perf_counter() - began < least_s and len(taken) < MOST_RUNS):
        taken += _some_runs(step, device, least_runs)
    after, ended = meter.millijoules(), time.perf_counter()
    power_w = None
    if before is not None and after is not None and ended - began >= LEAST_POWER_S:
        power_w = (after - before) / 1000 / (ended - began)
    return Timed(statistics.median(taken), len(taken), power_w)


def idle_power_w(device: str, meter: EnergyMeter, seconds: float) -> float | None:
    """What the card draws while nothing runs on it."""
    wait(device)
    before, began = meter.millijoules(), time.perf_counter()
    time.sleep(seconds)
    after = meter.millijoules()
    return None if before is None or after is None else (after - before) / 1000 / (time.perf_counter() - began)


def wait(device: str) -> None:
    """Until everything issued to the device is done."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def describe(device: str) -> str:
    """The device and the software on it, for a table's provenance."""
    name = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else "CPU"
    return f"{name}; torch {torch.__version__}"


def _some_runs(step: Callable[[], Any], device: str, count: int) -> list[float]:
    """Milliseconds of each of `count` runs."""
    if torch.device(device).type != "cuda":
        taken = []
        for _ in range(count):
            began = time.perf_counter()
            step()
            taken.append((time.perf_counter() - began) * 1e3)
        return taken
    events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
    step()  # keeps the GPU busy until the first event, so that no launch is waited for
    events[0].record()
    for event in events[1:]:
        step()
        event.record()
    events[-1].synchronize()
    return [float(first.elapsed_time(second)) for first, second in pairwise(events)]
