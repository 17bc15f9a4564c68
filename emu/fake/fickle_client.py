"""FickleClient: clients that lose patience, send their requests again, want them no more, or come more densely.

It takes the place of FakeClient where faults may strike or clients retry. A request sent again is the same request: the
router that knows it ignores it. What a client has cancelled is over for it at that instant; what comes later is stale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import define, field, frozen

from emu.control.commands import End, Fail, Reject
from emu.control.messages import Submit, Withdraw
from emu.fake.client import FakeClient
from emu.fake.clock import HeapEntry
from emu.fake.plan import SCALE
from emu.record.entries import Resent

_ALL_ATTEMPTS: Final = 1 << 30


@define(eq=False, kw_only=True)
class FickleClient(FakeClient):
    """`patience_ps` without a further token has a client send again, up to `retries` times; None: it waits for ever."""

    patience_ps: int | None
    retries: int
    backoff_ps: int
    latest_attempt: Callable[[int], int]  # of an open request
    has_attempt: Callable[[int], bool]
    resend: Callable[[Submit], None]
    _send: Callable[[Any], None] = field(init=False)
    _asked: dict[int, Submit] = field(init=False, factory=dict)  # of open requests
    _terms: dict[int, int] = field(init=False, factory=dict)  # of routers that have taken requests over
    _times: dict[int, int] = field(init=False, factory=dict)  # how often they were sent again
    _seen: dict[int, int] = field(init=False, factory=dict)  # the tokens they had when last looked at
    _coming: HeapEntry | None = field(init=False, default=None)  # the next arrival
    _permille: int = field(init=False, default=SCALE)  # how densely they arrive, in thousandths of the workload
    _since_ps: int = field(init=False, default=0)  # since when
    _from_ps: int = field(init=False, default=0)  # which time of the workload it was then

    def __attrs_post_init__(self) -> None:
        FakeClient.__attrs_post_init__(self)
        self._send, self.submit = self.submit, self._first

    def cancel(self, request: int) -> None:
        """The client does not want its answer any more."""
        if self._over[request]:
            return
        attempt = self.latest_attempt(request)
        self._refused(request, attempt, "cancelled", "cancelled", self.tokens_so_far(request))
        self._fenced[request] = _ALL_ATTEMPTS
        self.model.fence(request, _ALL_ATTEMPTS)
        self._send(Withdraw(request))

    def hurry(self, permille: int) -> None:
        """From now on requests arrive so many thousandths as densely as the workload has them."""
        now = self.clock.now_ps
        self._from_ps += (now - self._since_ps) * self._permille // SCALE
        self._since_ps, self._permille = now, permille
        if self._coming is not None:
            self.clock.cancel(self._coming)
        self._await_next()

    def _await_next(self) -> None:
        if self.arrived < len(self.workload):
            ahead_ps = self.workload.arrivals_ps[self.arrived] - self._from_ps
            at_ps = self._since_ps - (-ahead_ps * SCALE // self._permille)  # rounded up
            self._coming = self.clock.call_at(max(self.clock.now_ps, at_ps), self._salt, self._arrive)

    def rejected(self, reject: Reject) -> None:
        request = reject.request.request_id
        times = self._times.get(request, 0)
        if times >= self.retries or reject.reason == "prompt_too_long":
            super().rejected(reject)
            return
        self.clock.call_at(self.clock.now_ps + (self.backoff_ps << times), self._salt, lambda: self._again(request))

    def _first(self, submit: Submit) -> None:
        request = submit.request.request_id
        if self.retries or self.patience_ps is not None:
            self._asked[request] = submit
            self._be_patient(request)
        self._send(submit)

    def _be_patient(self, request: int) -> None:
        if self.patience_ps is not None:
            self._seen[request] = self.tokens_so_far(request)
            self.clock.call_at(self.clock.now_ps + self.patience_ps, self._salt, lambda: self._look(request))

    def _look(self, request: int) -> None:
        """Has anything come since the last time?"""
        if self._over[request]:
            self._asked.pop(request, None)
            self._seen.pop(request, None)
        elif self.tokens_so_far(request) > self._seen[request]:
            self._be_patient(request)
        elif self._times.get(request, 0) < self.retries:
            self._again(request)
            self._be_patient(request)
        else:
            self.cancel(request)

    def _again(self, request: int) -> None:
        if self._over[request]:
            return
        times = self._times[request] = self._times.get(request, 0) + 1
        self.recorder.write(Resent(self.clock.now_ps, request, times))
        attempt = self.latest_attempt(request) if self.has_attempt(request) else -1
        self.resend(self._asked[request]._replace(attempt=attempt))

    def line(self, term: int) -> Line:
        """What a router of that term sees of the clients."""
        return Line(self, term)

    def term_of(self, request: int) -> int:
        """Of the router that they listen to about this request."""
        return self._terms.get(request, 0)

    def hears(self, request: int, term: int) -> bool:
        """Whether they listen to a router of that term about it; then to no older one any more."""
        if term < self._terms.get(request, 0):
            return False
        if term:
            self._terms[request] = term
        return True

    def takes(self, request: int, attempt: int) -> bool:
        """Whether this attempt is not one that was given up."""
        return attempt > self._fenced.get(request, -1)

    def wants(self, request: int, attempt: int) -> bool:
        """Whether tokens of this attempt are still taken."""
        return self.takes(request, attempt) and not self._over[request]


@frozen
class Line:
    """The Client port of one router: about a request that a newer one has taken over, nobody listens to it."""

    client: FickleClient
    term: int

    def ended(self, machine: int, end: End) -> None:
        self.client.ended(machine, end)

    def rejected(self, reject: Reject) -> None:
        if self.client.hears(reject.request.request_id, self.term):
            self.client.rejected(reject)

    def failed(self, fail: Fail) -> None:
        if self.client.hears(fail.request.request_id, self.term):
            self.client.failed(fail)

    def fence(self, request_id: int, attempt: int) -> int:
        return self.client.fence(request_id, attempt) if self.client.hears(request_id, self.term) else -1

    def claim(self, request_id: int) -> int | None:
        return self.client.claim(request_id) if self.client.hears(request_id, self.term) else None
