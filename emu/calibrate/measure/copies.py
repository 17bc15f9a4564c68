"""KV copies between two devices: alone, after a prefill, and layer by layer under it.

What the figures say holds for the link between those two devices (NVLink, where they share one), not for a network
card. The copies are plain peer copies on a stream of their own, one a layer.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import attrs
import torch

from emu.calibrate.architecture import Architecture
from emu.calibrate.measure.decoder import Decoder, Prepared
from emu.calibrate.measure.stopwatch import WARM_RUNS, describe, wait
from emu.calibrate.measure.sweep import Say, open_device
from emu.calibrate.measure.work import Work

ALL_REDUCE_BYTES = (4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864)


@attrs.frozen(kw_only=True)
class CopyPlan:
    """Prompts of each of `prompt_tokens`, prefilled on `device` and copied to `other`."""

    model: Architecture
    device: str
    other: str
    prompt_tokens: tuple[int, ...] = (128, 256, 512, 1024, 1536, 2048, 4096, 8192)
    runs: int = 9
    compiled: bool = True


class CopyRow(NamedTuple):
    """Medians in milliseconds. `remainder_ms` is what stays visible behind the prefill when layers leave under it, and
    `slowed_ms` what they add to the prefill itself."""

    prompt_tokens: int
    cache_bytes: int
    prefill_ms: str
    alone_ms: str
    serialized_ms: str
    layer_wise_ms: str
    layer_wise_prefill_ms: str
    remainder_ms: str
    slowed_ms: str
    model: str
    device: str


class ReduceRow(NamedTuple):
    """An all-reduce over the two devices: the median in microseconds."""

    reduced_bytes: int
    us: str
    device: str


def measure_copies(plan: CopyPlan, say: Say) -> list[CopyRow]:
    """One row a prompt length. Raises `Refusal` where a device cannot be used."""
    open_device(plan.other)
    open_device(plan.device)
    most = max(plan.prompt_tokens)
    decoder = Decoder(plan.model, plan.device, most, compiled=plan.compiled)
    arrived = torch.empty(plan.model.kv_bytes_per_token // 2 * most, dtype=torch.bfloat16, device=plan.other)
    rows = []
    for tokens in plan.prompt_tokens:
        ready = decoder.prepare(Work(prompts=1, prompt_tokens=tokens))
        rows.append(_measured(plan, decoder, ready, arrived, tokens))
        say(f"copies of {tokens} tokens: {rows[-1].alone_ms} ms alone, {rows[-1].remainder_ms} ms behind the prefill")
    return rows


def measure_all_reduce(device: str, other: str) -> list[ReduceRow]:
    """All-reduces of 16-bit sums over the two GPUs through NCCL, one process for both."""
    rows = []
    for size in ALL_REDUCE_BYTES:
        parts = [torch.ones(size // 2, dtype=torch.bfloat16, device=each) for each in (device, other)]
        taken = []
        for run in range(40):
            wait(device)
            wait(other)
            began = time.perf_counter()
            for _ in range(20):
                torch.cuda.nccl.all_reduce(parts)
            wait(device)
            wait(other)
            if run >= WARM_RUNS:
                taken.append((time.perf_counter() - began) / 20 * 1e6)
        rows.append(ReduceRow(size, f"{statistics.median(taken):.2f}", describe(device)))
    return rows


def _measured(plan: CopyPlan, decoder: Decoder, ready: Prepared, arrived: Any, tokens: int) -> CopyRow:
    link = _Link(ready, arrived, plan.device)
    kinds: dict[str, Callable[[], object]] = {
        "prefill": lambda: decoder.step(ready),
        "alone": link.copy_all,
        "serialized": lambda: link.copy_behind(lambda: decoder.step(ready)),
        "layer": lambda: decoder.step(ready, link.copy_after),
    }
    times: dict[str, list[float]] = {name: [] for name in (*kinds, "layer_prefill")}
    for run in range(WARM_RUNS + plan.runs):
        for name, work in kinds.items():
            own_ms, both_ms = link.run(work)
            if run >= WARM_RUNS:
                times[name].append(both_ms)
                if name == "layer":
                    times["layer_prefill"].append(own_ms)
    middle = {name: statistics.median(each) for name, each in times.items()}
    behind = statistics.median(
        all_ms - prefill_ms for all_ms, prefill_ms in zip(times["layer"], times["layer_prefill"], strict=True)
    )
    return CopyRow(
        tokens,
        plan.model.kv_bytes_per_token * tokens,
        f"{middle['prefill']:.4f}",
        f"{middle['alone']:.4f}",
        f"{middle['serialized']:.4f}",
        f"{middle['layer']:.4f}",
        f"{middle['layer_prefill']:.4f}",
        f"{behind:.4f}",
        f"{middle['layer_prefill'] - middle['prefill']:.4f}",
        plan.model.name,
        f"{describe(plan.device)}; to {plan.other}",
    )


class _Link:
    """Copies of one step's cache to the other device, on a stream beside the step's."""

    def __init__(self, ready: Prepared, arrived: Any, device: str) -> None:
        self._layers = [prompts.reshape(-1) for prompts, _ in ready.caches]
        self._arrived = arrived.split(self._layers[0].numel())
        self._on_gpu = torch.device(device).type == "cuda"
        self._device = device
        self._stream: Any = torch.cuda.Stream(device) if self._on_gpu else None

    def copy_after(self, layer: int) -> None:
        """Copy a layer as soon as what has been issued so far is done."""
        if not self._on_gpu:
            self._arrived[layer].copy_(self._layers[layer])
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            self._arrived[layer].copy_(self._layers[layer], non_blocking=True)

    def copy_all(self) -> None:
        for layer in range(len(self._layers)):
            self.copy_after(layer)

    def copy_behind(self, step: Callable[[], object]) -> None:
        """Copy everything once the step is done."""
        step()
        self.copy_all()

    def run(self, work: Callable[[], object]) -> tuple[float, float]:
        """Milliseconds until the step's own stream is done, and until the copies are too."""
        wait(self._device)
        began = time.perf_counter()
        if not self._on_gpu:
            work()
            both_ms = (time.perf_counter() - began) * 1e3
            return both_ms, both_ms
        start, own, both = (torch.cuda.Event(enable_timing=True) for _ in range(3))
        stream = torch.cuda.current_stream(self._device)
        start.record(stream)
        work()
        own.record(stream)
        stream.wait_stream(self._stream)
        both.record(stream)
        both.synchronize()
        return float(start.elapsed_time(own)), float(start.elapsed_time(both))
