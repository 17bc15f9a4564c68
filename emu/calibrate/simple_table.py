"""Read the simple table of measured steps: columns `phase,batch,context,ms`, one row a measurement.

`context` is the prompt length of each of `batch` prompts for `prefill`, and the cached tokens of each of `batch`
sequences for `decode`. `emu calibrate measure` writes more columns: `model`, `hardware` and `tensor_parallel` name what
was measured, `excludes` what its times lack, and rows of the phases `mixed` and `idle` are there for checks and for
power. Rows of equal cells are repeats. No fitting here.
"""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import attrs

from emu.calibrate.all_reduce import all_reduce_ms
from emu.fake.profiles import load_model, nearest
from emu.refusal import Refusal

COLUMNS = ("phase", "batch", "context", "ms")
PHASES = ("prefill", "decode", "mixed", "idle")
UNNAMED = "unnamed"
CELLS = "measurements"
"""Where fitters say that something lacks: they know no file, and who has read one says which (`making`)."""

Key = tuple[str, str, int]


@attrs.frozen(slots=True, order=True)
class StepCell:
    """One measured step with its repeats, in milliseconds.

    `prompt_tokens` is the one prompt's of a mixed step, 0 in others.
    """

    phase: str
    batch: int
    context: int
    prompt_tokens: int
    ms: tuple[float, ...]

    @property
    def computed_tokens(self) -> int:
        if self.phase == "prefill":
            return self.batch * self.context
        return self.batch + self.prompt_tokens

    @property
    def total_context(self) -> int:
        """Of a decode: what its sequences attend to together, the token that the step computes included."""
        return self.batch * (self.context + 1)

    @property
    def named(self) -> str:
        """The cell in words."""
        if self.phase == "prefill":
            return f"{self.batch} prompts of {self.context}"
        prompt = f"a prompt of {self.prompt_tokens} beside " if self.prompt_tokens else ""
        return f"{prompt}{self.batch} sequences of {self.context}"


def read_steps(path: Path, names: Key | None = None) -> dict[Key, tuple[StepCell, ...]]:
    """Cells by (model, hardware, tensor_parallel), each sorted. A table without those columns is of `names`.

    Raises `Refusal`, with the line, for a missing column, an unknown phase, a number that is none or not above zero,
    and an empty table.
    """
    rows: dict[Key, dict[tuple[str, int, int, int], list[float]]] = defaultdict(lambda: defaultdict(list))
    lacking: set[Key] = set()
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise Refusal(f"{path}:1", f"expected a column {missing[0]}")
        for row in reader:
            where = f"{path}:{reader.line_num}"
            columns, got = len(reader.fieldnames or ()), _columns(row)
            if got != columns:
                raise Refusal(where, f"expected {columns} columns, as in line 1, got {got}")
            key = _key(row, names, where)
            cell, ms = _cell(row, where)
            if row.get("excludes"):
                lacking.add(key)
                if row["excludes"] != "all-reduce":
                    raise Refusal(where, f"expected excludes to say all-reduce or nothing, got {row['excludes']!r}")
            if cell[0] != "idle":
                rows[key][cell].append(ms)
    if not rows:
        raise Refusal(str(path), f"expected rows of {' or '.join(PHASES[:2])}")
    found = {
        key: tuple(StepCell(*cell, tuple(times)) for cell, times in sorted(cells.items()))
        for key, cells in sorted(rows.items())
    }
    return {key: _with_sums(key, cells) if key in lacking else cells for key, cells in found.items()}


def _with_sums(key: Key, cells: tuple[StepCell, ...]) -> tuple[StepCell, ...]:
    """The all-reduces that a shard's times lack, from the stated formula."""
    model = load_model(key[0])
    return tuple(
        attrs.evolve(cell, ms=tuple(ms + all_reduce_ms(model, key[2], cell.computed_tokens) for ms in cell.ms))
        for cell in cells
    )


def _columns(row: dict[Any, Any]) -> int:
    """What a line has: csv fills a short one with None, and lists what a long one has too much under it."""
    return sum(value is not None for key, value in row.items() if key is not None) + len(row.get(None, ()))


def _key(row: dict[str, str], names: Key | None, where: str) -> Key:
    if row.get("model") and row.get("hardware"):
        return row["model"], row["hardware"], _count(row.get("tensor_parallel") or "1", "tensor_parallel", where)
    return names or (UNNAMED, UNNAMED, 1)


def _cell(row: dict[str, str], where: str) -> tuple[tuple[str, int, int, int], float]:
    phase = (row["phase"] or "").strip()
    if phase not in PHASES:
        raise Refusal(where, f"expected phase to be prefill or decode{nearest(phase, PHASES[:2])}, got {phase!r}")
    if phase == "idle":
        return (phase, 0, 0, 0), 0.0
    prompt = _count(row.get("mixed_prompt_tokens") or "", "mixed_prompt_tokens", where) if phase == "mixed" else 0
    batch, context = _count(row["batch"], "batch", where), _count(row["context"], "context", where)
    try:
        ms = float(row["ms"])
    except (TypeError, ValueError):
        raise Refusal(where, f"expected ms to be a number, got {row['ms']!r}") from None
    if not 0 < ms < 1e9:
        raise Refusal(where, f"expected ms above zero and below a billion, got {row['ms']}")
    return (phase, batch, context, prompt), ms


def _count(text: str | None, column: str, where: str) -> int:
    try:
        number = int(text or "")
    except ValueError:
        raise Refusal(where, f"expected {column} to be a whole number, got {text!r}") from None
    if not 0 < number < 10**9:
        raise Refusal(where, f"expected {column} above zero and below a billion, got {text}")
    return number
