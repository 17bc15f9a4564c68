"""Verdicts: whether a point meets all SLOs, from as few trials as settle it, and how sure the answer is.

By definition a point passes if more than half of its long runs, one a seed, meet all limits. Most points are nowhere
near their limits: a short run that surely fails, or a first long one whose intervals all lie on one side, speaks for
the rest. Near a limit every seed that can still matter is run, unless only a first look is asked for. Which points
are of interest is not known here.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from math import exp, inf, isinf, log, sqrt
from typing import TypeAlias

from attrs import frozen

from emu.plan.schema import Search
from emu.plan.student import spread_of_logs, t_below, t_quantile
from emu.plan.trials import WHOLE, Found, Point, Trial

Asking: TypeAlias = Generator[tuple[Trial, ...], Mapping[Trial, Found], "Verdict"]

FIRST, SECOND = "first", "second"
"""Which free group of a design is too small; "" where that cannot be said."""


WITHIN_FREEDOM = 60  # of intervals that rest on hundreds of requests


@frozen
class Verdict:
    """On one point. `lean` says which group of a failing point is too small; one that is not `firm` is what the first
    seed says, near a limit."""

    point: Point
    passed: bool
    found: tuple[Found, ...]
    lean: str = ""
    firm: bool = True


def settle(point: Point, search: Search, seeds: Sequence[int], *, firmly: bool) -> Asking:
    """As few trials as settle it, or, unless `firmly`, what the first of `seeds` says."""
    if search.short_s < search.long_s and not firmly:
        trial = Trial(point, search.short_s, seeds[0])
        short = (yield (trial,))[trial]
        if short.surely_failed:
            return _verdict(point, [short], firm=len(seeds) == 1)
    found: list[Found] = []
    for seed in seeds:
        trial = Trial(point, search.long_s, seed)
        found.append((yield (trial,))[trial])
        if not firmly or _settled(found, len(seeds)):
            break
    return _verdict(point, found, firm=_settled(found, len(seeds)))


def settle_fully(point: Point, search: Search) -> Asking:
    """All seeds, each to its end: what confidence rests on."""
    trials = tuple(Trial(point, search.long_s, seed, WHOLE) for seed in range(search.seeds))
    answers = yield trials
    return _verdict(point, [answers[trial] for trial in trials])


def deciding_first(found: Sequence[Found]) -> tuple[int, ...]:
    """The seeds of whole runs, first the one that passes just when most do, then those that came nearest to it."""
    rising = sorted(range(len(found)), key=lambda seed: found[seed].margin)
    deciding = len(found) // 2
    return tuple(rising[rank] for rank in sorted(range(len(found)), key=lambda rank: abs(rank - deciding)))


def typical_first(seeds: Sequence[int], verdict: Verdict) -> tuple[int, ...]:
    """The seeds of a firm verdict, which may not all have been heard: first those that say the same, by how nearly."""
    apart = {
        seed: abs(one.margin - 1)
        for seed, one in zip(seeds, verdict.found, strict=False)
        if one.passed == verdict.passed
    }
    return tuple(sorted(seeds, key=lambda seed: (seed not in apart, apart.get(seed, 0.0))))


def all_surely_fail(point: Point, search: Search) -> Generator[tuple[Trial, ...], Mapping[Trial, Found], bool]:
    """Whether every seed's run is beyond doubt a failure; the first that is not ends it."""
    for seed in range(search.seeds):
        trial = Trial(point, search.long_s, seed)
        if not (yield (trial,))[trial].surely_failed:
            return False
    return True


@frozen
class Sureness:
    """How sure the verdict of a point is: of `chance` that as many other seeds would say that it passes.

    `ratios` has, for every limit, the middle of its ratio and the interval of the plan's confidence.
    """

    chance: float
    ratios: Mapping[str, tuple[float, float, float]]


def sureness(found: Sequence[Found], confidence: float, beside: Sequence[Found] = ()) -> Sureness:
    """From whole runs, one a seed; logarithms of ratios are taken as normal. One seed says nothing: a half.

    A few seeds may agree by luck, so the less sure of two accounts holds: how seeds differ from each other, here or, if
    that is more, at the point that `beside` is of, and how far each run's own interval of its worst percentile reaches.
    """
    ratios = {name: _interval([one.ratios[name][0] for one in found], confidence) for name in found[0].ratios}
    margins = [one.margin for one in found]
    if any(map(isinf, margins)):
        return Sureness(0.0, ratios)
    if not all(margins):
        return Sureness(1.0, ratios)
    mean, between = spread_of_logs(margins)
    if isinf(between):
        return Sureness(0.5, ratios)
    there = [one.margin for one in beside]
    if there and all(there) and not any(map(isinf, there)):
        between = max(between, spread_of_logs(there)[1])
    # the mean of as many other seeds differs from this one by both their errors
    errors = sqrt(2 / len(found))
    chances = [
        t_below(-mean / (deviation * errors), freedom) if deviation else float(mean < 0)
        for deviation, freedom in ((between, len(found) - 1), (_within(found), WITHIN_FREEDOM))
    ]
    return Sureness(min(chances, key=lambda chance: abs(chance - 0.5)), ratios)


def _within(found: Sequence[Found]) -> float:
    """How uncertain the deciding percentile is in a run by itself: of the logarithm, the mean over runs."""
    total = 0.0
    for one in found:
        value, low, high = one.ratios[one.worst]
        if not low:
            return inf
        total += log(value / low) / 2 if isinf(high) else log(high / low) / 4
    return total / len(found)


def lean(found: Sequence[Found]) -> str:
    """The group to grow, read off the worst limit of each run: prompts wait for the first, tokens for the second."""
    votes = 0
    for one in found:
        scores = one.over if one.stopped else {name: ratio for name, (ratio, _, _) in one.ratios.items()}
        votes += 1 if _worst(scores, "ttft") >= _worst(scores, "t") else -1
    return FIRST if votes > 0 else SECOND if votes < 0 else ""


def _worst(scores: Mapping[str, float], metric: str) -> float:
    """The worst of first tokens, or, for any other metric, of all the rest."""
    return max((score for name, score in scores.items() if name.startswith("ttft") == (metric == "ttft")), default=0.0)


def _settled(found: Sequence[Found], seeds: int) -> bool:
    passed = sum(one.passed for one in found)
    return passed * 2 > seeds or (len(found) - passed) * 2 >= seeds


def _verdict(point: Point, found: Sequence[Found], *, firm: bool = True) -> Verdict:
    passed = sum(one.passed for one in found) * 2 > len(found)
    return Verdict(point, passed, tuple(found), "" if passed else lean([one for one in found if not one.passed]), firm)


def _interval(values: list[float], confidence: float) -> tuple[float, float, float]:
    """Middle, low and high of the mean ratio."""
    if any(map(isinf, values)):
        return inf, inf, inf
    if not all(values):
        return max(values), min(values), max(values)
    mean, deviation = spread_of_logs(values)
    if isinf(deviation):
        return exp(mean), 0.0, inf
    reach = t_quantile((1 + confidence) / 2, len(values) - 1) * deviation / sqrt(len(values))
    return exp(mean), exp(mean - reach), exp(mean + reach)
