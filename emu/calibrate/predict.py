"""A profile for a pair that nobody measured: a roofline, and how far measured steps on that machine are from theirs.

From each measured profile (on the same machine where two or more are, else on all) three things are read off: how many
times the roofline a prefill takes, by its tokens; how much longer a decode takes than the roofline for each layer, by
its sequences; and which share of the memory's bandwidth reading the cache reaches, by the pairs of sequence and
key-value head. Profiles whose share of the weights a GPU and tensor parallelism are like the wanted one's weigh more.
What that is worth is judged by leaving each measured profile out and predicting it from the others.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import attrs

from emu.calibrate.datasheet import has_datasheet
from emu.calibrate.decode_fit import BEST_EFFICIENCY
from emu.calibrate.isotonic import Point, isotonic
from emu.calibrate.misses import Evidence, Miss, summary
from emu.calibrate.report import is_measured
from emu.calibrate.roofline import Roofline, roofline
from emu.fake.costs import CalibratedCosts
from emu.fake.step_profiles import DecodeCurve, PrefillCurves, StepProfile

PROMPT_TOKENS = 512
SINGLES = (128, 256, 512, 1024, 2048, 4096, 8192)
EVENS = (1, 2, 4, 8, 16, 32)
PREDICTED = "PREDICTED, not measured"

_NEARNESS = 0.25
"""Added to the distance of two profiles before it is turned into a weight. The distance is by how many times their
GPUs' shares of the weights, and the GPUs together, differ: logarithms. Its square gave the least errors on profiles
left out, of twelve ways tried."""


@attrs.frozen(slots=True)
class Reference:
    """A measured profile beside its roofline."""

    profile: StepProfile
    costs: CalibratedCosts
    line: Roofline

    @classmethod
    def of(cls, profile: StepProfile) -> "Reference":
        line = roofline(profile.model, profile.hardware, profile.tensor_parallel)
        return cls(profile, CalibratedCosts(profile), line)


def predict(wanted: Roofline, references: Sequence[Reference]) -> StepProfile:
    """The wanted pair's step times, with the error of predicting each reference from the others."""
    used = _nearest(wanted, references)
    profile = _predicted(wanted, used)
    return attrs.evolve(profile, evidence=_evidence(used) | {"not_identified": _untold(wanted)})


def measured_references(profiles: Sequence[StepProfile]) -> tuple[Reference, ...]:
    """Those of the profiles that were measured themselves, on a machine with a datasheet."""
    measured = (each for each in profiles if is_measured(each) and has_datasheet(each.hardware))
    return tuple(Reference.of(each) for each in measured)


def _nearest(wanted: Roofline, references: Sequence[Reference]) -> list[Reference]:
    same = [each for each in references if each.profile.hardware == wanted.hardware.name]
    return same if len(same) > 1 else list(references)


def _predicted(wanted: Roofline, used: Sequence[Reference]) -> StepProfile:
    names = ", ".join(
        f"{each.profile.model} on {each.profile.hardware} tp{each.profile.tensor_parallel}" for each in used
    )
    source = (
        f"{PREDICTED}: a roofline of model and datasheet (emu/calibrate/roofline.py), with what measured steps take "
        f"beyond theirs: {names}"
    )
    return StepProfile(
        model=wanted.model.name,
        hardware=wanted.hardware.name,
        tensor_parallel=wanted.tensor_parallel,
        source=source,
        prefill=_prefill(wanted, used, source),
        decode=_decode(wanted, used, source),
        splitwise_sim=None,
        evidence={},
    )


def _prefill(wanted: Roofline, used: Sequence[Reference], source: str) -> PrefillCurves:
    def step_ps(tokens: int, prompts: int) -> float:
        def beyond(each: Reference) -> float:
            own_ps = each.costs.prefill_ps(tokens, prompts) - each.line.sums_ps(tokens)
            return max(own_ps, 1.0) / each.line.prefill_ps(tokens, prompts)

        return wanted.prefill_ps(tokens, prompts) * _mean(wanted, used, beyond) + wanted.sums_ps(tokens)

    def pairs(each: Reference) -> float:
        return each.profile.prefill.cached_pair_ps / each.line.pair_ps

    single = [Point(tokens, step_ps(tokens, 1), 1) for tokens in SINGLES]
    even = [Point(n * PROMPT_TOKENS, step_ps(n * PROMPT_TOKENS, n), 1) for n in EVENS]
    return PrefillCurves(
        single_tokens=SINGLES,
        single_ps=_whole(isotonic(single)),
        even_prompt_tokens=PROMPT_TOKENS,
        even_tokens=tuple(point.x for point in even),
        even_ps=_whole(isotonic(even)),
        cached_pair_ps=max(1, round(wanted.pair_ps * _mean(wanted, used, pairs))),
        source=source,
    )


def _decode(wanted: Roofline, used: Sequence[Reference], source: str) -> DecodeCurve:
    batches = max((each.profile.decode.sequences for each in used), key=len)
    base, context, least = [], [], []
    for batch in batches:
        measured = [each for each in used if batch <= each.profile.decode.sequences[-1]]
        base.append(Point(batch, _base_ps(wanted, measured, batch), 1))
        shares = [_share(each, batch * wanted.pairs_at_one) for each in used]
        context.append(Point(batch, batch * wanted.context_ps / _mean_of(wanted, used, shares), 1))
        least.append(wanted.context_ps / min(shares))
    context_ps = [round(ps / batch) for batch, ps in zip(batches, isotonic(context), strict=True)]
    for index in range(1, len(batches)):  # rounding may not make B * c(B) fall
        left, right = batches[index - 1], batches[index]
        context_ps[index] = max(context_ps[index], -(-left * context_ps[index - 1] // right))
    spans = [each.profile.decode.context_range_tokens for each in used]
    return DecodeCurve(
        sequences=batches,
        base_ps=_whole(isotonic(base)),
        context_ps_per_token=tuple(context_ps),
        context_low_ps=tuple(max(1, min(int(wanted.context_ps), ps)) for ps in context_ps),
        context_high_ps=tuple(max(int(most) + 1, ps) for most, ps in zip(least, context_ps, strict=True)),
        identified=False,
        context_range_tokens=(min(span[0] for span in spans), max(span[1] for span in spans)),
        source=source,
    )


def _whole(times_ps: list[float]) -> tuple[int, ...]:
    """To nanoseconds, so that no other machine's logarithm makes another file."""
    return tuple(1000 * round(ps / 1000) for ps in times_ps)


def _base_ps(wanted: Roofline, used: Sequence[Reference], batch: int) -> float:
    def beyond_a_layer(each: Reference) -> float:
        own_ps = each.costs.decode_coefficients(batch)[0] - each.line.sums_ps(batch) - each.line.decode_ps(batch)
        return max(own_ps / each.line.model.layers, 1.0)

    added_ps = wanted.model.layers * _mean(wanted, used, beyond_a_layer)
    return wanted.decode_ps(batch) + added_ps + wanted.sums_ps(batch)


def _share(each: Reference, pairs: float) -> float:
    """Of the bandwidth, with so many pairs: through the profile's batch sizes, linear in the logarithm of pairs."""
    decode = each.profile.decode
    at = [batch * each.line.pairs_at_one for batch in decode.sequences]
    shares = [min(each.line.context_ps / ps, BEST_EFFICIENCY) for ps in decode.context_ps_per_token]
    if not at[0] < pairs < at[-1]:
        return shares[0] if pairs <= at[0] else shares[-1]
    right = next(index for index, knot in enumerate(at) if knot >= pairs)
    part = math.log(pairs / at[right - 1]) / math.log(at[right] / at[right - 1])
    return shares[right - 1] + (shares[right] - shares[right - 1]) * part


def _mean(wanted: Roofline, used: Sequence[Reference], figure: Callable[[Reference], float]) -> float:
    return _mean_of(wanted, used, [figure(each) for each in used])


def _mean_of(wanted: Roofline, used: Sequence[Reference], figures: Sequence[float]) -> float:
    """The geometric mean, references near to what is wanted weighing more."""
    weights = [1 / (_NEARNESS + _distance(each.line, wanted)) ** 2 for each in used]
    logs = sum(weight * math.log(figure) for weight, figure in zip(weights, figures, strict=True))
    return math.exp(logs / sum(weights))


def _distance(one: Roofline, other: Roofline) -> float:
    shares, gpus = one.weights_ps / other.weights_ps, one.tensor_parallel / other.tensor_parallel
    return abs(math.log(shares)) + abs(math.log(gpus))


def _evidence(used: Sequence[Reference]) -> Evidence:
    prefill, decode, told = [], [], []
    for left_out in used:
        others = [each for each in used if each is not left_out]
        line = left_out.line
        costs = CalibratedCosts(_predicted(line, _nearest(line, others)))
        misses = list(_prefill_misses(costs, left_out)), list(_decode_misses(costs, left_out))
        prefill += misses[0]
        decode += misses[1]
        named = f"{left_out.profile.model} on {left_out.profile.hardware} tp{left_out.profile.tensor_parallel}"
        means = (sum(abs(miss.error) for miss in each) / len(each) for each in misses)
        told.append(f"{named}: prefill {next(means):.1%}, decode {next(means):.1%}")
    return {
        "about": {
            "errors": "each measured profile left out and predicted from the others, at its own knots; per cent",
            "by_profile": told,
        },
        "left_out_prefill": summary(prefill),
        "left_out_decode": summary(decode),
    }


def _untold(wanted: Roofline) -> dict[str, float | int | str | list[str]]:
    measure = f"emu calibrate measure --model {wanted.model.name} --hardware {wanted.hardware.name}"
    return {
        "what": ["every step: nobody measured this pair"],
        "interval": ["as far off as profiles left out and predicted from the others"],
        "would_be_told_by": [f"{measure} --tensor-parallel {wanted.tensor_parallel}, on one of its GPUs"],
    }


def _prefill_misses(costs: CalibratedCosts, left_out: Reference) -> Iterator[Miss]:
    curves = left_out.profile.prefill
    for tokens, prompts in [(each, 1) for each in curves.single_tokens] + [
        (each, each // curves.even_prompt_tokens) for each in curves.even_tokens[1:]
    ]:
        yield Miss(costs.prefill_ps(tokens, prompts) / left_out.costs.prefill_ps(tokens, prompts) - 1)


def _decode_misses(costs: CalibratedCosts, left_out: Reference) -> Iterator[Miss]:
    for batch in left_out.profile.decode.sequences:
        for each in (512, 2048):
            if left_out.costs.measured(batch, batch * each):
                yield Miss(costs.decode_ps(batch, batch * each) / left_out.costs.decode_ps(batch, batch * each) - 1)
