"""FakeClient: everybody who sends requests. It submits each at its time and knows when it is over.

A request's alone-latencies, which the SLOs divide by, come from the cost model and so are known here, after the fact;
control never sees them.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from attrs import define, field

from emu.control.commands import End, Fail, Reject
from emu.control.messages import Submit
from emu.control.request import Request
from emu.fake.clock import HeapClock
from emu.fake.costs import Costs, alone_ps
from emu.fake.model import FakeModel
from emu.node.codes import REASONS, STATUSES
from emu.node.ports import Recorder
from emu.record.entries import Arrived, AttemptEnded, Reason, RequestEnded
from emu.workload.table import Workload


@define(eq=False, repr=False)
class FakeClient:
    """The clients of one run. `max_tokens` is what they all ask for; None: exactly what they will get."""

    clock: HeapClock
    workload: Workload
    model: FakeModel
    alone: Costs  # of a calibrated DGX-A100
    recorder: Recorder
    max_tokens: int | None
    seed: int
    submit: Callable[[Submit], None]
    tokens_so_far: Callable[[int], int]  # of a request, all that any machine has delivered
    arrived: int = field(init=False, default=0)
    over: int = field(init=False, default=0)
    _draws: random.Random = field(init=False)
    _fenced: dict[int, int] = field(init=False, factory=dict)  # request -> the latest attempt that is given up
    _over: bytearray = field(init=False)  # by request
    _salt: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._draws = random.Random(f"{self.seed}/policy draws")
        self._salt = self.clock.salt("clients")
        self._over = bytearray(len(self.workload))

    def start(self) -> None:
        """Put the first arrival on the heap; each one puts the next."""
        self._await_next()

    def ended(self, machine: int, end: End) -> None:
        request_id, tokens = end.request.request_id, end.delivered
        if self._fenced and end.attempt <= self._fenced.get(request_id, -1):
            self._stale(machine, end)
            return
        self._over[request_id] = 1
        if self.max_tokens is not None and tokens >= self.max_tokens:
            self.tokens_so_far(request_id)  # its model would go on, so that its worker has not said the last ones yet
        alone = (0, 0, 0)
        if end.status == "completed":
            alone = alone_ps(self.alone, end.request.prompt_tokens - end.request.resumed_tokens, tokens)
        self.over += 1
        self.recorder.write(
            RequestEnded(
                self.clock.now_ps,
                machine,
                request_id,
                end.attempt,
                STATUSES[end.status],
                REASONS[end.reason],
                tokens,
                self.model.output_digest(request_id),
                end.loan,
                end.blocks,
                *alone,
            )
        )

    def rejected(self, reject: Reject) -> None:
        self._refused(reject.request.request_id, 0, "rejected", reject.reason, 0)

    def failed(self, fail: Fail) -> None:
        request = fail.request.request_id
        self._refused(request, fail.attempt, "failed", fail.reason, self.tokens_so_far(request))

    def fence(self, request_id: int, attempt: int) -> int:
        """Take nothing more of this attempt or an earlier one. The tokens that the client has; -1 if all is over."""
        if self._over[request_id]:
            return -1
        tokens = self.tokens_so_far(request_id)
        self._fenced[request_id] = attempt
        self.model.fence(request_id, attempt)
        return tokens

    def claim(self, request_id: int) -> int | None:
        """Its latest attempt of which nothing more is taken, -1 for none; None if all is over."""
        return None if self._over[request_id] else self._fenced.get(request_id, -1)

    def _refused(self, request: int, attempt: int, status: str, reason: str, tokens: int) -> None:
        """The router ends a request, on no machine."""
        self.over += 1
        self._over[request] = 1
        now, digest = self.clock.now_ps, self.model.output_digest(request) if tokens else 0
        codes = STATUSES[status], REASONS[reason]
        self.recorder.write(RequestEnded(now, -1, request, attempt, *codes, tokens, digest, 0, 0, 0, 0, 0))

    def _stale(self, machine: int, end: End) -> None:
        """An attempt ends that nobody waits for any more."""
        request, now = end.request.request_id, self.clock.now_ps
        reason = int(Reason.STALE)
        self.recorder.write(
            AttemptEnded(now, machine, request, end.attempt, reason, end.delivered, end.loan, end.blocks)
        )

    def _await_next(self) -> None:
        if self.arrived < len(self.workload):
            self.clock.call_at(self.workload.arrivals_ps[self.arrived], self._salt, self._arrive)

    def _arrive(self) -> None:
        workload, index, now = self.workload, self.arrived, self.clock.now_ps
        self.arrived += 1
        self._await_next()
        prompt_tokens = workload.prompt_tokens[index]
        max_tokens = workload.output_tokens[index] if self.max_tokens is None else self.max_tokens
        self.recorder.write(Arrived(now, index, prompt_tokens, max_tokens))
        self.submit(Submit(Request(index, prompt_tokens, max_tokens, now), self._draws.getrandbits(32)))
