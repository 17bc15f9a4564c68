"""Traces that the field uses, read from files: recognised by their columns, every row checked before anything runs.

Published as: azure, https://github.com/Azure/AzurePublicDataset (2023, 2024; 2025 with NumImages); splitwise-sim,
https://github.com/Mutinifni/splitwise-sim; vidur, https://github.com/microsoft/vidur; mooncake,
https://github.com/kvcache-ai/Mooncake (JSON lines); burstgpt, https://github.com/HPMLL/BurstGPT. Beside them emu's own
requests.csv, so that what a run served can be served again. A format that only changes names is one line of `FORMATS`.
Drawing workloads and judging a scenario's options do not belong here.
"""

import csv
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

from attrs import frozen

from emu.refusal import Refusal
from emu.workload import mooncake
from emu.workload.cells import DateTimes, count, decimal_ps, positive_count, quoted
from emu.workload.lines import numbered_lines
from emu.workload.prefixes import PrefixReuse
from emu.workload.table import LAST_PS, PS_PER_S, Workload, by_arrival, check_take


@frozen
class Format:
    """A trace with a header line: which columns carry the arrival, the prompt and the output; others are ignored."""

    name: str
    arrival: str
    prompt: str
    output: str
    absolute: bool = False  # dates, made relative to the earliest row; otherwise seconds as they stand
    zero_output: str = ""  # why a row without output is left out; "": such a row is refused

    @property
    def columns(self) -> tuple[str, str, str]:
        return self.arrival, self.prompt, self.output


FORMATS = (
    Format("azure", "TIMESTAMP", "ContextTokens", "GeneratedTokens", absolute=True),
    Format("splitwise-sim", "arrival_timestamp", "prompt_size", "token_size"),
    Format("vidur", "arrived_at", "num_prefill_tokens", "num_decode_tokens"),
    Format("burstgpt", "Timestamp", "Request tokens", "Response tokens", zero_output="failed: Response tokens is 0"),
    Format("emu requests.csv", "arrival_s", "prompt_tokens", "output_tokens"),
)


def read_trace(path: Path, *, limit: int | None = None, until_s: float | None = None, speedup: float = 1.0) -> Workload:
    """Read and check the whole trace, then take what `limit`, `until_s` and `speedup` leave (`Workload.take`).

    Refusal, with the line number where there is one: a file that cannot be read, columns of no known format, a row
    that is not one, no row at all, nothing that arrives before `until_s`. ValueError: options that make no sense.
    """
    check_take(limit, until_s, speedup)
    return part_of_trace(read_whole_trace(path), path, limit=limit, until_s=until_s, speedup=speedup)


def read_whole_trace(path: Path) -> Workload:
    """Every row of the trace, checked. Refusal: as `read_trace`."""
    with closing(numbered_lines(path)) as lines:
        first = next(lines, None)
        if first is None:
            raise Refusal(str(path), "expected a trace, got an empty file")
        is_json = first[1].startswith("{")
        return _mooncake(path, chain([first], lines)) if is_json else _columns(path, first, lines)


def part_of_trace(
    workload: Workload, path: Path, *, limit: int | None = None, until_s: float | None = None, speedup: float = 1.0
) -> Workload:
    """What the options leave of a trace that was read from `path`. Refusal, ValueError: as `read_trace`."""
    try:
        taken = workload.take(limit, until_s, speedup)
    except OverflowError:
        last = f"{LAST_PS // PS_PER_S} s (106 days)"
        raise Refusal(str(path), f"speedup = {speedup}: expected arrivals within {last}") from None
    if not taken:
        raise Refusal(str(path), f"expected an arrival before until_s = {until_s}")
    return taken


def _mooncake(path: Path, lines: Iterable[tuple[int, str]]) -> Workload:
    arrivals_ps, prompts, outputs, ids = mooncake.read_rows(str(path), lines)
    workload = Workload(path.name, arrivals_ps, prompts, outputs, prefix=PrefixReuse.of(ids, prompts))
    return workload.rows(by_arrival(arrivals_ps))


def _columns(path: Path, first: tuple[int, str], lines: Iterator[tuple[int, str]]) -> Workload:
    number, header = first
    names = [name.strip() for name in _cells(f"{path}:{number}", header)]
    form = _recognised(f"{path}:{number}", names)
    arrivals_ps, prompts, outputs, left_out = _read_rows(path, form, names, lines)
    if not arrivals_ps:
        missing = f": all {left_out} rows are left out ({form.zero_output})" if left_out else " below the header"
        raise Refusal(str(path), f"expected at least one request{missing}")
    if form.absolute:
        earliest_ps = min(arrivals_ps)
        if max(arrivals_ps) - earliest_ps > LAST_PS:
            raise Refusal(str(path), f"expected times within {LAST_PS // PS_PER_S} s (106 days) of each other")
        arrivals_ps = array("q", [at_ps - earliest_ps for at_ps in arrivals_ps])
    reason = form.zero_output if left_out else ""
    workload = Workload(path.name, arrivals_ps, prompts, outputs, left_out, reason)
    return workload.rows(by_arrival(arrivals_ps))


def _read_rows(
    path: Path, form: Format, names: list[str], lines: Iterator[tuple[int, str]]
) -> tuple["array[int]", "array[int]", "array[int]", int]:
    """Arrivals (ps), prompt tokens and output tokens in the order of the file, and how many rows were left out."""
    to_ps: Callable[[str], int] = DateTimes().ps if form.absolute else decimal_ps
    to_count = count if form.zero_output else positive_count
    arrival, prompt, output = (names.index(column) for column in form.columns)
    arrivals_ps, prompts, outputs, left_out = array("q"), array("i"), array("i"), 0
    for number, line in lines:
        cells = line.split(",") if '"' not in line else _cells(f"{path}:{number}", line)
        if len(cells) != len(names):
            raise Refusal(f"{path}:{number}", f"expected {len(names)} columns as in the header, got {len(cells)}")
        column = form.arrival
        try:
            at_ps = to_ps(cells[arrival])
            column = form.prompt
            prompt_tokens = to_count(cells[prompt])
            column = form.output
            output_tokens = to_count(cells[output])
            if output_tokens == 0:
                left_out += 1
                continue
            column = form.prompt
            prompts.append(prompt_tokens or positive_count(cells[prompt]))
        except ValueError as wrong:
            raise Refusal(f"{path}:{number}: {column}", str(wrong)) from None
        outputs.append(output_tokens)
        arrivals_ps.append(at_ps)
    return arrivals_ps, prompts, outputs, left_out


def _cells(where: str, line: str) -> list[str]:
    """The cells of one line. A quoted cell never holds a line break here, so a stray quote cannot eat the next rows."""
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as wrong:
        raise Refusal(where, f"expected comma-separated cells: {wrong}") from None


def _recognised(where: str, names: list[str]) -> Format:
    """The one format whose columns are all there."""
    found = [form for form in FORMATS if set(form.columns) <= set(names)]
    if len(found) == 1:
        twice = [column for column in found[0].columns if names.count(column) > 1]
        if twice:
            raise Refusal(where, f"expected each column once, got {twice[0]} {names.count(twice[0])} times")
        return found[0]
    got = quoted(", ".join(names))
    if found:
        raise Refusal(where, f"expected one trace format, got the columns of {' and '.join(f.name for f in found)}")
    nearest = max(FORMATS, key=lambda form: len(set(form.columns) & set(names)))
    lacking = [column for column in nearest.columns if column not in names]
    if len(lacking) < len(nearest.columns):
        raise Refusal(where, f"looks like {nearest.name} but lacks the column {', '.join(lacking)}; got {got}")
    known = "; ".join(f"{form.name} ({', '.join(form.columns)})" for form in FORMATS)
    raise Refusal(where, f"expected a known trace: {known}; mooncake (JSON: {', '.join(mooncake.KEYS)}); got {got}")
