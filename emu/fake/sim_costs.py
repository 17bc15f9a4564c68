"""splitwise-sim's step times, as that simulator takes them: for comparing two programs, not for truth.

Integers in, integer picoseconds out, like `costs.py`. Nothing here knows what a calibrated step takes.
"""

from attrs import frozen

from emu.fake.curves import line
from emu.fake.step_profiles import SimCurves


@frozen(eq=False)
class SplitwiseSimCosts:
    """splitwise-sim's step times, faults included, so that two simulators can be compared under one set of rules.

    Both curves were taken over x = prompt size x batch size. A prefill looks its tokens up, whatever prompts they are
    from and whatever they attend to; a decode looks up the *number of sequences* and ignores context; a mixed step is
    1.1 x the prompt curve at its tokens plus one a decode. Linear between knots and beyond them, hence not monotone.
    """

    curves: SimCurves
    identified: bool = False
    closed_form: bool = True

    def prefill_ps(self, tokens: int, prompts: int, cached_tokens: int = 0) -> int:  # noqa: ARG002 (it ignores them)
        if tokens < 1 or prompts < 1:
            raise ValueError(f"a prefill of {tokens=} from {prompts=}")
        return max(1, line(tokens, self.curves.tokens, self.curves.prompt_ps))

    def decode_coefficients(self, sequences: int) -> tuple[int, int]:
        if sequences < 1:
            raise ValueError(f"a decode of {sequences=}")
        return max(1, line(sequences, self.curves.tokens, self.curves.token_ps)), 0

    def decode_ps(self, sequences: int, context_tokens: int) -> int:  # noqa: ARG002 (it ignores context)
        return self.decode_coefficients(sequences)[0]

    def mixed_ps(self, tokens: int, prompts: int, cached_tokens: int, sequences: int, context_tokens: int) -> int:
        if not tokens:
            return self.decode_ps(sequences, context_tokens)
        if not sequences:
            return self.prefill_ps(tokens, prompts, cached_tokens)
        return self.prefill_ps(tokens + sequences, prompts) * 11 // 10

    def measured(self, sequences: int, context_tokens: int) -> bool:  # noqa: ARG002 (it ignores context)
        """Whether the lookup falls between its knots: below 128 sequences it never does."""
        return self.curves.tokens[0] <= sequences <= self.curves.tokens[-1]

    def measured_prefill(self, tokens: int, prompts: int) -> bool:  # noqa: ARG002 (it ignores prompts)
        """Whether the lookup falls between its knots."""
        return self.curves.tokens[0] <= tokens <= self.curves.tokens[-1]
