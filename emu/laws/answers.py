"""Answers: a completed request was answered from its own KV cache, whole, from the first token to the last.

What stands in a KV block is a fingerprint: that of block j of request r is (r + 1) * 2**32 + j, whichever machine or
attempt wrote it. Tokens out of an intact cache carry that of block 0; anything else that was read changes the digest.
"""

from __future__ import annotations

import hashlib
from typing import Final

from emu.laws.verdicts import Handlers, Law
from emu.record.entries import RequestEnded, Status

_COMPLETED: Final = int(Status.COMPLETED)


class Answers:
    """Law: answers-true."""

    def __init__(self) -> None:
        self.true = Law(
            "answers-true",
            "A completed request's tokens, 1 to the last, come each once, and out of that request's own KV cache.",
        )
        self.laws = (self.true,)
        self.handlers: Handlers = {RequestEnded: self._ended}

    def finish(self, at_ps: int) -> None:
        """Nothing to say."""

    def _ended(self, entry: RequestEnded) -> None:
        at_ps, _, request, _, status, _, tokens, digest, *_ = entry
        if status == _COMPLETED and digest != _untouched(request, tokens):
            self.true.broken(at_ps, f"request {request} was answered with {tokens} tokens that are not all its own")


def _untouched(request: int, tokens: int) -> int:
    """48 bits of BLAKE2b over the one run of tokens (fingerprint, first, last) that an intact cache gives."""
    run = f"[({(request + 1) << 32}, 1, {tokens})]"
    return int.from_bytes(hashlib.blake2b(run.encode(), digest_size=6).digest())
