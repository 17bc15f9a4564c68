"""Retries: when a request whose attempt was given up gets the next one, and when it gets none any more.

Attempts are bounded, wait before the next one, and wait for machines while there are none for them. Why an attempt is
given up is `recovery`'s, whether a request is poison the docket's, and which machines it gets the router's.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable

from attrs import define, field

from emu.control.commands import Command, Fail
from emu.control.docket import Docket
from emu.control.messages import Submit
from emu.control.recovery_rules import RecoveryRules
from emu.control.request import resumed
from emu.control.router_events import NOWHERE, Fenced, Open
from emu.control.terms import first_attempt

Place = Callable[[Submit, int, int], tuple[Command, ...]]
"""Give this attempt its machines, if there are some: (submit, attempt, now)."""


@define(eq=False, repr=False)
class Retries:
    """Those of all open requests; `open` is the router's, and `term` its term."""

    rules: RecoveryRules
    open: dict[int, Open]
    place: Place
    docket: Docket
    term: int
    waiting: list[tuple[int, int]] = field(init=False, factory=list)  # (when, request): attempts to come
    gave_way: Counter[int] = field(init=False, factory=Counter)  # a request's attempts that did: no fault of its own
    _stranded: dict[int, int] = field(init=False, factory=dict)  # no machine is left for them -> since when

    @property
    def due_ps(self) -> int | None:
        """When `due` is to be called next."""
        return self.waiting[0][0] if self.waiting else None

    def after(self, event: Fenced, now: int) -> tuple[Command, ...]:
        """The client's side of an attempt is closed: the next one comes after a pause, or never."""
        entry = self.open[event.request_id]
        request_id, tried = event.request_id, self._next(entry) - first_attempt(self.term)
        if event.delivered < 0:
            self.close(request_id)
            return ()
        excused = self.docket.excused(request_id) + min(self.gave_way[request_id], self.rules.max_attempts)
        if tried - excused >= self.rules.max_attempts:
            self.close(request_id)
            return (Fail(entry.submit.request, entry.attempt, "max_attempts"),)
        if self.rules.resume:
            self.open[request_id] = self._behind(entry, event.delivered)
        due_ps = now + (self.rules.retry_backoff_ps << tried - 1 if tried else 0)
        heapq.heappush(self.waiting, (due_ps, request_id))
        return ()

    def due(self, now: int) -> tuple[Command, ...]:
        """Attempts whose time has come."""
        commands: tuple[Command, ...] = ()
        while self.waiting and self.waiting[0][0] <= now:
            _, request_id = heapq.heappop(self.waiting)
            entry = self.open.get(request_id)
            if entry is None or entry.prefill != NOWHERE:
                continue
            if (earliest_ps := self.docket.earliest_ps(request_id, now)) > now:
                heapq.heappush(self.waiting, (earliest_ps, request_id))
                continue
            if request_id in self.docket.convicted:
                self.close(request_id)
                commands += (Fail(entry.submit.request, entry.attempt, "poison"),)
                continue
            placed = self.place(entry.submit, self._next(entry), now)
            if not placed and entry.submit.request.resumed_tokens:  # prompt and answer may fit nowhere together
                placed = self.place(self._behind(entry, 0).submit, self._next(entry), now)
            if placed:
                self._stranded.pop(request_id, None)
                self.docket.placed(request_id, now)
                commands += placed
            elif now - self._stranded.setdefault(request_id, now) >= self.rules.patience_ps:
                self.close(request_id)
                commands += (Fail(entry.submit.request, entry.attempt, "no_machine"),)
            else:
                heapq.heappush(self.waiting, (self._stranded[request_id] + self.rules.patience_ps, request_id))
        return commands

    def await_machines(self, submit: Submit, now: int) -> None:
        """A new request for which there is no machine."""
        request_id = submit.request.request_id
        self.open[request_id] = Open(submit, NOWHERE, NOWHERE, NOWHERE, now)
        heapq.heappush(self.waiting, (now, request_id))

    def look_again(self, now: int) -> None:
        """A machine is back: for those that wait for one too."""
        for request_id in self._stranded:
            heapq.heappush(self.waiting, (now, request_id))

    def close(self, request_id: int) -> None:
        """This request is over."""
        del self.open[request_id]
        if self.docket:
            self.docket.forget(request_id)
        if self._stranded:
            self._stranded.pop(request_id, None)
        if self.gave_way:
            self.gave_way.pop(request_id, None)

    def _behind(self, entry: Open, delivered: int) -> Open:
        """To go on behind these tokens, of which the last is made again if the client has all that it asked for."""
        request = resumed(entry.submit.request, 0)
        request = resumed(request, min(delivered, request.max_tokens - 1))
        return entry._replace(submit=entry.submit._replace(request=request))

    def _next(self, entry: Open) -> int:
        """The number of a request's next attempt: after those of older routers, whichever they may be."""
        return max(entry.attempt + 1, first_attempt(self.term))
