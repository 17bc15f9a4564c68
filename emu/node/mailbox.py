"""Mailbox: messages for one task, in the order in which they came, within a bound.

A message that comes while the task waits ends the wait. Where messages come from, and how long they take, is the
wire's.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from emu.node.ports import Signal

T = TypeVar("T")


class MailboxOverflow(Exception):
    """More messages than the bound: whoever reads this mailbox has stopped, or the bound is too low for the load."""


class Mailbox(Generic[T]):
    """One reader; `signal` is set while there is mail."""

    def __init__(self, name: str, signal: Signal, bound: int = 1 << 20) -> None:
        self.name = name
        self.signal = signal
        self._bound = bound
        self._messages: deque[T] = deque()

    def __len__(self) -> int:
        return len(self._messages)

    def post(self, message: T, *, wake: bool = True) -> None:
        """A message that need not `wake` the reader is there when something else does. Raises MailboxOverflow."""
        if len(self._messages) >= self._bound:
            raise MailboxOverflow(f"{self.name} holds {self._bound} messages")
        self._messages.append(message)
        if wake:
            self.signal.set()

    def drain(self) -> tuple[T, ...]:
        """All messages, and none afterwards."""
        self.signal.clear()
        if not self._messages:  # most drains of a busy machine
            return ()
        taken = tuple(self._messages)
        self._messages.clear()
        return taken
