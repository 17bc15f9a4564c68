"""From cells to step times: the two prefill curves, the decode curve and splitwise-sim's own curves.

Everything is plain arithmetic in a fixed order, so remaking a profile gives the same file. What a fitted profile is
worth is judged in `errors.py`, which calls these functions with cells left out.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable

import attrs

from emu.calibrate.decode_fit import DecodeFit, DecodeStep, fit_decode
from emu.calibrate.grid_fit import Subject
from emu.calibrate.isotonic import Point, isotonic
from emu.calibrate.simple_table import CELLS
from emu.calibrate.table import Cell
from emu.fake.profiles import HardwareProfile, ModelProfile
from emu.fake.step_profiles import PrefillCurves, SimCurves, StepProfile
from emu.refusal import Refusal

PS_PER_MS = 10**9

CAPPED_PREFILL = (13, 10)
"""Prefill of dgx-h100-capped over dgx-h100; decode is unchanged."""

EVEN_PROMPT_TOKENS = 512
"""The prompt size at which the table varies the batch."""

_PREFILL_SOURCE = (
    "splitwise-sim data/perf_model.csv, commit 8f99e7d, prompt_time: medians of the repeats of a cell, isotonic "
    "regression in tokens weighted by repeats. cached_pair_ps: 4 x layers x heads x head_dim operations a pair, at the "
    "rate that the best measured single prefill reaches with 2 operations a parameter and token"
)
_DECODE_SOURCE = (
    "splitwise-sim data/perf_model.csv, commit 8f99e7d, token_time: medians of the repeats of a cell, less the context "
    "term, isotonic in sequences. Context varies only at 1 sequence, which gives c(1), and sequences only at 512-token "
    "prompts: at more sequences c is not identified. There it falls from c(1) as it does on an H200 with the pairs of "
    "sequence and key-value head on a GPU (emu/calibrate/decode_fit.py, measurements/h200/llama2-70b.tp8.csv), never "
    "below the cache's bytes at nine tenths of the memory's bandwidth"
)
_CLAMPED = ". The slope at 1 sequence would need more than that bandwidth, so it is noise, and was raised to it"
_SIM_SOURCE = (
    "splitwise-sim performance_model.py, commit 8f99e7d: medians of prompt_time and token_time over all rows of equal "
    "prompt_size x batch_size, as they are"
)


def fit(cells: tuple[Cell, ...], model: ModelProfile, hardware: HardwareProfile, tensor_parallel: int) -> StepProfile:
    """Step times of one (model, hardware, tensor parallel), without evidence.

    Raises `Refusal` when the cells lack either sweep: prompts alone, or batches of 512-token prompts.
    """
    whole = tuple(cell for cell in cells if cell.ran_as_one_batch)
    return StepProfile(
        model=model.name,
        hardware=hardware.name,
        tensor_parallel=tensor_parallel,
        source="measured on vLLM with mixed continuous batching, 2023; one row of the table is one run",
        prefill=prefill_curves(single_points(whole), even_points(whole), model),
        decode=decode_fit(whole, model, hardware, tensor_parallel).curve,
        splitwise_sim=sim_curves(cells),
        evidence={},
    )


def derive_capped(profile: StepProfile, hardware: HardwareProfile) -> StepProfile:
    """The capped machine's step times from the uncapped one's: prefill x 1.30, decode x 1.00."""
    sim = profile.splitwise_sim
    derived = f"DERIVED, not measured, from {profile.hardware}: prefill x 1.30, decode x 1.00. "
    return attrs.evolve(
        profile,
        hardware=hardware.name,
        source=derived + profile.source,
        prefill=attrs.evolve(
            profile.prefill,
            single_ps=_scaled(profile.prefill.single_ps),
            even_ps=_scaled(profile.prefill.even_ps),
            cached_pair_ps=_scaled((profile.prefill.cached_pair_ps,))[0],
            source=derived + profile.prefill.source,
        ),
        decode=attrs.evolve(profile.decode, source=derived + profile.decode.source),
        splitwise_sim=None
        if sim is None
        else attrs.evolve(sim, prompt_ps=_scaled(sim.prompt_ps), source=derived + sim.source),
    )


def single_points(cells: Iterable[Cell]) -> list[Point]:
    """Prefill of one prompt, by its tokens. Repeats with other output lengths are repeats of the same prefill."""
    return _medians((cell.prompt_tokens, cell.prompt_ms) for cell in cells if cell.batch == 1)


def even_points(cells: Iterable[Cell]) -> list[Point]:
    """Prefill of several 512-token prompts, by their total tokens; the first point is one of them."""
    return _medians(
        (cell.prompt_tokens * cell.batch, cell.prompt_ms) for cell in cells if cell.prompt_tokens == EVEN_PROMPT_TOKENS
    )


def prefill_curves(single: list[Point], even: list[Point], model: ModelProfile) -> PrefillCurves:
    """Both curves, smoothed so that neither falls; an even curve never starts below the one prompt it starts with."""
    if len(single) < 2 or len(even) < 2:
        raise Refusal(CELLS, "expected two single prompts and two batches of 512-token prompts, or more")
    single_ps, even_ps = isotonic(single), isotonic(even)
    best_ps_per_token = min(ps / point.x for point, ps in zip(single, single_ps, strict=True))
    pair_operations = 4 * model.layers * model.heads * model.head_dim
    # 2 operations a parameter and 2 bytes a parameter: operations a token are the bytes of the weights
    return PrefillCurves(
        single_tokens=tuple(point.x for point in single),
        single_ps=tuple(round(ps) for ps in single_ps),
        even_prompt_tokens=EVEN_PROMPT_TOKENS,
        even_tokens=tuple(point.x for point in even),
        even_ps=tuple(round(ps) for ps in even_ps),
        cached_pair_ps=max(1, round(best_ps_per_token * pair_operations / model.weights_bytes)),
        source=_PREFILL_SOURCE,
    )


def decode_fit(
    cells: Iterable[Cell], model: ModelProfile, hardware: HardwareProfile, tensor_parallel: int
) -> DecodeFit:
    """a(B) and c(B). The sweep over prompts at one sequence gives c(1) and a(1), that over batches the rest.

    The sweep over outputs (one sequence, 512-token prompt) is left to `errors.py`: its contexts hardly differ.
    """
    sweep, batches = prompt_sweep(cells), batch_sweep(cells)
    if len(sweep) < 3 or not batches:
        raise Refusal(CELLS, "expected decode steps of one sequence at three prompts, and of batches, or more")
    steps = [
        DecodeStep(cell.batch, cell.mean_context_tokens, median_ps(cell.token_ms), len(cell.token_ms))
        for cell in sweep + batches
    ]
    subject = Subject((model.name, hardware.name, tensor_parallel), model, hardware)
    fitted = fit_decode(steps, subject.reading, _DECODE_SOURCE)
    if not fitted.clamped:
        return fitted
    return attrs.evolve(fitted, curve=attrs.evolve(fitted.curve, source=_DECODE_SOURCE + _CLAMPED))


def prompt_sweep(cells: Iterable[Cell]) -> list[Cell]:
    """One sequence, by prompt size, at the shortest output there is."""
    alone = [cell for cell in cells if cell.batch == 1]
    shortest = min((cell.output_tokens for cell in alone), default=0)
    return [cell for cell in alone if cell.output_tokens == shortest]


def output_sweep(cells: Iterable[Cell]) -> list[Cell]:
    """One sequence at longer outputs: never fitted."""
    alone = [cell for cell in cells if cell.batch == 1]
    shortest = min((cell.output_tokens for cell in alone), default=0)
    return [cell for cell in alone if cell.output_tokens > shortest]


def batch_sweep(cells: Iterable[Cell]) -> list[Cell]:
    """Two sequences or more, by batch size."""
    return [cell for cell in cells if cell.batch > 1]


def sim_curves(cells: Iterable[Cell]) -> SimCurves:
    """Medians over all rows of equal prompt x batch, whatever the batch, with nothing left out."""
    prompt_ms: dict[int, list[float]] = defaultdict(list)
    token_ms: dict[int, list[float]] = defaultdict(list)
    for cell in cells:
        prompt_ms[cell.prompt_tokens * cell.batch] += cell.prompt_ms
        token_ms[cell.prompt_tokens * cell.batch] += cell.token_ms
    knots = sorted(prompt_ms)
    return SimCurves(
        tokens=tuple(knots),
        prompt_ps=tuple(round(median_ps(prompt_ms[knot])) for knot in knots),
        token_ps=tuple(round(median_ps(token_ms[knot])) for knot in knots),
        source=_SIM_SOURCE,
    )


def median_ps(times_ms: Iterable[float]) -> float:
    """Median of milliseconds, in picoseconds."""
    return statistics.median(times_ms) * PS_PER_MS


def _medians(repeats: Iterable[tuple[int, tuple[float, ...]]]) -> list[Point]:
    pooled: dict[int, list[float]] = defaultdict(list)
    for x, times_ms in repeats:
        pooled[x] += times_ms
    return [Point(x, median_ps(times_ms), len(times_ms)) for x, times_ms in sorted(pooled.items())]


def _scaled(times_ps: tuple[int, ...]) -> tuple[int, ...]:
    numerator, denominator = CAPPED_PREFILL
    return tuple(ps * numerator // denominator for ps in times_ps)
