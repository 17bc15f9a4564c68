"""Docket: which requests may be why machines die, and how that is found out.

Many requests are on a machine when it dies, and at most one of them has killed it. Who was there `limit` times is tried
apart from the others that were: one after the other, each when the one before has ended, or after a while. If a machine
dies under one that is tried, that one is poison. Where attempts go is decided elsewhere.
"""

from __future__ import annotations

from attrs import define, field


@define
class Docket:
    """Requests by their number; times in picoseconds."""

    limit: int  # machines that have died under a request
    apart_ps: int  # between two that are tried, if the first one does not end
    deaths: dict[int, int] = field(init=False, factory=dict)
    convicted: set[int] = field(init=False, factory=set)
    _next_ps: int = field(init=False, default=0)  # no suspect is placed before
    _tried: dict[int, int] = field(init=False, factory=dict)  # request -> when it was placed for its trial

    def died(self, requests: list[int]) -> None:
        """A machine has died while these requests were there."""
        tried = [request for request in requests if request in self._tried]
        if tried:
            self.convicted.add(max(tried, key=lambda request: self._tried[request]))
        for request in tried:
            del self._tried[request]
        for request in requests:
            self.deaths[request] = self.deaths.get(request, 0) + 1

    def earliest_ps(self, request: int, now: int) -> int:
        """When a request that may be placed now at the earliest is to be placed, as others stand."""
        if not self._tried or now >= self._next_ps or self.deaths.get(request, 0) < self.limit:
            return now
        return min(self._next_ps, now + self.apart_ps // 64)  # and then it asks again

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
