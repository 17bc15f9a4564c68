"""The grid of steps that `emu calibrate measure` times, and the table that it writes and `fit` reads.

The whole grid is gone through `repeats` times, so that what repeats of a cell differ by includes drift; a row is one
cell of one pass, itself a median of warmed runs. What a step is stands in `decoder.py`, how it is timed in
`stopwatch.py`.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import torch

from emu.calibrate.architecture import Architecture
from emu.calibrate.measure.decoder import Decoder
from emu.calibrate.measure.stopwatch import EnergyMeter, Timed, captured, describe, idle_power_w, timed
from emu.calibrate.measure.work import Work
from emu.refusal import Refusal

GRAPH_TOKENS = 2048
"""Steps of at most so many tokens run as one CUDA graph: every decode, and prefills so short that launching their
kernels one by one from Python would take longer than running them. Engines hide that launching too."""

IDLE_S = 2.0

Say = Callable[[str], None]
Keep = Callable[[Sequence[Any]], None]


@attrs.frozen(kw_only=True)
class Grid:
    """Which steps are measured: every pair of `batches` and `contexts` as decodes, every pair of `prompts` and
    `prompt_tokens` as prefills, and mixed ones of each `mixed_prompts` tokens with every pair of `mixed_batches` and
    `mixed_contexts`. Cells of more than `most_prompt_tokens` computed tokens, or that the cache has no room for, are
    left out."""

    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    contexts: tuple[int, ...] = (128, 512, 1024, 2048, 4096, 8192, 16384)
    prompts: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    prompt_tokens: tuple[int, ...] = (128, 256, 512, 1024, 2048, 4096, 8192)
    mixed_prompts: tuple[int, ...] = (512, 1536)
    mixed_batches: tuple[int, ...] = (8, 64)
    mixed_contexts: tuple[int, ...] = (1024,)
    most_prompt_tokens: int = 16_384

    def cells(self, cache_tokens: int) -> Iterator[Work]:
        """The grid, prefills first."""
        wanted = [Work(prompts=n, prompt_tokens=each) for n in self.prompts for each in self.prompt_tokens]
        wanted += [Work(sequences=n, context=each) for n in self.batches for each in self.contexts]
        wanted += [
            Work(prompts=1, prompt_tokens=tokens, sequences=n, context=each)
            for tokens in self.mixed_prompts
            for n in self.mixed_batches
            for each in self.mixed_contexts
        ]
        for work in wanted:
            if work.prompts * work.prompt_tokens <= self.most_prompt_tokens and work.cached_tokens <= cache_tokens:
                yield work


@attrs.frozen(kw_only=True)
class Plan:
    """What is measured, where, and how often."""

    model: Architecture
    hardware: str
    tensor_parallel: int = 1
    device: str = "cuda"
    grid: Grid = Grid()
    repeats: int = 3
    least_runs: int = 5
    least_s: float = 0.1
    power_s: float = 0.0  # of every cell in the last pass, for its power; 0: no power
    cache_tokens: int = 0  # 0: what the memory leaves
    compiled: bool = True


class Row(NamedTuple):
    """One line of the table; `batch` and `context` are the decodes' in a mixed step, whose prompt stands beside them.

    Besides the columns that every table has (`phase, batch, context, ms`): which model, on what, and what the time
    leaves out ("all-reduce" for a shard).
    """

    phase: str
    batch: int
    context: int
    ms: str
    runs: int
    power_w: str
    mixed_prompt_tokens: str
    model: str
    hardware: str
    tensor_parallel: int
    excludes: str
    device: str


def measure(plan: Plan, say: Say, keep: Keep) -> list[Row]:
    """Every row of the table; `keep` is given what there is after each pass, which may have taken minutes.

    A cell that the device's memory does not suffice for is left out and said. Raises `Refusal` where the device or the
    shapes cannot be used.
    """
    open_device(plan.device)
    shape = plan.model.shard(plan.tensor_parallel)
    decoder = Decoder(shape, plan.device, plan.cache_tokens or room(shape, plan.device), compiled=plan.compiled)
    meter = EnergyMeter(plan.device)
    cells = list(plan.grid.cells(decoder.cache_tokens))
    say(f"{describe(plan.device)}: {len(cells)} cells, {plan.repeats} times, {decoder.cache_tokens} tokens of cache")
    rows = []
    if plan.power_s:
        power_w = idle_power_w(plan.device, meter, IDLE_S)
        if power_w is not None:
            rows.append(_row(plan, "idle", Work(), 1000 * IDLE_S, 1, power_w))
    for turn in range(plan.repeats):
        power_s = plan.power_s if turn == plan.repeats - 1 else 0.0
        for work in cells:
            try:
                taken = _time(plan, decoder, work, meter, power_s)
            except torch.OutOfMemoryError:
                say(f"no memory for {work}: left out")
                continue
            rows.append(_row(plan, work.phase, work, taken.ms, taken.runs, taken.power_w))
        keep(rows)
        say(f"pass {turn + 1} of {plan.repeats} done: {len(rows)} rows")
    return rows


def write_rows(path: Path, rows: Sequence[Any]) -> None:
    """The table, as CSV: rows are equal named tuples, whose names are the header."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0]._fields)
        writer.writerows(rows)


def open_device(device: str) -> None:
    """Make it the current one. Raises `Refusal` when it is not there."""
    where, expected = f"--device {device}", "expected a device of this machine"
    try:
        named = torch.device(device)
    except RuntimeError as error:
        raise Refusal(where, f"{expected} ({str(error).splitlines()[0]})") from None
    if named.type == "cuda":
        there_are = torch.cuda.device_count()
        if (named.index or 0) >= there_are:
            raise Refusal(where, f"{expected}, which has {there_are} GPUs that PyTorch can use")
        torch.cuda.set_device(named.index or 0)


def room(shape: Architecture, device: str) -> int:
    """Tokens of cache that the device's free memory leaves beside the weights and 12 GiB for everything else."""
    if torch.device(device).type != "cuda":
        return 4096
    free_bytes, _ = torch.cuda.mem_get_info(device)
    left_bytes = free_bytes - 2 * shape.parameters - 12 * 2**30
    if left_bytes < shape.kv_bytes_per_token * 1024:
        raise Refusal(f"--device {device}", f"expected memory for {shape.name}, got {free_bytes / 1e9:.0f} GB free")
    return int(left_bytes // shape.kv_bytes_per_token)


def _time(plan: Plan, decoder: Decoder, work: Work, meter: EnergyMeter, power_s: float) -> Timed:
    ready = decoder.prepare(work)

    def step() -> Any:
        return decoder.step(ready)

    run = captured(step, plan.device) if work.computed_tokens <= GRAPH_TOKENS else step
    return timed(run, plan.device, meter, least_runs=plan.least_runs, least_s=max(plan.least_s, power_s))


def _row(plan: Plan, phase: str, work: Work, ms: float, runs: int, power_w: float | None) -> Row:
    prefill = phase == "prefill"
    return Row(
        phase,
        work.prompts if prefill else work.sequences,
        work.prompt_tokens if prefill else work.context,
        f"{ms:.4f}",
        runs,
        "" if power_w is None else f"{power_w:.0f}",
        str(work.prompt_tokens) if phase == "mixed" else "",
        plan.model.name,
        plan.hardware,
        plan.tensor_parallel,
        "all-reduce" if plan.tensor_parallel > 1 else "",
        describe(plan.device),
    )
