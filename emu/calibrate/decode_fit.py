"""The decode curve from decode steps: a(B) and c(B) of step = a(B) + c(B) * C, and what the steps do not tell apart.

The same for every table: splitwise-sim's, where context varies at one batch size alone, and a full grid. Least squares
in relative errors; what the steps cannot say is carried over from another kernel's measurements, and said.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

import attrs

from emu.calibrate.isotonic import Point, isotonic
from emu.calibrate.simple_table import CELLS
from emu.fake.step_profiles import DecodeCurve
from emu.refusal import Refusal

BEST_EFFICIENCY = 0.9
"""Share of the memory's bandwidth that reading a cache reaches at most: no kernel streams at more than about that."""

PAIRS = (1, 2, 4, 8, 16, 32, 64)
RELATIVE_COST = (1.0, 0.563, 0.333, 0.173, 0.143, 0.125, 0.119)
"""How the cost of a token of context falls with the (sequence, key-value head) pairs that a GPU reads side by side.

c over c at one pair, and constant past 64 pairs: measurements/h200/llama2-70b.tp8.csv, PyTorch's flash kernel on an
H200, which one head of one sequence cannot fill (10 % of the bandwidth, 88 % at 64 pairs). llama2-70b in four shards
and llama3-8b on one GPU lie on the same curve, within 4 % of the bandwidth. Past 128 pairs that kernel gets slower
again; this is its own and is not carried over.
"""


BEST_SHARE = 0.88
"""Of the memory's bandwidth, at 64 pairs, in the same measurements."""


@attrs.frozen(slots=True)
class DecodeStep:
    """One measured decode: sequences, their contexts' sum (tokens, that of this step included), time, repeats."""

    sequences: int
    context_tokens: float
    ps: float
    weight: int = 1


@attrs.frozen(slots=True)
class Reading:
    """What reading the cache may cost on this machine: `floor_ps` a token at the full bandwidth of the memory, and the
    key-value heads on each GPU. Where model or machine are unknown: 0 and None."""

    floor_ps: float
    kv_heads: float | None


@attrs.frozen(slots=True)
class DecodeFit:
    """The curve, the batch sizes at which the steps themselves tell c, and the fitted c outside what memory allows."""

    curve: DecodeCurve
    told: tuple[int, ...]
    clamped: tuple[int, ...]


def fit_decode(steps: Iterable[DecodeStep], reading: Reading, source: str) -> DecodeFit:
    """Raises `Refusal` without two batch sizes. Where none has two contexts, c is the bandwidth's by the carried
    shape, or nothing where model or machine are unknown."""
    groups: dict[int, list[DecodeStep]] = defaultdict(list)
    for step in steps:
        groups[step.sequences].append(step)
    batches = sorted(groups)
    told = [batch for batch in batches if len({step.context_tokens for step in groups[batch]}) > 1]
    if len(batches) < 2:
        raise Refusal(CELLS, "expected decode steps of two batch sizes or more")
    least = reading.floor_ps / BEST_EFFICIENCY
    slopes = {batch: _slope(groups[batch]) for batch in told}
    clamped = tuple(batch for batch in told if slopes[batch][0] <= least)
    known = {batch: max(slopes[batch][0], least, 1.0) for batch in told}
    context = {batch: min(_carried(batch, known, reading), _most(groups[batch])) for batch in batches}
    each = isotonic([Point(b, b * context[b], sum(step.weight for step in groups[b])) for b in batches])
    used = {batch: max(1, round(ps / batch)) for batch, ps in zip(batches, each, strict=True)}
    rising = [used[batches[0]]]
    for left, right in pairwise(batches):
        rising.append(max(used[right], -(-left * rising[-1] // right)))  # rounding may not make B * c(B) fall
    bases = [_base(groups[batch], ps) for batch, ps in zip(batches, rising, strict=True)]
    base_ps = isotonic([Point(b, ps, len(groups[b])) for b, ps in zip(batches, bases, strict=True)])
    bounds = [
        _interval(groups[batch], slopes.get(batch), ps, reading.floor_ps, base_ps[0])
        for batch, ps in zip(batches, rising, strict=True)
    ]
    totals = [step.context_tokens for group in groups.values() for step in group]
    curve = DecodeCurve(
        sequences=tuple(batches),
        base_ps=tuple(max(1, round(ps)) for ps in base_ps),
        context_ps_per_token=tuple(rising),
        context_low_ps=tuple(max(1, int(low)) for low, _ in bounds),
        context_high_ps=tuple(int(high) + 1 for _, high in bounds),
        identified=batches[0] in told and batches[-1] in told,
        context_range_tokens=(int(min(totals)), int(max(totals))),
        source=source,
    )
    return DecodeFit(curve, tuple(told), clamped)


def relative_cost(pairs: float) -> float:
    """`RELATIVE_COST` at so many pairs: between its points linear in pairs times cost, which never falls."""
    if pairs <= PAIRS[0]:
        return RELATIVE_COST[0]
    if pairs >= PAIRS[-1]:
        return RELATIVE_COST[-1]
    right = next(index for index, knot in enumerate(PAIRS) if knot >= pairs)
    left = right - 1
    low, high = PAIRS[left] * RELATIVE_COST[left], PAIRS[right] * RELATIVE_COST[right]
    return (low + (high - low) * (pairs - PAIRS[left]) / (PAIRS[right] - PAIRS[left])) / pairs


def _carried(batch: int, known: dict[int, float], reading: Reading) -> float:
    """c at this batch size: its own, else between its neighbours', else the nearest one's in the carried shape."""
    if batch in known:
        return known[batch]
    if not known:
        share = BEST_SHARE * RELATIVE_COST[-1] / relative_cost(batch * (reading.kv_heads or PAIRS[-1]))
        return max(reading.floor_ps / share, 1.0)
    below, above = [b for b in known if b < batch], [b for b in known if b > batch]
    if below and above:
        left, right = max(below), min(above)
        low, high = left * known[left], right * known[right]
        return (low + (high - low) * (batch - left) / (right - left)) / batch
    nearest = max(below) if below else min(above)
    if reading.kv_heads is None:
        return known[nearest]
    shape = relative_cost(batch * reading.kv_heads) / relative_cost(nearest * reading.kv_heads)
    return max(known[nearest] * shape, reading.floor_ps / BEST_EFFICIENCY)


def _most(group: list[DecodeStep]) -> float:
    """Reading the context takes no longer than the step."""
    return min(step.ps / step.context_tokens for step in group)


def _slope(group: list[DecodeStep]) -> tuple[float, float]:
    """c and its standard error, by least squares in relative errors."""
    weights = [step.weight / step.ps**2 for step in group]
    total = sum(weights)
    mean_x = sum(w * step.context_tokens for w, step in zip(weights, group, strict=True)) / total
    mean_y = sum(w * step.ps for w, step in zip(weights, group, strict=True)) / total
    spread = sum(w * (step.context_tokens - mean_x) ** 2 for w, step in zip(weights, group, strict=True))
    shared = sum(
        w * (step.context_tokens - mean_x) * (step.ps - mean_y) for w, step in zip(weights, group, strict=True)
    )
    slope = shared / spread
    if len(group) < 3:
        return slope, 0.0
    residual = sum(
        w * (step.ps - mean_y - slope * (step.context_tokens - mean_x)) ** 2
        for w, step in zip(weights, group, strict=True)
    )
    return slope, (residual / (len(group) - 2) / spread) ** 0.5


def _base(group: list[DecodeStep], context_ps: float) -> float:
    """a at one batch size: what its steps leave besides their context, the mean in relative errors."""
    weights = [step.weight / step.ps**2 for step in group]
    rests = [step.ps - context_ps * step.context_tokens for step in group]
    return sum(w * rest for w, rest in zip(weights, rests, strict=True)) / sum(weights)


def _interval(
    group: list[DecodeStep], slope: tuple[float, float] | None, used_ps: float, floor_ps: float, first_ps: float
) -> tuple[float, float]:
    """What c may be: two standard errors about a slope; without one, from the memory's bandwidth up to what would make
    a(B) fall below the smallest batch's."""
    if slope is not None:
        low, high = slope[0] - 2 * slope[1], slope[0] + 2 * slope[1]
    else:
        low = floor_ps
        high = statistics.fmean((step.ps - first_ps) / step.context_tokens for step in group)
    return min(max(low, floor_ps), used_ps), max(high, used_ps)
