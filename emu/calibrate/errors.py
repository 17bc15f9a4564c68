"""What a fitted profile is worth: errors on cells that were left out of the fit, and the scatter of repeats.

Each cell is left out in turn, the rest fitted as always, and the cell's median predicted by the same `CalibratedCosts`
that a run uses. Cells at the end of a sweep are extrapolated to, the others interpolated: the two are told apart. An
error on a repeat of a fitted cell would say nothing and is not computed.
"""

from collections.abc import Iterable

import attrs

from emu.calibrate import fit
from emu.calibrate.misses import Evidence, Miss, scatter, summary, variation
from emu.calibrate.table import Cell
from emu.fake.costs import CalibratedCosts
from emu.fake.profiles import HardwareProfile, ModelProfile
from emu.fake.step_profiles import StepProfile


def evidence(cells: tuple[Cell, ...], model: ModelProfile, hardware: HardwareProfile, profile: StepProfile) -> Evidence:
    """The [evidence] table of a steps file. Errors and scatter are in per cent, signed as predicted over measured."""
    whole = tuple(cell for cell in cells if cell.ran_as_one_batch)
    excluded = [f"{cell.batch} prompts of {cell.prompt_tokens}" for cell in cells if not cell.ran_as_one_batch]
    return {
        "about": {
            "errors": "each cell left out in turn, predicted from the others; per cent of its median. Worst is signed",
            "gaps": "prefill knots double, so leaving one out quadruples the gap: a run interpolates over half as much",
            "interpolated": "cells with fitted ones on both sides",
            "extrapolated": "cells at either end of their sweep",
            "outputs": "one sequence, 512-token prompt, outputs of 256 and more: never fitted",
        },
        "prefill_single": summary(_prefill_misses(whole, model, profile, single=True)),
        "prefill_even": summary(_prefill_misses(whole, model, profile, single=False)),
        "decode_batches": summary(_batch_misses(whole, model, hardware, profile)),
        "decode_contexts": summary(_context_misses(whole, model, hardware, profile)),
        "decode_outputs": summary(_output_misses(whole, profile)),
        "scatter": scatter([variation(cell.prompt_ms) for cell in whole], [variation(cell.token_ms) for cell in whole]),
        "not_identified": _untold(profile),
        "excluded": {
            "cells": excluded,
            "why": "end-to-end time is not that of one batch: too little memory, run in pieces" if excluded else "none",
        },
    }


def derived_evidence(uncapped: Evidence) -> Evidence:
    """Evidence of the capped machine: that of the machine it is derived from, and a line that says so."""
    about = {"derived": "every figure below is dgx-h100's; no capped machine was measured independently"}
    return uncapped | {"about": about | uncapped["about"]}


def _prefill_misses(
    cells: tuple[Cell, ...], model: ModelProfile, profile: StepProfile, *, single: bool
) -> Iterable[Miss]:
    """One curve at a time, the other whole. The cell they share, one 512-token prompt, is left out as a single."""
    singles, evens = fit.single_points(cells), fit.even_points(cells)
    curve = singles if single else evens
    for index, point in enumerate(curve):
        prompts = 1 if single else point.x // fit.EVEN_PROMPT_TOKENS
        if not single and prompts == 1:
            continue
        rest = curve[:index] + curve[index + 1 :]
        curves = fit.prefill_curves(rest, evens, model) if single else fit.prefill_curves(singles, rest, model)
        predicted = CalibratedCosts(attrs.evolve(profile, prefill=curves)).prefill_ps(point.x, prompts)
        yield Miss(predicted / point.ps - 1, outside=index in (0, len(curve) - 1))


def _batch_misses(
    cells: tuple[Cell, ...], model: ModelProfile, hardware: HardwareProfile, profile: StepProfile
) -> Iterable[Miss]:
    batches = fit.batch_sweep(cells)
    for left_out in batches:
        rest = tuple(cell for cell in cells if cell is not left_out)
        yield _decode_miss(rest, left_out, model, hardware, profile, outside=left_out is batches[-1])


def _context_misses(
    cells: tuple[Cell, ...], model: ModelProfile, hardware: HardwareProfile, profile: StepProfile
) -> Iterable[Miss]:
    sweep = fit.prompt_sweep(cells)
    for left_out in sweep:
        rest = tuple(cell for cell in cells if cell is not left_out)
        outside = left_out is sweep[0] or left_out is sweep[-1]
        # without its cell, one sequence of 512 tokens would bring its other outputs into the sweep: they stay out
        kept = tuple(cell for cell in rest if cell.batch > 1 or cell.output_tokens == left_out.output_tokens)
        yield _decode_miss(kept, left_out, model, hardware, profile, outside=outside)


def _output_misses(cells: tuple[Cell, ...], profile: StepProfile) -> Iterable[Miss]:
    costs = CalibratedCosts(profile)
    for cell in fit.output_sweep(cells):
        predicted = costs.decode_ps(1, round(cell.mean_context_tokens))
        yield Miss(predicted / fit.median_ps(cell.token_ms) - 1, outside=False)


def _decode_miss(
    rest: tuple[Cell, ...],
    left_out: Cell,
    model: ModelProfile,
    hardware: HardwareProfile,
    profile: StepProfile,
    *,
    outside: bool,
) -> Miss:
    decode = fit.decode_fit(rest, model, hardware, profile.tensor_parallel).curve
    costs = CalibratedCosts(attrs.evolve(profile, decode=decode))
    predicted = costs.decode_ps(left_out.batch, round(left_out.mean_context_tokens))
    return Miss(predicted / fit.median_ps(left_out.token_ms) - 1, outside)


def _untold(profile: StepProfile) -> dict[str, float | int | str | list[str]]:
    """What the table does not identify, the interval it leaves, and the cells that would settle it."""
    decode = profile.decode
    silent = list(zip(decode.sequences, decode.context_low_ps, decode.context_high_ps, strict=True))[1:]
    batches = ", ".join(str(batch) for batch, _, _ in silent)
    return {
        "what": [f"c(B), the cost of a token of context, at {batches} sequences"],
        "interval": ["; ".join(f"B = {batch}: {low} to {high} ps" for batch, low, high in silent)],
        "would_be_told_by": [f"rows of {batches} prompts of another size than 512, such as 2048"],
    }
