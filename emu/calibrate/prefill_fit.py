"""The two prefill curves from prefill steps: one prompt by its tokens, and prompts of one length by how many.

A table without the one or the other still gives a profile: the missing curve is then derived from the other, which is
said. Which cells are fitted and which are only predicted is decided here; how well is judged in `errors.py`.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable

import attrs

from emu.calibrate.isotonic import Point, isotonic
from emu.calibrate.simple_table import CELLS
from emu.fake.step_profiles import PrefillCurves
from emu.refusal import Refusal

USUAL_PROMPT_TOKENS = 512
"""The prompt length at which batches are varied, where the table has it."""


@attrs.frozen(slots=True)
class PrefillStep:
    """One measured prefill of `prompts` prompts of `each` tokens: time and repeats."""

    prompts: int
    each: int
    ps: float
    weight: int = 1

    @property
    def tokens(self) -> int:
        return self.prompts * self.each


@attrs.frozen(slots=True)
class PrefillFit:
    """The curves, and whether each was measured or derived from the other."""

    curves: PrefillCurves
    single_measured: bool
    even_measured: bool


def even_prompt_tokens(steps: Iterable[PrefillStep]) -> int:
    """The prompt length with the most batch sizes; 512 at a tie, then the shortest."""
    sizes: dict[int, set[int]] = defaultdict(set)
    for step in steps:
        sizes[step.each].add(step.prompts)
    return max(sizes, key=lambda each: (len(sizes[each]), each == USUAL_PROMPT_TOKENS, -each))


def fit_prefill(steps: list[PrefillStep], cached_pair_ps: int, source: str, each: int | None = None) -> PrefillFit:
    """Raises `Refusal` when the steps are of fewer than two counts of tokens.

    `each` is the prompt length of the second curve; by default the one that the steps vary most.
    """
    if not steps:
        raise Refusal(CELLS, "expected prefill steps")
    each = each or even_prompt_tokens(steps)
    single = _medians(step for step in steps if step.prompts == 1)
    even = _medians(step for step in steps if step.each == each)
    single_measured, even_measured = len(single) > 1, len(even) > 1
    if not single_measured:
        single = _medians(steps)
    if len(single) < 2:
        raise Refusal(CELLS, "expected prefill steps of two counts of tokens or more")
    if not even_measured:
        even = _derived(single, each, cached_pair_ps)
    curves = PrefillCurves(
        single_tokens=tuple(point.x for point in single),
        single_ps=tuple(round(ps) for ps in isotonic(single)),
        even_prompt_tokens=each,
        even_tokens=tuple(point.x for point in even),
        even_ps=tuple(round(ps) for ps in isotonic(even)),
        cached_pair_ps=cached_pair_ps,
        source=source,
    )
    return PrefillFit(curves, single_measured, even_measured)


def pair_ps(steps: list[PrefillStep]) -> int | None:
    """What one token pays to attend to one more: how much longer one prompt takes than shorter ones of as many tokens
    together, over the pairs that it has more. None where no two steps say it; at least 1."""
    by_tokens: dict[int, list[PrefillStep]] = defaultdict(list)
    for step in steps:
        by_tokens[step.tokens].append(step)
    found = []
    for tokens, group in by_tokens.items():
        longest, shortest = max(group, key=lambda step: step.each), min(group, key=lambda step: step.each)
        pairs = tokens * (longest.each - shortest.each) / 2
        if pairs:
            found.append(((longest.ps - shortest.ps) / pairs, pairs))
    if not found:
        return None
    # the more pairs, the less of the difference is noise
    return max(1, round(sum(ps * pairs for ps, pairs in found) / sum(pairs for _, pairs in found)))


def _derived(single: list[Point], each: int, cached_pair_ps: int) -> list[Point]:
    """Prompts of `each` tokens from single ones of as many tokens, less the pairs that shorter prompts lack."""
    longer = [point for point in single if point.x > each]
    start = next((point for point in reversed(single) if point.x <= each), single[0])
    points = [Point(each, start.ps, 1)]
    for point in longer:
        saved_ps = cached_pair_ps * point.x * (point.x - each) / 2
        points.append(Point(point.x, max(point.ps - saved_ps, point.ps / 2), 1))
    if len(points) == 1:
        points.append(Point(2 * each, 2 * start.ps, 1))
    return points


def _medians(steps: Iterable[PrefillStep]) -> list[Point]:
    pooled: dict[int, list[PrefillStep]] = defaultdict(list)
    for step in steps:
        pooled[step.tokens].append(step)
    return [
        Point(tokens, statistics.median(step.ps for step in group), sum(step.weight for step in group))
        for tokens, group in sorted(pooled.items())
    ]
