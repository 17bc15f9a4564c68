"""What a profile fitted to a simple table is worth: cells left out, cells never fitted, scatter, and what is not told.

Each fitted cell is left out in turn, the rest fitted as always, and the cell predicted by the same `CalibratedCosts`
that a run uses. Batches of prompts that neither prefill curve is made of, and mixed steps, are never fitted at all.
"""

from collections.abc import Iterator

import attrs

from emu.calibrate.grid_fit import GridFit, Subject, fit_grid, median_ps
from emu.calibrate.misses import Evidence, Miss, scatter, summary, variation
from emu.calibrate.simple_table import StepCell
from emu.fake.costs import CalibratedCosts
from emu.fake.step_profiles import StepProfile
from emu.refusal import Refusal


def grid_evidence(cells: tuple[StepCell, ...], subject: Subject, fitted: GridFit) -> Evidence:
    """The [evidence] table of a steps file. Errors and scatter are in per cent of a cell's median."""
    costs = CalibratedCosts(fitted.profile)
    return {
        "about": {
            "errors": "each cell left out in turn, predicted from the others; per cent of its median. Worst is signed",
            "interpolated": "cells with fitted ones on both sides, in batch and in context",
            "extrapolated": "cells at an end of either",
            "prefill_batches": "batches of prompts of other lengths than the fitted ones: never fitted",
            "mixed": "steps of a prompt and decodes: never fitted",
        },
        "prefill_single": summary(_prefill_misses(cells, subject, fitted, single=True)),
        "prefill_even": summary(_prefill_misses(cells, subject, fitted, single=False)),
        "prefill_batches": summary(_never_fitted(cells, fitted, costs)),
        "decode": summary(_decode_misses(cells, subject, fitted)),
        "mixed": summary(Miss(miss_of(costs, cell)) for cell in cells if cell.phase == "mixed"),
        "scatter": scatter(*(_variations(cells, phase) for phase in ("prefill", "decode"))),
        "not_identified": untold(subject, fitted),
    }


def predicted_ps(costs: CalibratedCosts, cell: StepCell) -> int:
    """The cell's step by a profile, in picoseconds."""
    if cell.phase == "prefill":
        return costs.prefill_ps(cell.computed_tokens, cell.batch)
    if cell.phase == "decode":
        return costs.decode_ps(cell.batch, cell.total_context)
    return costs.mixed_ps(cell.prompt_tokens, 1, 0, cell.batch, cell.total_context)


def miss_of(costs: CalibratedCosts, cell: StepCell) -> float:
    """Predicted over measured, less one."""
    return predicted_ps(costs, cell) / median_ps(cell) - 1


def untold(subject: Subject, fitted: GridFit) -> dict[str, float | int | str | list[str]]:
    """What the table does not identify, the interval it leaves, and the rows that would settle it."""
    what, intervals, rows = [], [], []
    decode, curve = fitted.decode, fitted.decode.curve
    silent = [batch for batch in curve.sequences if batch not in decode.told]
    if silent:
        what.append(f"c(B), the cost of a token of context, at {_listed(silent)} sequences")
        low, high = (
            dict(zip(curve.sequences, side, strict=True)) for side in (curve.context_low_ps, curve.context_high_ps)
        )
        intervals.append("; ".join(f"B = {batch}: {low[batch]} to {high[batch]} ps" for batch in silent))
        rows.append(f"decode rows of {_listed(silent)} sequences at two contexts or more, such as 512 and 4096")
    if not fitted.prefill.single_measured:
        what.append("prefill of one prompt by its length: taken from batches of as many tokens")
        intervals.append("no bound from this table")
        rows.append("prefill rows of batch 1 at context 128, 512, 2048 and 8192")
    if not fitted.prefill.even_measured:
        what.append("prefill of several prompts: one of as many tokens less the pairs that shorter prompts lack")
        intervals.append("no bound from this table")
        each = fitted.profile.prefill.even_prompt_tokens
        rows.append(f"prefill rows of batch 1, 2, 4, 8 and 16 at context {each}")
    if subject.model is None or subject.hardware is None:
        what.append("whether c(B) is possible: the table names no known model and hardware")
        intervals.append("no lower bound but 0")
        rows.append("the same table with --model and --hardware")
    return {"what": what, "interval": intervals, "would_be_told_by": rows}


def _variations(cells: tuple[StepCell, ...], phase: str) -> list[float]:
    return [variation(cell.ms) for cell in cells if cell.phase == phase and len(cell.ms) > 1]


def _prefill_misses(cells: tuple[StepCell, ...], subject: Subject, fitted: GridFit, *, single: bool) -> Iterator[Miss]:
    """One curve at a time. A prompt of the second curve's length belongs to both and is left out as a single."""
    each = fitted.profile.prefill.even_prompt_tokens
    curve = sorted((cell for cell in cells if cell.phase == "prefill" and _on(cell, single, each)), key=_tokens)
    for index, left_out in enumerate(curve):
        if single or left_out.batch > 1:
            outside = index in (0, len(curve) - 1)
            yield from _left_out(cells, left_out, subject, fitted, outside=outside)


def _on(cell: StepCell, single: bool, each: int) -> bool:
    return cell.batch == 1 if single else cell.context == each


def _tokens(cell: StepCell) -> int:
    return cell.computed_tokens


def _never_fitted(cells: tuple[StepCell, ...], fitted: GridFit, costs: CalibratedCosts) -> Iterator[Miss]:
    each = fitted.profile.prefill.even_prompt_tokens
    for cell in cells:
        if cell.phase == "prefill" and cell.batch > 1 and cell.context != each:
            yield Miss(miss_of(costs, cell), not costs.measured_prefill(cell.computed_tokens, cell.batch))


def _decode_misses(cells: tuple[StepCell, ...], subject: Subject, fitted: GridFit) -> Iterator[Miss]:
    decodes = [cell for cell in cells if cell.phase == "decode"]
    batches = sorted({cell.batch for cell in decodes})
    for left_out in decodes:
        contexts = sorted(cell.context for cell in decodes if cell.batch == left_out.batch)
        at_end = left_out.context in (contexts[0], contexts[-1]) or left_out.batch in (batches[0], batches[-1])
        yield from _left_out(cells, left_out, subject, fitted, outside=at_end)


def _left_out(
    cells: tuple[StepCell, ...], left_out: StepCell, subject: Subject, fitted: GridFit, *, outside: bool
) -> Iterator[Miss]:
    """The miss of one cell, unless the others alone cannot be fitted."""
    rest = tuple(cell for cell in cells if cell is not left_out)
    try:
        other: StepProfile = fit_grid(rest, subject, "left out", fitted.profile.prefill.even_prompt_tokens).profile
    except Refusal:
        return
    yield Miss(miss_of(CalibratedCosts(other), left_out), outside)


def _listed(batches: list[int]) -> str:
    return ", ".join(str(batch) for batch in batches)


def with_evidence(cells: tuple[StepCell, ...], subject: Subject, source: str) -> tuple[StepProfile, GridFit]:
    """The fitted profile with what is known of its error."""
    fitted = fit_grid(cells, subject, source)
    return attrs.evolve(fitted.profile, evidence=grid_evidence(cells, subject, fitted)), fitted
