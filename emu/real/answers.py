"""Answers: what each request is, how long its answer will be, and the tokens that were computed for it.

True output lengths live here, where no core can see them: a sequence is stopped at its length, whatever token comes, as
a benchmark with forced lengths does. A KV block's stamp names request, place and layer. What a request was answered is
known by the stamps that were really read for its tokens, so a corrupt, stale or missing block changes its output
digest; where all is as it should be the digest is the emulated world's of the same request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

LAYER_STAMP = 1 << 24
"""Stamps of one block in two layers differ by this; blocks of a request are fewer."""
MARK = 1 << 32
"""Stamps of a block of two requests differ by this or more."""


def mark(request_id: int) -> int:
    """What tells a request's stamps from all others, in 31 bits; 0 is nobody's."""
    return request_id + 1


class Answers:
    """The requests of one run, by id. `vocabulary`: token ids lie below it."""

    def __init__(self, prompt_tokens: Sequence[int], output_tokens: Sequence[int], vocabulary: int) -> None:
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self._vocabulary = vocabulary
        self._tokens: dict[int, list[int]] = {}
        self._runs: dict[int, list[tuple[int, int, int]]] = {}

    def content(self, request_id: int) -> int:
        """The fingerprint of a request: its first block's stamp in layer 0."""
        return mark(request_id) * MARK

    def text(self, request_id: int, tokens: int) -> list[int]:
        """The first `tokens` token ids of prompt and answer; of the answer only what was computed."""
        prompt = self.prompt_tokens[request_id]
        # any text will do that differs between requests and along each
        said = [(7919 * (request_id + 1) + 104729 * place) % self._vocabulary for place in range(min(prompt, tokens))]
        return said + self._tokens.get(request_id, [])[: max(0, tokens - prompt)]

    def last(self, request_id: int) -> int:
        """The token that came last; that of a sequence whose first token was computed elsewhere, too."""
        return self._tokens[request_id][-1]

    def computed(self, request_id: int, token: int) -> None:
        self._tokens.setdefault(request_id, []).append(token)

    def computed_tokens(self, request_id: int) -> int:
        """How many tokens of a request there are."""
        return len(self._tokens.get(request_id, ()))

    def say(self, request_id: int, fingerprint: int, first: int, last: int) -> None:
        """Tokens `first` to `last` of a request came out of KV with this fingerprint."""
        runs = self._runs.setdefault(request_id, [])
        if runs and runs[-1][0] == fingerprint and runs[-1][2] + 1 == first:
            runs[-1] = (fingerprint, runs[-1][1], last)
        else:
            runs.append((fingerprint, first, last))

    def output_digest(self, request_id: int) -> int:
        """Of all tokens said so far, in 48 bits; forgets them."""
        self._tokens.pop(request_id, None)
        return digest(repr(self._runs.pop(request_id, [])))


def digest(text: str) -> int:
    """48 bits that no other text is likely to have."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest())
