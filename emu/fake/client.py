"""FakeClient: everybody who sends requests. It submits each at its time and knows when it is over.

A request's alone-latencies, which the SLOs divide by, come from the cost model and so are known here, after the fact;
control never sees them.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from attrs import define, field

from emu.control.commands import End, Reject
from emu.control.messages import Submit
from emu.control.request import Request
from emu.fake.clock import HeapClock
from emu.fake.costs import Costs, alone_ps
from emu.fake.model import FakeModel
from emu.node.codes import REASONS, STATUSES
from emu.node.ports import Recorder
from emu.record.entries import Arrived, RequestEnded
from emu.workload.table import Workload


@define
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
    arrived: int = field(init=False, default=0)
    over: int = field(init=False, default=0)
    _draws: random.Random = field(init=False)
    _salt: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._draws = random.Random(f"{self.seed}/policy draws")
        self._salt = self.clock.salt("clients")

    def start(self) -> None:
        """Put the first arrival on the heap; each one puts the next."""
        if len(self.workload):
            self.clock.call_at(self.workload.arrivals_ps[0], self._salt, self._arrive)

    def ended(self, machine: int, end: End) -> None:
        request_id, tokens = end.request.request_id, end.delivered
        alone = (0, 0, 0)
        if end.status == "completed":
            alone = alone_ps(self.alone, end.request.prompt_tokens, tokens)
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
        self.over += 1
        now, reason, request = self.clock.now_ps, REASONS[reject.reason], reject.request.request_id
        self.recorder.write(RequestEnded(now, -1, request, 0, STATUSES["rejected"], reason, 0, 0, 0, 0, 0, 0, 0))

    def _arrive(self) -> None:
        workload, index, now = self.workload, self.arrived, self.clock.now_ps
        self.arrived += 1
        if self.arrived < len(workload):
            self.clock.call_at(workload.arrivals_ps[self.arrived], self._salt, self._arrive)
        prompt_tokens = workload.prompt_tokens[index]
        max_tokens = workload.output_tokens[index] if self.max_tokens is None else self.max_tokens
        self.recorder.write(Arrived(now, index, prompt_tokens, max_tokens))
        self.submit(Submit(Request(index, prompt_tokens, max_tokens, now), self._draws.getrandbits(32)))
