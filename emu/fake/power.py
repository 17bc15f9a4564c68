"""What a machine draws, by what it does: the [power] table of a hardware profile, and its strict reader.

GPU watts are what is published and measured; a machine's draw follows from them here, once, before a run starts. Adding
draws up over a run is `emu.record.power`'s; nothing here knows of steps or time.
"""

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from attrs import frozen

from emu.fake.profiles import SHIPPED_HARDWARE, from_table, read_profile
from emu.record.start import MachineDraw
from emu.refusal import Refusal


@frozen
class GpuDraw:
    """What one GPU draws, in watts, under one model cut into `tensor_parallel` shards.

    `prefill_gpu_w` is by tokens in the batch, `decode_gpu_w` by sequences; both are linear between their knots and
    constant outside them. In a file, a draw that is flat in the batch is one number, without `decode_sequences`.
    """

    model: str
    tensor_parallel: int
    prefill_tokens: tuple[int, ...]
    prefill_gpu_w: tuple[float, ...]
    decode_sequences: tuple[int, ...]
    decode_gpu_w: tuple[float, ...]


@frozen
class MachineFigures:
    """A machine's power, in watts, as a profile gives it.

    The machine draws `idle_w` where nothing runs, and `machine_w_per_gpu_w` more for each watt that its GPUs draw above
    `gpu_idle_w`: the GPUs' own and what fans, processors and losses add. No GPU draws more than `gpu_limit_w`.
    `prefill_gpu_w` and `decode_gpu_w` hold for a model that has no row of its own.
    """

    idle_w: float
    gpu_idle_w: float
    gpu_limit_w: float
    machine_w_per_gpu_w: float
    prefill_gpu_w: float
    decode_gpu_w: float
    source: str


@frozen(eq=False, repr=False)
class PowerProfile:
    """The [power] table of a machine, and its rows [[power.draws]]."""

    figures: MachineFigures
    draws: tuple[GpuDraw, ...]

    def machine(self, model: str, tensor_parallel: int) -> MachineDraw:
        """The draw of a whole machine that runs `model` on `tensor_parallel` of its GPUs."""
        figures = self.figures
        row = next((r for r in self.draws if (r.model, r.tensor_parallel) == (model, tensor_parallel)), None)
        if row is None:
            row = GpuDraw(model, tensor_parallel, (1,), (figures.prefill_gpu_w,), (1,), (figures.decode_gpu_w,))

        def machine_w(gpu_w: float) -> float:
            above_w = max(0.0, min(gpu_w, figures.gpu_limit_w) - figures.gpu_idle_w)
            return figures.idle_w + figures.machine_w_per_gpu_w * tensor_parallel * above_w

        prefill_w, decode_w = (tuple(map(machine_w, gpu_w)) for gpu_w in (row.prefill_gpu_w, row.decode_gpu_w))
        return MachineDraw(figures.idle_w, row.prefill_tokens, prefill_w, row.decode_sequences, decode_w)


def load_power(hardware: str, folder: Path | None = None) -> PowerProfile | None:
    """The [power] table of a hardware profile (a shipped name or a path), None where it has none. Raises `Refusal`."""
    if hardware in SHIPPED_HARDWARE:
        return _load_shipped(hardware)
    return _load(hardware, folder)


@cache  # the package's own files do not change
def _load_shipped(hardware: str) -> PowerProfile | None:
    return _load(hardware, None)


def _load(hardware: str, folder: Path | None) -> PowerProfile | None:
    table, where = read_profile("hardware", SHIPPED_HARDWARE, hardware, folder)
    return None if "power" not in table else parse_power(table["power"], f"{where}: power")


def parse_power(table: Any, where: str) -> PowerProfile:
    """Raises `Refusal` for a key that is unknown, missing or mistyped, and for a curve that is none."""
    if not isinstance(table, dict):
        raise Refusal(where, "expected a table")
    rows = table.get("draws", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Refusal(f"{where}: draws", "expected an array of tables")
    draws = tuple(_draw(row, f"{where}: draws[{index}]") for index, row in enumerate(rows))
    figures = from_table(MachineFigures, {key: value for key, value in table.items() if key != "draws"}, where)
    if figures.gpu_idle_w > figures.gpu_limit_w:
        raise Refusal(f"{where}: gpu_idle_w", f"expected at most gpu_limit_w, {figures.gpu_limit_w:g}")
    return PowerProfile(figures, draws)


def _draw(row: dict[str, Any], where: str) -> GpuDraw:
    if "decode_sequences" not in row and isinstance(row.get("decode_gpu_w"), int | float):
        row = row | {"decode_sequences": [1], "decode_gpu_w": [row["decode_gpu_w"]]}
    draw = from_table(GpuDraw, row, where)
    for knots, gpu_w in ((draw.prefill_tokens, draw.prefill_gpu_w), (draw.decode_sequences, draw.decode_gpu_w)):
        if len(knots) != len(gpu_w) or any(later <= earlier for earlier, later in pairwise(knots)):
            raise Refusal(where, "expected counts of tokens or sequences in increasing order, with one draw each")
    return draw
