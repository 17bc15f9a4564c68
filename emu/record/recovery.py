"""Recovery: a fold over what faults struck, how long it took to be noticed, and what work was done again for it.

Only a run that faults may strike has one. What became of requests is `emu.record.lives`'s.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from emu.record import entries as e
from emu.record.latency import spread


class Recovery:
    """Durations are picoseconds. Tokens made again are those that machines made beyond what clients had in the end."""

    def __init__(self) -> None:
        self.handlers: Mapping[type, Callable[[Any], None]] = {
            e.FaultStruck: self._struck,
            e.FaultHealed: self._healed,
            e.MachineCrashed: self._gone,
            e.MachineLeft: self._gone,
            e.MachineDead: self._dead,
            e.AttemptLost: self._lost,
            e.Resent: self._resent,
            e.LandedNowhere: self._nowhere,
            e.StepStarted: self._started,
            e.StepFinished: self._made,
            e.StepsCut: self._made,
            e.RequestEnded: self._ended,
        }
        self.struck: Counter[str] = Counter()
        self.struck_live: Counter[str] = Counter()
        self.healed = self.crashes = self.declared_dead = self.resent = 0
        self.lost_bytes = 0
        self.attempts_lost: Counter[str] = Counter()
        self.detect_ps = array("q")
        self.prompt_tokens_again = 0
        self.tokens_made = self.tokens_had = 0
        self._since_ps: dict[int, int] = {}  # machines that something struck, until they are declared dead
        self._first: dict[int, int] = {}  # the attempt in which a request was prefilled first
        self._prompts: dict[int, int] = {}  # in each machine's batch

    def summary(self) -> dict[str, Any]:
        return {
            "struck": dict(sorted(self.struck.items())),
            "struck_live": dict(sorted(self.struck_live.items())),
            "healed": self.healed,
            "crashes": self.crashes,
            "declared_dead": self.declared_dead,
            "time_to_detect_s": spread(self.detect_ps),
            "attempts_lost": dict(sorted(self.attempts_lost.items())),
            "resent": self.resent,
            "lost_bytes": self.lost_bytes,
            "prompt_tokens_again": self.prompt_tokens_again,
            "output_tokens_again": max(0, self.tokens_made - self.tokens_had),
        }

    def _struck(self, entry: e.FaultStruck) -> None:
        word = e.FaultCode(entry.kind).word
        self.struck[word] += 1
        if entry.live:
            self.struck_live[word] += 1
        if entry.machine >= 0:
            self._since_ps.setdefault(entry.machine, entry.at_ps)

    def _healed(self, entry: e.FaultHealed) -> None:
        self.healed += 1
        self._since_ps.pop(entry.machine, None)

    def _gone(self, entry: e.MachineCrashed | e.MachineLeft) -> None:
        self.crashes += isinstance(entry, e.MachineCrashed)
        self._since_ps.setdefault(entry.machine, entry.at_ps)
        self._prompts.pop(entry.machine, None)

    def _dead(self, entry: e.MachineDead) -> None:
        self.declared_dead += 1
        since_ps = self._since_ps.pop(entry.machine, None)
        if since_ps is not None:
            self.detect_ps.append(entry.at_ps - since_ps)

    def _lost(self, entry: e.AttemptLost) -> None:
        self.attempts_lost[e.Reason(entry.reason).name.lower()] += 1

    def _resent(self, _: e.Resent) -> None:
        self.resent += 1

    def _nowhere(self, entry: e.LandedNowhere) -> None:
        self.lost_bytes += entry.bytes

    def _started(self, entry: e.StepStarted) -> None:
        if entry.prefills:
            self._prompts[entry.machine] = len(entry.prefills)
            for piece in entry.prefills:
                if piece.attempt != self._first.setdefault(piece.request, piece.attempt):
                    self.prompt_tokens_again += piece.tokens

    def _made(self, entry: e.StepFinished | e.StepsCut) -> None:
        prompts = self._prompts.pop(entry.machine, 0)
        if entry.steps:
            self.tokens_made += entry.steps * entry.sequences + prompts

    def _ended(self, entry: e.RequestEnded) -> None:
        self.tokens_had += entry.output_tokens
