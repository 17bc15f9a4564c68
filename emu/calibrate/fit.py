"""From cells to step times: the two prefill curves, the decode curve and splitwise-sim's own curves.

Everything is plain arithmetic in a fixed order, so remaking a profile gives the same file. What a fitted profile is
worth is judged in `errors.py`, which calls these functions with cells left out.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable

import attrs

from emu.calibrate.table import Cell
from emu.fake.profiles import HardwareProfile, ModelProfile
from emu.fake.step_profiles import DecodeCurve, PrefillCurves, SimCurves, StepProfile
from emu.refusal import Refusal

PS_PER_MS = 10**9

EFFICIENCY_RANGE = (0.125, 0.9)
"""Share of HBM bandwidth that reading the KV cache may reach in a batch.

High: no kernel streams at more than about nine tenths of the peak. Low: an attention kernel that lets each of
Llama2-70B's eight query heads of a group read the shared cache for itself moves eight times the bytes. A slope at one
sequence that says less is not bandwidth but one sequence too few to fill the GPU: latency, which does not add up over a
batch.
"""

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
    "term, isotonic in sequences. Context varies only at 1 sequence and sequences only at 512-token prompts, so the "
    "context term is not identified: KV bytes over HBM bandwidth, at the efficiency fitted at 1 sequence"
)
_CLAMPED = (
    f". The fitted efficiency is outside {EFFICIENCY_RANGE[0]} to {EFFICIENCY_RANGE[1]} and was clamped to that range: "
    "at 1 sequence the slope is latency or noise, not bandwidth"
)
_SIM_SOURCE = (
    "splitwise-sim performance_model.py, commit 8f99e7d: medians of prompt_time and token_time over all rows of equal "
    "prompt_size x batch_size, as they are"
)


@attrs.frozen(slots=True)
class Point:
    """A median and how many repeats it stands on."""

    x: int
    ps: float
    weight: int


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
        decode=decode_curve(whole, model, hardware, tensor_parallel),
        splitwise_sim=sim_curves(cells),
        evidence={},
    )


def derive_capped(profile: StepProfile, hardware: HardwareProfile) -> StepProfile:
    """The capped machine's step times from the uncapped one's: prefill x 1.30, decode x 1.00."""
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
        splitwise_sim=attrs.evolve(
            profile.splitwise_sim,
            prompt_ps=_scaled(profile.splitwise_sim.prompt_ps),
            source=derived + profile.splitwise_sim.source,
        ),
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
        raise Refusal("table", "expected two single prompts and two batches of 512-token prompts, or more")
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


def decode_curve(
    cells: Iterable[Cell], model: ModelProfile, hardware: HardwareProfile, tensor_parallel: int
) -> DecodeCurve:
    """a(B) and c. The sweep over prompts at one sequence gives c's efficiency and a(1), that over batches the rest.

    The sweep over outputs (one sequence, 512-token prompt) is left to `errors.py`: its contexts hardly differ.
    """
    sweep = prompt_sweep(cells)
    batches = batch_sweep(cells)
    if len(sweep) < 3 or not batches:
        raise Refusal("table", "expected decode steps of one sequence at three prompts, and of batches, or more")
    contexts = [cell.mean_context_tokens for cell in sweep]
    steps_ps = [median_ps(cell.token_ms) for cell in sweep]
    slope, error = slope_and_error(contexts, steps_ps)
    floor = model.kv_bytes_per_token * 10**12 / (tensor_parallel * hardware.hbm_bytes_per_s)
    fitted = floor / slope if slope > 0 else float("inf")
    efficiency = min(max(fitted, EFFICIENCY_RANGE[0]), EFFICIENCY_RANGE[1])
    context_ps = round(floor / efficiency)
    alone_ps = statistics.fmean(ps - context_ps * context for ps, context in zip(steps_ps, contexts, strict=True))
    points = [Point(1, alone_ps, len(sweep[0].token_ms))] + [
        Point(cell.batch, median_ps(cell.token_ms) - context_ps * cell.mean_context_tokens, len(cell.token_ms))
        for cell in batches
    ]
    every_context = contexts + [cell.mean_context_tokens for cell in batches]
    return DecodeCurve(
        sequences=tuple(point.x for point in points),
        base_ps=tuple(round(ps) for ps in isotonic(points)),
        context_ps_per_token=context_ps,
        identified=False,
        interval_ps_per_token=(round(floor), round(max(slope + 2 * error, context_ps))),
        fitted_efficiency_pct=round(100 * min(fitted, 10.0), 1),
        efficiency_pct=round(100 * efficiency, 1),
        context_range_tokens=(int(min(every_context)), int(max(every_context))),
        source=_DECODE_SOURCE + ("" if efficiency == fitted else _CLAMPED),
    )


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


def isotonic(points: list[Point]) -> list[float]:
    """The non-decreasing values nearest to the points in weighted squares (pool adjacent violators)."""
    pools: list[tuple[float, int, int]] = []  # mean, weight, points pooled
    for point in points:
        pools.append((point.ps, point.weight, 1))
        while len(pools) > 1 and pools[-1][0] < pools[-2][0]:
            (right, right_weight, right_count), (left, left_weight, left_count) = pools.pop(), pools.pop()
            weight = left_weight + right_weight
            pools.append(((left * left_weight + right * right_weight) / weight, weight, left_count + right_count))
    return [mean for mean, _, count in pools for _ in range(count)]


def slope_and_error(xs: list[float], ys: list[float]) -> tuple[float, float]:
    """Slope of the least-squares line and its standard error."""
    mean_x, mean_y = statistics.fmean(xs), statistics.fmean(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    residual = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    return slope, (residual / (len(xs) - 2) / spread) ** 0.5 if len(xs) > 2 else 0.0


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
