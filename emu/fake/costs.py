"""How long a step of a worker takes: integers in, integer picoseconds out.

The end of a leap is computed in closed form and the record's digest hangs on it, so every result is integer arithmetic
on integers read from a profile: no float and no numpy may appear below. Curves are fitted elsewhere (`emu.calibrate`);
here they are only looked up. Nothing here knows of batches, blocks, machines or time.
"""

from collections.abc import Iterable
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from emu.fake.curves import line, prefill_at
from emu.fake.profiles import HardwareProfile, ModelProfile, nearest
from emu.fake.step_profiles import MixedCurve, StepProfile, load_steps
from emu.refusal import Refusal

if TYPE_CHECKING:
    from emu.fake.sim_costs import SplitwiseSimCosts

COST_KINDS = ("calibrated", "splitwise-sim")
"""What `[costs] model` of a scenario may say."""

_CACHE_LIMIT = 1 << 16
"""Entries a lookup table keeps before it starts afresh: some 10 MB, and no run has been seen to need more."""


class Costs(Protocol):
    """Step times of one (model, hardware, tensor parallel). Pure: equal arguments give equal results.

    Times are picoseconds. Token counts of work are at least 1 where the work is there at all: a prefill of no token or
    a decode of no sequence raises ValueError.
    """

    @property
    def identified(self) -> bool:
        """Whether the measurements tell c(B) apart from a(B)."""

    @property
    def closed_form(self) -> bool:
        """Whether a decode step is a + c * context_tokens: what leaps rest on."""

    def prefill_ps(self, tokens: int, prompts: int, cached_tokens: int = 0) -> int:
        """A step that computes `tokens` prompt tokens of `prompts` prompts, never less for more tokens.

        `cached_tokens` is the total, over those prompts, of earlier context that the tokens attend to (a chunked
        prefill, a recomputed suffix).
        """

    def decode_coefficients(self, sequences: int) -> tuple[int, int]:
        """(a, c), in ps and in ps per token of total context: a decode step takes a + c * context_tokens. Raises
        TypeError where `closed_form` is false."""

    def decode_ps(self, sequences: int, context_tokens: int) -> int:
        """One token for each of `sequences`, whose contexts sum to `context_tokens`."""

    def mixed_ps(self, tokens: int, prompts: int, cached_tokens: int, sequences: int, context_tokens: int) -> int:
        """A step that does both; `prefill_ps` when `sequences` is 0, `decode_ps` when `tokens` is 0."""

    def measured(self, sequences: int, context_tokens: int) -> bool:
        """Whether a decode step lies inside the range that was measured."""

    def measured_prefill(self, tokens: int, prompts: int) -> bool:
        """Whether a prefill step lies inside the range that was measured."""


@frozen(eq=False)
class CalibratedCosts:
    """Step times from a profile, by these rules.

    *Prefill.* Two measured curves: one prompt, and several of 512 tokens. A batch of n prompts lies between them as its
    pairs of tokens do, T * T / 2n of them between T * T / 2 and 256 T, at each measured token count and at 512 n (that
    is what a grid of batches measured on an H200 follows); linear between those, and the running maximum, so never
    falling in tokens. Below the first knot the time stays (reading the
    weights); past the last one, proportional to tokens plus the growth of attention. A pair of a token and one it
    attends to costs what its operations do at the rate of the machine's best measured prefill; earlier context is
    tokens * cached_tokens / prompts of them.

    *Decode.* a(B) + c(B) * C. Between the measured batch sizes a is linear, and so is B * c(B), what one more token of
    context for each sequence costs; past the last one a goes on with its last slope and c stays.

    *Mixed.* The prefill pays for reading the weights. The decodes add the larger of what they add to a decode step,
    a(B) - a(1), and what B further tokens add to the prefill; and c(B) * C. Where the profile has what such steps were
    measured to take beyond that, it is added, linear between its knots and constant outside them. Never less than
    either part alone.
    """

    profile: StepProfile
    _rows: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = field(factory=dict, init=False, repr=False)
    _prefills: dict[tuple[int, int], int] = field(factory=dict, init=False, repr=False)
    _decodes: dict[int, tuple[int, int]] = field(factory=dict, init=False, repr=False)

    @property
    def closed_form(self) -> bool:
        return True

    @property
    def identified(self) -> bool:
        return self.profile.decode.identified

    def prefill_ps(self, tokens: int, prompts: int, cached_tokens: int = 0) -> int:
        step_ps = self._prefills.get((tokens, prompts))
        if step_ps is None:
            if tokens < 1 or prompts < 1:
                raise ValueError(f"a prefill of {tokens=} from {prompts=}")
            if len(self._prefills) >= _CACHE_LIMIT:
                self._prefills.clear()
            step_ps = self._prefills[tokens, prompts] = self._prefill(tokens, prompts)
        if not cached_tokens:
            return step_ps
        return step_ps + self.profile.prefill.cached_pair_ps * tokens * cached_tokens // prompts

    def decode_coefficients(self, sequences: int) -> tuple[int, int]:
        pair = self._decodes.get(sequences)
        if pair is None:
            if sequences < 1:
                raise ValueError(f"a decode of {sequences=}")
            if len(self._decodes) >= _CACHE_LIMIT:
                self._decodes.clear()
            decode = self.profile.decode
            base_ps = line(sequences, decode.sequences, decode.base_ps)
            pair = self._decodes[sequences] = (base_ps, self._context_ps(sequences))
        return pair

    def decode_ps(self, sequences: int, context_tokens: int) -> int:
        base_ps, context_ps = self.decode_coefficients(sequences)
        return base_ps + context_ps * context_tokens

    def mixed_ps(self, tokens: int, prompts: int, cached_tokens: int, sequences: int, context_tokens: int) -> int:
        if not tokens:
            return self.decode_ps(sequences, context_tokens)
        alone_ps = self.prefill_ps(tokens, prompts, cached_tokens)
        if not sequences:
            return alone_ps
        base_ps, context_ps = self.decode_coefficients(sequences)
        by_decode_ps = base_ps - self.decode_coefficients(1)[0]
        by_tokens_ps = self.prefill_ps(tokens + sequences, prompts) - self.prefill_ps(tokens, prompts)
        step_ps = max(alone_ps + max(by_decode_ps, by_tokens_ps), base_ps) + context_ps * context_tokens
        if self.profile.mixed is None:
            return step_ps
        longer_ps = step_ps + _extra_ps(self.profile.mixed, tokens, sequences)
        return max(longer_ps, alone_ps, base_ps + context_ps * context_tokens)

    def measured(self, sequences: int, context_tokens: int) -> bool:
        """Batch size and total context each within what was measured; not each pair of them was."""
        least, largest = self.profile.decode.context_range_tokens
        return 1 <= sequences <= self.profile.decode.sequences[-1] and least <= context_tokens <= largest

    def measured_prefill(self, tokens: int, prompts: int) -> bool:
        """Tokens, and tokens a prompt, within the single-prompt curve; past its end, up to the end of the other curve,
        only where that one weighs more (a mean prompt of at most twice its own)."""
        curves = self.profile.prefill
        least, most = curves.single_tokens[0], curves.single_tokens[-1]
        if prompts < 1 or tokens < least * prompts or tokens > max(most, curves.even_tokens[-1]):
            return False
        return tokens <= most or tokens <= 2 * curves.even_prompt_tokens * prompts

    def _context_ps(self, sequences: int) -> int:
        knots, context_ps = self.profile.decode.sequences, self.profile.decode.context_ps_per_token
        if not knots[0] < sequences < knots[-1]:
            return context_ps[0] if sequences <= knots[0] else context_ps[-1]
        per_token_each = tuple(knot * ps for knot, ps in zip(knots, context_ps, strict=True))
        return line(sequences, knots, per_token_each) // sequences

    def _prefill(self, tokens: int, prompts: int) -> int:
        return prefill_at(tokens, *self._row(prompts), self.profile.prefill.cached_pair_ps, prompts)

    def _row(self, prompts: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Knots, and the time at each, for a batch of this many prompts."""
        curves = self.profile.prefill
        each = curves.even_prompt_tokens
        # with more prompts than the widest measured batch, every knot is on the even curve already
        prompts = min(prompts, max(1, curves.even_tokens[-1] // each))
        row = self._rows.get(prompts)
        if row is None:
            # prompts * each: where this many prompts meet the even curve
            knots = tuple(sorted({*curves.single_tokens, *curves.even_tokens, prompts * each}))
            times = []
            for tokens in knots:
                step_ps = prefill_at(tokens, curves.single_tokens, curves.single_ps, curves.cached_pair_ps, 1)
                if tokens > each and prompts > 1:
                    # more tokens on this curve are more prompts, not longer ones: no pairs to add
                    even_ps = prefill_at(tokens, curves.even_tokens, curves.even_ps, 0, 1)
                    share, whole = tokens * (prompts - 1), prompts * (tokens - each)
                    step_ps += (even_ps - step_ps) * min(share, whole) // whole
                times.append(step_ps)
            row = self._rows[prompts] = (knots, tuple(accumulate(times, max)))
        return row


def _extra_ps(mixed: MixedCurve, tokens: int, sequences: int) -> int:
    """Linear along both axes between the measured cells, and constant outside them."""
    wide = len(mixed.sequences)
    beside = min(max(sequences, mixed.sequences[0]), mixed.sequences[-1])
    rows = (mixed.extra_ps[start : start + wide] for start in range(0, len(mixed.extra_ps), wide))
    along = tuple(line(beside, mixed.sequences, row) for row in rows)
    return line(min(max(tokens, mixed.prompt_tokens[0]), mixed.prompt_tokens[-1]), mixed.prompt_tokens, along)


def load_costs(
    model: ModelProfile,
    hardware: HardwareProfile,
    tensor_parallel: int,
    kind: str = "calibrated",
    own: Iterable[StepProfile] = (),
) -> "CalibratedCosts | SplitwiseSimCosts":
    """Step times of this model on this many GPUs of this machine; `kind` is one of `COST_KINDS`.

    Profiles are found by the names inside `model` and `hardware`, first among the user's `own`, then among those that
    ship; so a user's own model file with a shipped name keeps that one's step times. Raises `Refusal` for an unknown
    kind and for a combination that no profile was made for.
    """
    if kind not in COST_KINDS:
        raise Refusal(f"costs.model = {kind!r}", f"expected one of {', '.join(COST_KINDS)}{nearest(kind, COST_KINDS)}")
    wanted = (model.name, hardware.name, tensor_parallel)
    mine = (each for each in own if (each.model, each.hardware, each.tensor_parallel) == wanted)
    profile = next(mine, None) or load_steps(*wanted)
    if kind == "calibrated":
        return CalibratedCosts(profile)
    if profile.splitwise_sim is None:
        expected = "expected a combination that splitwise-sim has step times for"
        raise Refusal(f"{model.name} on {hardware.name} at tensor_parallel {tensor_parallel}", expected)
    from emu.fake.sim_costs import SplitwiseSimCosts

    return SplitwiseSimCosts(profile.splitwise_sim)


def alone_ps(costs: Costs, prompt_tokens: int, output_tokens: int) -> tuple[int, int, int]:
    """(TTFT, mean gap between tokens, E2E) of a request with the machine to itself and no transfer, in picoseconds.

    The prefill makes the first token; step k = 1 .. n - 1 attends to prompt_tokens + k. The mean gap is rounded down,
    and 0 for a single token. Raises ValueError when either count is less than 1.
    """
    if output_tokens < 1:
        raise ValueError(f"a request of {output_tokens=}")
    ttft_ps = costs.prefill_ps(prompt_tokens, 1)
    steps = output_tokens - 1
    if not steps:
        return ttft_ps, 0, ttft_ps
    if not costs.closed_form:
        decode_ps = sum(costs.decode_ps(1, prompt_tokens + step) for step in range(1, output_tokens))
        return ttft_ps, decode_ps // steps, ttft_ps + decode_ps
    base_ps, context_ps = costs.decode_coefficients(1)
    decode_ps = steps * base_ps + context_ps * (steps * prompt_tokens + steps * (steps + 1) // 2)
    return ttft_ps, decode_ps // steps, ttft_ps + decode_ps
