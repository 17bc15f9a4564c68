"""What one measured step does, as numbers: prompts of equal length, sequences of equal context, or both. No PyTorch."""

import attrs


@attrs.frozen(slots=True)
class Work:
    """`prompts` prompts of `prompt_tokens` tokens each, and one token for each of `sequences` sequences that have
    `context` cached tokens each. A step without the one or the other has 0 of it."""

    prompts: int = 0
    prompt_tokens: int = 0
    sequences: int = 0
    context: int = 0

    @property
    def phase(self) -> str:
        """ "prefill", "decode" or "mixed"."""
        if not self.sequences:
            return "prefill"
        return "mixed" if self.prompts else "decode"

    @property
    def computed_tokens(self) -> int:
        return self.prompts * self.prompt_tokens + self.sequences

    @property
    def cached_tokens(self) -> int:
        """Room in the cache: the prompts, and every sequence with the token that this step adds."""
        return self.prompts * self.prompt_tokens + self.sequences * (self.context + 1)
