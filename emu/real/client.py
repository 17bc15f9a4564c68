"""WallClient: everybody who sends requests, in wall time. It submits each at its time and knows when it is over."""

from __future__ import annotations

import random
from collections.abc import Callable

from attrs import define, field

from emu.control.commands import End, Fail, Reject
from emu.control.messages import Submit
from emu.control.request import Request
from emu.node.codes import REASONS, STATUSES
from emu.node.ports import Recorder
from emu.real.answers import Answers
from emu.real.clock import WallClock
from emu.record.entries import Arrived, AttemptEnded, Reason, RequestEnded
from emu.workload.table import Workload


@define
class WallClient:
    """The clients of one run. `max_tokens` is what they all ask for; None: exactly what they will get.

    `alone(prompt tokens, output tokens)` is what a request takes alone on a calibrated DGX-A100, for the SLOs: TTFT,
    mean gap and E2E in ps.
    """

    clock: WallClock
    workload: Workload
    answers: Answers
    alone: Callable[[int, int], tuple[int, int, int]]
    recorder: Recorder
    max_tokens: int | None
    seed: int
    submit: Callable[[Submit], None]
    arrived: int = field(init=False, default=0)
    over: int = field(init=False, default=0)
    _draws: random.Random = field(init=False)
    _fenced: dict[int, int] = field(init=False, factory=dict)  # request -> the latest attempt that is given up
    _ended: set[int] = field(init=False, factory=set)

    def __attrs_post_init__(self) -> None:
        self._draws = random.Random(f"{self.seed}/policy draws")

    def start(self) -> None:
        """Await the first arrival; each one awaits the next."""
        if len(self.workload):
            self.clock.call_at(self.workload.arrivals_ps[0], self._arrive)

    def ended(self, machine: int, end: End) -> None:
        request, tokens, now = end.request.request_id, end.delivered, self.clock.now_ps
        place = now, machine, request, end.attempt
        if end.attempt <= self._fenced.get(request, -1):  # nobody waits for it any more
            self.recorder.write(AttemptEnded(*place, int(Reason.STALE), tokens, end.loan, end.blocks))
            return
        alone = self.alone(end.request.prompt_tokens, tokens) if end.status == "completed" else (0, 0, 0)
        codes = STATUSES[end.status], REASONS[end.reason]
        self._over(
            RequestEnded(*place, *codes, tokens, self.answers.output_digest(request), end.loan, end.blocks, *alone)
        )

    def rejected(self, reject: Reject) -> None:
        self._refused(reject.request.request_id, 0, "rejected", reject.reason)

    def failed(self, fail: Fail) -> None:
        self._refused(fail.request.request_id, fail.attempt, "failed", fail.reason)

    def fence(self, request_id: int, attempt: int) -> int:
        """Take nothing more of this attempt or an earlier one. The tokens that the client has; -1 if all is over."""
        if request_id in self._ended:
            return -1
        self._fenced[request_id] = attempt
        return self.answers.computed_tokens(request_id)

    def claim(self, request_id: int) -> int | None:
        """Its latest attempt of which nothing more is taken, -1 for none; None if all is over."""
        return None if request_id in self._ended else self._fenced.get(request_id, -1)

    def _refused(self, request: int, attempt: int, status: str, reason: str) -> None:
        """The router ends a request, on no machine."""
        tokens = self.answers.computed_tokens(request)
        digest = self.answers.output_digest(request) if tokens else 0
        codes = STATUSES[status], REASONS[reason]
        self._over(RequestEnded(self.clock.now_ps, -1, request, attempt, *codes, tokens, digest, 0, 0, 0, 0, 0))

    def _over(self, ended: RequestEnded) -> None:
        self.over += 1
        self._ended.add(ended.request)
        self.recorder.write(ended)

    def _arrive(self) -> None:
        workload, index, now = self.workload, self.arrived, self.clock.now_ps
        self.arrived += 1
        if self.arrived < len(workload):
            self.clock.call_at(workload.arrivals_ps[self.arrived], self._arrive)
        prompt_tokens = workload.prompt_tokens[index]
        max_tokens = workload.output_tokens[index] if self.max_tokens is None else self.max_tokens
        self.recorder.write(Arrived(now, index, prompt_tokens, max_tokens))
        self.submit(Submit(Request(index, prompt_tokens, max_tokens, now), self._draws.getrandbits(32)))
