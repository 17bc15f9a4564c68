"""Read the table of measurements into cells; a cell is one (prompt, batch, output) with all its repeats.

The table is splitwise-sim's data/perf_model.csv. Its traps are dealt with here, once: rows of one cell stand apart in
the file (the sweeps over prompts, batches and outputs share a cell), outputs end before the length asked for, and some
batches were not run as one batch. No fitting here.
"""

import csv
import statistics
from collections import defaultdict
from pathlib import Path

import attrs

from emu.refusal import Refusal

HARDWARE_OF = {"a100-80gb": "dgx-a100", "h100-80gb": "dgx-h100"}
"""The table's name of each measured machine, and ours. "h100-80gb-pcap" is left out: those rows are h100-80gb's times
1.30 and 1.00 exactly, so the capped machine is derived, not fitted."""

ONE_BATCH_TOLERANCE = 0.05
"""Share by which a cell's end-to-end time may differ from prefill plus its decode steps before the cell is left out."""

Key = tuple[str, str, int]

_COLUMNS = (
    "model",
    "hardware",
    "prompt_size",
    "batch_size",
    "token_size",
    "prompt_time",
    "token_time",
    "e2e_time",
    "tensor_parallel",
)


@attrs.frozen(slots=True)
class Cell:
    """Repeats of one measurement, in milliseconds: the prefill of the batch, its mean decode step, and end to end."""

    prompt_tokens: int
    batch: int
    output_tokens: int
    prompt_ms: tuple[float, ...]
    token_ms: tuple[float, ...]
    e2e_ms: tuple[float, ...]

    @property
    def mean_context_tokens(self) -> float:
        """Total context of the batch, averaged over its decode steps, from the tokens it really decoded.

        The generation may stop before `output_tokens`; the end-to-end time says where.
        """
        steps = (statistics.median(self.e2e_ms) - statistics.median(self.prompt_ms)) / statistics.median(self.token_ms)
        return self.batch * (self.prompt_tokens + min(self.output_tokens, round(steps) + 1) / 2)

    @property
    def ran_as_one_batch(self) -> bool:
        """Whether the end-to-end time is that of one prefill and one run of decode steps.

        Where memory did not suffice the engine ran a batch in pieces and the step times are no longer the batch's.
        """
        if self.batch == 1:
            return True
        e2e_ms = statistics.median(self.e2e_ms)
        sum_ms = statistics.median(self.prompt_ms) + statistics.median(self.token_ms) * (self.output_tokens - 1)
        return abs(e2e_ms - sum_ms) <= ONE_BATCH_TOLERANCE * e2e_ms


def read_cells(path: Path) -> dict[Key, tuple[Cell, ...]]:
    """Cells by (model, hardware as this project names it, tensor_parallel), each sorted by batch, prompt and output.

    Raises `Refusal`, with the line, for a missing column, a number that is none or not above zero, and an empty table.
    """
    rows: dict[Key, dict[tuple[int, int, int], list[tuple[float, float, float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise Refusal(f"{path}:1", f"expected a column {missing[0]}")
        for row in reader:
            try:
                prompt, batch, output, tensor_parallel = (
                    int(row[key]) for key in ("prompt_size", "batch_size", "token_size", "tensor_parallel")
                )
                times = float(row["prompt_time"]), float(row["token_time"]), float(row["e2e_time"])
            except (TypeError, ValueError) as error:
                raise Refusal(f"{path}:{reader.line_num}", f"expected numbers ({error})") from error
            # NaN fails either comparison; min() would let it through
            if not all(0 < each < float("inf") for each in (prompt, batch, output, tensor_parallel, *times)):
                raise Refusal(f"{path}:{reader.line_num}", "expected sizes and times above zero")
            if row["hardware"] in HARDWARE_OF:
                key = row["model"], HARDWARE_OF[row["hardware"]], tensor_parallel
                rows[key][batch, prompt, output].append(times)
    if not rows:
        raise Refusal(str(path), f"expected rows of {' or '.join(HARDWARE_OF)}")
    return {
        key: tuple(_cell(at, repeats) for at, repeats in sorted(cells.items())) for key, cells in sorted(rows.items())
    }


def _cell(at: tuple[int, int, int], repeats: list[tuple[float, float, float]]) -> Cell:
    batch, prompt, output = at
    prompt_ms, token_ms, e2e_ms = zip(*repeats, strict=True)
    return Cell(prompt, batch, output, prompt_ms, token_ms, e2e_ms)
