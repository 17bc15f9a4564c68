"""Program: a router in any language, as a process: one JSON line in, one out, while virtual time stands still.

In: {"ask": {...}, "machines": [{...}, ...]}, with the fields of Ask and Offer. Out: {"prefill": M, "decode": M}, or
null to reject. Whether an answer comes in time depends on the host, so a late one ends the program: it is a breach of
the contract, and the only way in which wall time can reach a record.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import IO, Final

from attrs import define, field

from emu.policies.interface import Ask, Choice, Offer
from emu.policies.routing import Broke
from emu.record.entries import PolicyFault

LONGEST_ANSWER: Final = 65_536  # bytes
_LAST_WORDS: Final = 2_000  # bytes of what it said on stderr


@define(eq=False, repr=False)
class Program:
    """A RoutingPolicy that asks a process, which the first question starts; `within_s` is wall time for an answer."""

    command: tuple[str, ...]
    within_s: float
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)
    _said: IO[bytes] | None = field(init=False, default=None)
    _over: bool = field(init=False, default=False)
    _left: bytes = field(init=False, default=b"")

    def place(self, ask: Ask, machines: Sequence[Offer]) -> Choice | None:
        """Raises Broke."""
        if self._over:
            raise Broke(PolicyFault.LATE, f"{self.command[0]} was ended, and answers no more")
        process = self._started()
        question = {"ask": ask._asdict(), "machines": [offer._asdict() for offer in machines]}
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(question, separators=(",", ":")).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            raise self._gone() from None
        return self._choice(self._line(process))

    def close(self) -> None:
        """End the process, if there is one."""
        self._over = True
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:
                        continue  # what was not read by a process that is gone
        if self._said is not None:
            self._said.close()
            self._said = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._said = tempfile.TemporaryFile()  # noqa: SIM115  (open for as long as the process)
            try:
                self._process = subprocess.Popen(
                    self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
                )
            except OSError as error:
                self.close()
                raise Broke(PolicyFault.RAISED, f"{self.command[0]} does not start: {error.strerror}") from None
        return self._process

    def _line(self, process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        source, until_s = process.stdout.fileno(), time.monotonic() + self.within_s
        while b"\n" not in self._left:
            ready, _, _ = select.select([source], [], [], max(0.0, until_s - time.monotonic()))
            if not ready:
                self.close()
                raise Broke(PolicyFault.LATE, f"{self.command[0]} had not answered after {self.within_s} s")
            read = os.read(source, 8192)
            if not read:
                raise self._gone()
            self._left += read
            if len(self._left) > LONGEST_ANSWER:
                self.close()
                words = f"{self.command[0]} answered more than {LONGEST_ANSWER} bytes on a line"
                raise Broke(PolicyFault.UNREADABLE, words)
        line, _, self._left = self._left.partition(b"\n")
        return line

    def _gone(self) -> Broke:
        """It has ended by itself: its last words are its own account of why."""
        assert self._process is not None
        assert self._said is not None
        try:
            status: object = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            status = "unknown, since it only closed its pipes"
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - _LAST_WORDS))
        words = self._said.read().decode(errors="replace").rstrip()
        self.close()
        return Broke(PolicyFault.RAISED, f"{self.command[0]} ended (status {status}):\n{words}")

    def _choice(self, line: bytes) -> Choice | None:
        try:
            answer = json.loads(line)
            if answer is None:
                return None
            return Choice(answer["prefill"], answer["decode"])
        except (ValueError, TypeError, KeyError, RecursionError):
            text = line[:80].decode(errors="replace")
            words = f'{self.command[0]} answered {text!r}, expected {{"prefill": M, "decode": M}} or null'
            raise Broke(PolicyFault.UNREADABLE, words) from None
