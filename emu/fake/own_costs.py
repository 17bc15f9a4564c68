"""Step times from a callable of the user's own: slices and hardware in, seconds out.

What it is asked and how its answers are held to their meaning stands here; how it is found by name does not. It is only
ever asked for the step at hand, never for a run of steps: nobody knows a closed form of it, so leaps are single steps.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from attrs import frozen

from emu.fake.profiles import HardwareProfile, ModelProfile
from emu.refusal import Refusal

PS_PER_S = 10**12
LONGEST_S = 1e6
_KEY = "costs.model"


@frozen
class Slice:
    """A part of a step: `count` tokens of one request, which come after `first` tokens that are in its cache.

    `kind` is "prefill" (also of a preempted sequence's cache, computed again) or "decode", whose count is 1.
    """

    kind: str
    first: int
    count: int


class Hardware(NamedTuple):
    """Where the step runs: the model on `tensor_parallel` GPUs of a machine."""

    model: ModelProfile
    machine: HardwareProfile
    tensor_parallel: int


StepTime = Callable[[Sequence[Slice], Hardware], float]
"""What `[costs] model = "package.module:Name"` names: a function, or a class whose objects are called."""

_SAMPLES = (
    (Slice("prefill", 0, 512),),
    (Slice("decode", 512, 1), Slice("decode", 700, 1)),
    (Slice("prefill", 0, 512), Slice("decode", 512, 1)),
)


class OwnCosts:
    """`emu.fake.costs.Costs` from such a callable. `step_ps` is exact; the other methods split their tokens evenly over
    prompts and sequences, for whoever knows no more than totals."""

    identified = True
    closed_form = False

    def __init__(self, named: str, step_s: StepTime, hardware: Hardware) -> None:
        self._named, self._step_s, self._hardware = named, step_s, hardware
        self._alone: dict[int, int] = {}

    def step_ps(self, slices: Sequence[Slice]) -> int:
        """How long a step of these slices takes. Raises `Refusal` when the callable raises or answers no such time."""
        try:
            answer: Any = self._step_s(slices, self._hardware)
        except Exception as error:
            raise Refusal(_KEY, f"{self._named} raised {type(error).__name__}: {error}; asked for {slices}") from error
        try:
            seconds = float(answer)
        except (TypeError, ValueError):
            seconds = math.nan
        if isinstance(answer, bool | str) or not 0 < seconds <= LONGEST_S:
            expected = f"expected {self._named} to answer seconds above zero, up to {LONGEST_S:.0f}"
            raise Refusal(_KEY, f"{expected}; it answered {str(answer)[:60]!r} for {slices}")
        return max(1, round(seconds * PS_PER_S))

    def try_out(self) -> None:
        """Ask for a few steps, so that what does not fit is refused before anything runs."""
        for slices in _SAMPLES:
            self.step_ps(slices)

    def prefill_ps(self, tokens: int, prompts: int, cached_tokens: int = 0) -> int:
        return self.mixed_ps(tokens, prompts, cached_tokens, 0, 0)

    def decode_coefficients(self, sequences: int) -> tuple[int, int]:
        """There are none."""
        raise TypeError(f"{self._named} gives no closed form for {sequences=}")

    def decode_ps(self, sequences: int, context_tokens: int) -> int:
        if sequences != 1:
            return self.mixed_ps(0, 0, 0, sequences, context_tokens)
        found = self._alone.get(context_tokens)
        if found is None:
            found = self._alone[context_tokens] = self.mixed_ps(0, 0, 0, 1, context_tokens)
        return found

    def mixed_ps(self, tokens: int, prompts: int, cached_tokens: int, sequences: int, context_tokens: int) -> int:
        if (tokens < 1) != (prompts < 1) or (tokens < 1 and sequences < 1):
            raise ValueError(f"a step of {tokens=} from {prompts=} and {sequences=}")
        computed, cached = _evenly(tokens, prompts), _evenly(cached_tokens, prompts)
        prefills = [Slice("prefill", first, count) for first, count in zip(cached, computed, strict=True)]
        decodes = [Slice("decode", max(0, context - 1), 1) for context in _evenly(context_tokens, sequences)]
        return self.step_ps((*prefills, *decodes))

    def measured(self, sequences: int, context_tokens: int) -> bool:  # noqa: ARG002 (it has no range)
        return True

    def measured_prefill(self, tokens: int, prompts: int) -> bool:  # noqa: ARG002 (it has no range)
        return True


def _evenly(total: int, parts: int) -> list[int]:
    """`total` as `parts` whole numbers that differ by one at most, the larger first."""
    if not parts:
        return []
    each, over = divmod(total, parts)
    return [each + (index < over) for index in range(parts)]
