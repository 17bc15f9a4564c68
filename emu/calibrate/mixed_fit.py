"""What a worker's mixed steps take beyond the rule for them: a grid over the prompt's tokens and the decodes beside it.

The rule (`emu.fake.costs`) has prompts and decodes share one pass, as an engine's do; a worker that runs some of them
one behind the other takes longer. Prefill and decode are fitted before, and stay as they are.
"""

import statistics
from collections.abc import Iterable, Iterator

import attrs

from emu.calibrate.grid_errors import miss_of, predicted_ps
from emu.calibrate.grid_fit import median_ps
from emu.calibrate.misses import Miss, summary
from emu.calibrate.simple_table import CELLS, StepCell
from emu.fake.costs import CalibratedCosts
from emu.fake.step_profiles import MixedCurve, StepProfile
from emu.refusal import Refusal

_SOURCE = "medians of the repeats of a cell less the rule's time, the mean over its contexts"


def with_mixed(profile: StepProfile, cells: tuple[StepCell, ...]) -> StepProfile:
    """The profile with its mixed steps, and with their errors where each length of prompt is left out in turn.

    Raises `Refusal` where the mixed cells are no grid of two lengths and two batch sizes or more.
    """
    mixed = [cell for cell in cells if cell.phase == "mixed"]
    fitted = attrs.evolve(profile, mixed=_curve(profile, mixed))
    about = profile.evidence["about"] | {"mixed": "steps of a prompt and decodes: all of one length left out in turn"}
    return attrs.evolve(fitted, evidence=profile.evidence | {"about": about, "mixed": summary(_misses(profile, mixed))})


def _curve(profile: StepProfile, cells: Iterable[StepCell]) -> MixedCurve:
    costs = CalibratedCosts(attrs.evolve(profile, mixed=None))
    extra: dict[tuple[int, int], list[float]] = {}
    for cell in cells:
        extra.setdefault((cell.prompt_tokens, cell.batch), []).append(median_ps(cell) - predicted_ps(costs, cell))
    prompts, batches = (tuple(sorted({key[axis] for key in extra})) for axis in (0, 1))
    if len(prompts) < 2 or len(batches) < 2 or len(extra) < len(prompts) * len(batches):
        raise Refusal(CELLS, "expected mixed steps of a whole grid of two mixed_prompt_tokens and two batches, or more")
    times = tuple(round(statistics.fmean(extra[prompt, batch])) for prompt in prompts for batch in batches)
    return MixedCurve(prompts, batches, times, _SOURCE)


def _misses(profile: StepProfile, cells: list[StepCell]) -> Iterator[Miss]:
    prompts = sorted({cell.prompt_tokens for cell in cells})
    for left_out in prompts if len(prompts) > 2 else []:
        rest = _curve(profile, (cell for cell in cells if cell.prompt_tokens != left_out))
        costs = CalibratedCosts(attrs.evolve(profile, mixed=rest))
        at_end = left_out in (prompts[0], prompts[-1])
        yield from (Miss(miss_of(costs, cell), at_end) for cell in cells if cell.prompt_tokens == left_out)
