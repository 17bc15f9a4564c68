"""Docket: which requests may be why machines die, and how that is found out.

Many requests are on a machine when it dies, and at most one of them has killed it. Who was there `limit` times is tried
apart from the others that were: one after the other, so far apart that a machine's death would be noticed between them.
If a machine dies again under the one tried last there, that one is poison. Where attempts go is decided elsewhere.
"""

from __future__ import annotations

from attrs import define, field


@define
class Docket:
    """Requests by their number; times in picoseconds."""

    limit: int  # machines that have died under a request
    apart_ps: int  # between two that are tried
    deaths: dict[int, int] = field(init=False, factory=dict)
    convicted: set[int] = field(init=False, factory=set)
    _next_ps: int = field(init=False, default=0)  # no suspect is placed before
    _tried: dict[int, int] = field(init=False, factory=dict)  # request -> when it was placed for its trial

    def died(self, requests: list[int]) -> None:
        """A machine has died while these requests were there."""
        tried = [request for request in requests if request in self._tried]
        if tried:
            self.convicted.add(max(tried, key=lambda request: self._tried[request]))
        for request in requests:
            self.deaths[request] = self.deaths.get(request, 0) + 1

    def earliest_ps(self, request: int, now: int) -> int:
        """When a request that may be placed now at the earliest is to be placed, as others stand."""
        return now if self.deaths.get(request, 0) < self.limit else max(now, self._next_ps)

    def placed(self, request: int, now: int) -> None:
        """Another attempt of it begins."""
        if self.deaths.get(request, 0) >= self.limit:
            self._tried[request] = now
            self._next_ps = now + self.apart_ps

    def forget(self, request: int) -> None:
        """It is over."""
        for remembered in (self.deaths, self._tried):
            remembered.pop(request, None)
        self.convicted.discard(request)
