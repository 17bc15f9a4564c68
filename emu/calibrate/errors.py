"""What a fitted profile is worth: errors on cells that were left out of the fit, and the scatter of repeats.

Each cell is left out in turn, the rest fitted as always, and the cell's median predicted by the same `CalibratedCosts`
that a run uses. Cells at the end of a sweep are extrapolated to, the others interpolated: the two are told apart. An
error on a repeat of a fitted cell would say nothing and is not computed.
"""

import statistics
from collections.abc import Iterable

import attrs

from emu.calibrate import fit
from emu.calibrate.table import Cell
from emu.fake.costs import CalibratedCosts
from emu.fake.profiles import HardwareProfile, ModelProfile
from emu.fake.step_profiles import StepProfile

Evidence = dict[str, dict[str, float | int | str | list[str]]]


@attrs.frozen(slots=True)
class _Miss:
    """One left-out cell: relative error of the prediction, and whether it lay outside what was left."""

    error: float
    outside: bool


def evidence(cells: tuple[Cell, ...], model: ModelProfile, hardware: HardwareProfile, profile: StepProfile) -> Evidence:
    """The [evidence] table of a steps file. Errors and scatter are in per cent, signed as predicted over measured."""
    whole = tuple(cell for cell in cells if cell.ran_as_one_batch)
    excluded = [f"{cell.batch} prompts of {cell.prompt_tokens}" for cell in cells if not cell.ran_as_one_batch]
    prefill_spread = [_variation(cell.prompt_ms) for cell in whole]
    decode_spread = [_variation(cell.token_ms) for cell in whole]
    return {
        "about": {
            "errors": "each cell left out in turn, predicted from the others; per cent of its median. Worst is signed",
            "gaps": "prefill knots double, so leaving one out quadruples the gap: a run interpolates over half as much",
            "interpolated": "cells with fitted ones on both sides",
            "extrapolated": "cells at either end of their sweep",
            "outputs": "one sequence, 512-token prompt, outputs of 256 and more: never fitted",
        },
        "prefill_single": _summary(_prefill_misses(whole, model, profile, single=True)),
        "prefill_even": _summary(_prefill_misses(whole, model, profile, single=False)),
        "decode_batches": _summary(_batch_misses(whole, model, hardware, profile)),
        "decode_contexts": _summary(_context_misses(whole, model, hardware, profile)),
        "decode_outputs": _summary(_output_misses(whole, profile)),
        "scatter": {
            "of": "repeats of a cell, standard deviation over mean, per cent",
            "prefill_median_pct": _percent(statistics.median(prefill_spread)),
            "prefill_worst_pct": _percent(max(prefill_spread)),
            "decode_median_pct": _percent(statistics.median(decode_spread)),
            "decode_worst_pct": _percent(max(decode_spread)),
        },
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
) -> Iterable[_Miss]:
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
        yield _Miss(predicted / point.ps - 1, outside=index in (0, len(curve) - 1))


def _batch_misses(
    cells: tuple[Cell, ...], model: ModelProfile, hardware: HardwareProfile, profile: StepProfile
) -> Iterable[_Miss]:
    batches = fit.batch_sweep(cells)
    for left_out in batches:
        rest = tuple(cell for cell in cells if cell is not left_out)
        yield _decode_miss(rest, left_out, model, hardware, profile, outside=left_out is batches[-1])


def _context_misses(
    cells: tuple[Cell, ...], model: ModelProfile, hardware: HardwareProfile, profile: StepProfile
) -> Iterable[_Miss]:
    sweep = fit.prompt_sweep(cells)
    for left_out in sweep:
        rest = tuple(cell for cell in cells if cell is not left_out)
        outside = left_out is sweep[0] or left_out is sweep[-1]
        # without its cell, one sequence of 512 tokens would bring its other outputs into the sweep: they stay out
        kept = tuple(cell for cell in rest if cell.batch > 1 or cell.output_tokens == left_out.output_tokens)
        yield _decode_miss(kept, left_out, model, hardware, profile, outside=outside)


def _output_misses(cells: tuple[Cell, ...], profile: StepProfile) -> Iterable[_Miss]:
    costs = CalibratedCosts(profile)
    for cell in fit.output_sweep(cells):
        predicted = costs.decode_ps(1, round(cell.mean_context_tokens))
        yield _Miss(predicted / fit.median_ps(cell.token_ms) - 1, outside=False)


def _decode_miss(
    rest: tuple[Cell, ...],
    left_out: Cell,
    model: ModelProfile,
    hardware: HardwareProfile,
    profile: StepProfile,
    *,
    outside: bool,
) -> _Miss:
    decode = fit.decode_curve(rest, model, hardware, profile.tensor_parallel)
    costs = CalibratedCosts(attrs.evolve(profile, decode=decode))
    predicted = costs.decode_ps(left_out.batch, round(left_out.mean_context_tokens))
    return _Miss(predicted / fit.median_ps(left_out.token_ms) - 1, outside)


def _summary(misses: Iterable[_Miss]) -> dict[str, float | int | str | list[str]]:
    every = list(misses)
    summary: dict[str, float | int | str | list[str]] = {}
    for name, outside in (("interpolated", False), ("extrapolated", True)):
        errors = [miss.error for miss in every if miss.outside is outside]
        if errors:
            summary[f"{name}_cells"] = len(errors)
            summary[f"{name}_mape_pct"] = _percent(statistics.fmean(abs(error) for error in errors))
            summary[f"{name}_worst_pct"] = _percent(max(errors, key=abs))
    return summary


def _variation(repeats: tuple[float, ...]) -> float:
    return statistics.stdev(repeats) / statistics.fmean(repeats) if len(repeats) > 1 else 0.0


def _percent(share: float) -> float:
    return round(100 * share, 1)
