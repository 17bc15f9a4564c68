"""Asked: what each request asked for, for the families that judge lengths. It holds no law.

Kept as columns, 16 bytes a request, since blocks of a request may move long after its end.
"""

from __future__ import annotations

from array import array

from emu.laws.verdicts import Handlers, Law
from emu.record.entries import Arrived, Resumed


class Asked:
    """Prompt tokens and `max_tokens` by request, 0 where a request has not arrived. Comes before its readers."""

    def __init__(self, requests: int, block_tokens: int) -> None:
        self.laws: tuple[Law, ...] = ()
        self.block_tokens = block_tokens
        self.prompt_tokens = array("q", bytes(8 * requests))
        self.max_tokens = array("q", bytes(8 * requests))
        self._resumed: dict[tuple[int, int], int] = {}
        self.handlers: Handlers = {Arrived: self._arrived, Resumed: self._resume}

    def blocks(self, tokens: int) -> int:
        """Blocks that hold `tokens` tokens."""
        return -(-tokens // self.block_tokens)

    def behind(self, request: int, attempt: int) -> int:
        """Tokens of the answer that an attempt has as part of its prompt, since it goes on behind them."""
        return self._resumed.get((request, attempt), 0) if self._resumed else 0

    def _resume(self, entry: Resumed) -> None:
        self._resumed[entry.request, entry.attempt] = entry.delivered

    def finish(self, at_ps: int) -> None:
        """Nothing to say."""

    def _arrived(self, entry: Arrived) -> None:
        _, request, prompt_tokens, max_tokens = entry
        for column in (self.prompt_tokens, self.max_tokens):
            if request >= len(column):
                column.extend(array("q", bytes(8 * (request + 1 - len(column)))))
        self.prompt_tokens[request] = prompt_tokens
        self.max_tokens[request] = max_tokens
