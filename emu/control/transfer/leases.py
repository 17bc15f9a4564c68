"""Leases: until when a machine keeps blocks for a peer that may never speak again.

A renewal never shortens a lease: the later deadline wins. Deadlines are not ordered, so a sweep visits every lease.
What is done about an expired one is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import define, field

Key = tuple[int, int]  # request and attempt


@define(eq=False, repr=False)
class Leases:
    """Deadlines in picoseconds of this machine's own clock; each lease lasts `duration_ps` from its last renewal."""

    duration_ps: int
    _deadlines: dict[Key, int] = field(init=False, factory=dict)

    def __len__(self) -> int:
        return len(self._deadlines)

    def __contains__(self, key: Key) -> bool:
        return key in self._deadlines

    def __iter__(self) -> Iterator[Key]:
        return iter(self._deadlines)

    def grant(self, key: Key, now: int) -> None:
        self._deadlines[key] = now + self.duration_ps

    def renew(self, keys: Iterable[Key], now: int) -> None:
        """Extend those of `keys` that are still out; a lease that has expired stays so."""
        deadlines, until = self._deadlines, now + self.duration_ps
        for key in filter(deadlines.__contains__, keys):  # a peer may name thousands that have no lease here
            if now < deadlines[key] < until:
                deadlines[key] = until

    def holds(self, key: Key, now: int) -> bool:
        """Whether this lease is out and has not run out."""
        return self._deadlines.get(key, now) > now

    def end(self, key: Key) -> None:
        """No lease any more, expired or not."""
        self._deadlines.pop(key, None)

    def sweep(self, now: int) -> tuple[Key, ...]:
        """The leases that have expired, which end with this call."""
        expired = tuple(key for key, deadline in self._deadlines.items() if deadline <= now)
        for key in expired:
            del self._deadlines[key]
        return expired
