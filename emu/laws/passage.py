"""The passage of time: it never goes back, messages take their time, and something happens while requests are open.

Reads every entry's time and nothing of what the entries mean beyond that.
"""

from __future__ import annotations

from typing import Any

from emu.laws.verdicts import Handlers, Law, LawRules, Names, seconds
from emu.record import entries as e


class Passage:
    """Laws: time-forward, sent-before-received, liveness."""

    def __init__(self, names: Names, rules: LawRules) -> None:
        self.time_forward = Law("time-forward", "Entries stand in the order of their times in ps.")
        self.sent_before_received = Law(
            "sent-before-received",
            "A control message is received no earlier than control_latency_ps after its sending.",
        )
        self.liveness = Law(
            "liveness",
            "While a request is open and no machine runs a step, something happens at least every liveness_ps, counted "
            "anew from every heal of a fault.",
        )
        self.laws = (self.time_forward, self.sent_before_received, self.liveness)
        self._names, self._latency_ps, self._liveness_ps = names, rules.control_latency_ps, rules.liveness_ps
        self.now_ps = 0
        self._open = 0  # requests
        self._running = 0  # machines inside a run of steps
        self.handlers: Handlers = {
            **dict.fromkeys(e.KINDS, self._pass),
            e.MachineMoved: self._aside,  # no request gets further by it
            e.Arrived: self._arrived,
            e.RequestEnded: self._ended,
            e.StepStarted: self._started,
            e.StepFinished: self._finished,
            e.StepsCut: self._finished,
            e.FaultHealed: self._begun_anew,
            e.MachineStarted: self._begun_anew,
            **dict.fromkeys((e.Queued, e.ReserveQueued, e.Reserved, e.Granted, e.Released), self._received),
        }

    def finish(self, at_ps: int) -> None:
        """Whoever is still open then is named by all-finish."""

    def _pass(self, entry: Any) -> None:
        at_ps = entry[0]
        gap_ps = at_ps - self.now_ps
        if gap_ps < 0:
            self._back(at_ps)
        elif gap_ps > self._liveness_ps and self._open and not self._running:
            self._stood_still(at_ps)
        self.now_ps = at_ps

    def _received(self, entry: Any) -> None:
        at_ps = entry[0]
        sent_ps = entry[-1]
        if at_ps < sent_ps + self._latency_ps and sent_ps >= 0:
            self.sent_before_received.broken(
                at_ps,
                f"{self._names[entry[1]]} had a message about request {entry[2]} ({type(entry).__name__}) "
                f"{at_ps - sent_ps} ps after its sending, expected at least {self._latency_ps} ps",
            )
        gap_ps = at_ps - self.now_ps
        if gap_ps < 0:
            self._back(at_ps)
        elif gap_ps > self._liveness_ps and self._open and not self._running:
            self._stood_still(at_ps)
        self.now_ps = at_ps

    def _aside(self, entry: e.MachineMoved) -> None:
        if entry.at_ps < self.now_ps:
            self._back(entry.at_ps)

    def _arrived(self, entry: e.Arrived) -> None:
        at_ps = entry[0]
        if at_ps - self.now_ps > self._liveness_ps or at_ps < self.now_ps:
            self._pass(entry)
        self.now_ps = at_ps
        self._open += 1

    def _ended(self, entry: e.RequestEnded) -> None:
        at_ps = entry[0]
        if at_ps - self.now_ps > self._liveness_ps or at_ps < self.now_ps:
            self._pass(entry)
        self.now_ps = at_ps
        self._open -= 1

    def _started(self, entry: e.StepStarted) -> None:
        at_ps = entry[0]
        if at_ps - self.now_ps > self._liveness_ps or at_ps < self.now_ps:
            self._pass(entry)
        self.now_ps = at_ps
        self._running += 1

    def _begun_anew(self, entry: e.FaultHealed | e.MachineStarted) -> None:
        """Progress is due from the last heal on."""
        if entry.at_ps < self.now_ps:
            self._back(entry.at_ps)
        self.now_ps = entry.at_ps

    def _finished(self, entry: e.StepFinished | e.StepsCut) -> None:
        at_ps = entry[0]
        if at_ps - self.now_ps > self._liveness_ps or at_ps < self.now_ps:
            self._pass(entry)
        self.now_ps = at_ps
        self._running -= 1

    def _back(self, at_ps: int) -> None:
        self.time_forward.broken(at_ps, f"an entry of {seconds(at_ps)} stands behind one of {seconds(self.now_ps)}")

    def _stood_still(self, at_ps: int) -> None:
        self.liveness.broken(
            at_ps,
            f"{self._open} requests were open and nothing happened from {seconds(self.now_ps)} to {seconds(at_ps)}",
        )
