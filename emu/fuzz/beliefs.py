"""Beliefs: what the router believed when it chose, held against what it could know.

What it has assigned and no machine has computed yet is in its belief, whether a report counts it or not; what was
computed longer ago than a report takes is in it no more. Both are exact, so that a report that wipes out what came
after it, or counts a message twice, shows in the first choice that rests on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import define, field

from emu.cluster import Cluster, to_ps
from emu.fuzz.judge import Judged
from emu.record import entries as e

_NOTHING_LOST: Final = {int(code) for code in (e.FaultCode.DELAY, e.FaultCode.REORDER, e.FaultCode.DUPLICATE)}


@define(eq=False)
class Beliefs:
    """Prompt tokens by machine: those to compute, and those that were computed so lately that no report need say so."""

    cluster: Cluster
    run: Judged
    news_ps: int = field(init=False)
    tokens: dict[int, int] = field(init=False, factory=dict)  # of open requests
    to_compute: list[dict[int, int]] = field(init=False)
    lately: list[list[tuple[int, int]]] = field(init=False)  # when, and how many
    late: bool = field(init=False)  # messages may be
    prefilling: dict[int, tuple[int, ...]] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        scenario = self.cluster.scenario
        self.news_ps = to_ps(scenario.router.report_every_s) + 2 * to_ps(scenario.network.control_latency_s)
        self.late = bool(scenario.delays)
        self.to_compute = [{} for _ in self.cluster.machines]
        self.lately = [[] for _ in self.cluster.machines]

    def read(self) -> Iterator[str]:
        """Up to the first fault that more than delays a message, or attempt that was lost."""
        for entry in self.run.entries:
            if isinstance(entry, e.AttemptLost | e.MachineDead):
                return
            if isinstance(entry, e.FaultStruck):
                if entry.kind not in _NOTHING_LOST:
                    return
                self.late = True
            if isinstance(entry, e.Arrived):
                self.tokens[entry.request] = entry.prompt_tokens
            elif isinstance(entry, e.Assigned):
                yield from self._assigned(entry)
                self.to_compute[entry.prefill_machine][entry.request] = self.tokens[entry.request]
            elif isinstance(entry, e.StepStarted):
                self.prefilling[entry.machine] = tuple(piece.request for piece in entry.prefills)
            elif isinstance(entry, e.StepFinished):
                for request in self.prefilling.pop(entry.machine, ()):
                    self._computed(entry.at_ps, entry.machine, request)
            elif isinstance(entry, e.RequestEnded):
                for machine in range(len(self.to_compute)):
                    self._computed(entry.at_ps, machine, entry.request)

    def _computed(self, at_ps: int, machine: int, request: int) -> None:
        tokens = self.to_compute[machine].pop(request, None)
        if tokens is not None:
            self.lately[machine].append((at_ps, tokens))

    def _assigned(self, entry: e.Assigned) -> Iterator[str]:
        machine, believed = entry.prefill_machine, entry.believed_prompt_tokens
        least = sum(self.to_compute[machine].values())
        if self.late:  # a report counts what came after it, and so seems to count it, too
            least = 0
        most = sum(self.to_compute[machine].values()) + sum(
            tokens for at_ps, tokens in self.lately[machine] if at_ps >= entry.at_ps - self.news_ps
        )
        if not least <= believed <= most:
            has = f"{least}" if least == most else f"{least} to {most}"
            name = self.run.started.machines[machine].name
            yield f"request {entry.request} was sent to {name}, believed to have {believed} prompt tokens; it has {has}"
