"""Leases: until when a machine keeps blocks for a peer that may never speak again.

A renewal never shortens a lease: the later deadline wins. Deadlines are not ordered, so a sweep visits every lease.
How long the right lasts that comes with another's blocks stands here too, since it must end before their lease does.
What is done about an expired one is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import define, field, frozen

Key = tuple[int, int]  # request and attempt
_MILLION = 10**6


@frozen(eq=False, repr=False)
class Spans:
    """What one end of a transfer may do with the other's blocks, and for how long; picoseconds of its own clock."""

    right_ps: int  # to begin puts or reads, each since it asked; the first since it was told of the blocks
    hold_ps: int  # who gave that right keeps the blocks for so long after its last word: by then all of them have ended
    flight_ps: int  # what was begun here has ended by then


def spans(lease_ps: int, flight_ps: int, clock_error_ppm: int = 0) -> Spans:
    """Of leases and flights of that length, where clocks run fast or slow by so many millionths at most, and no
    message of blocks is under way for longer than a quarter of a lease.

    The right ends early enough for all that was begun under it to be over within a lease of the word that gave it, but
    lasts a third of one, and three quarters at most: where flights are as long as leases, the wait is longer.
    """
    fast, slow, late_ps = _MILLION + clock_error_ppm, _MILLION - clock_error_ppm, lease_ps // 4
    right_ps = (lease_ps * _MILLION // fast - flight_ps - late_ps) * slow // _MILLION
    right_ps = max(lease_ps // 3, min(right_ps, lease_ps - late_ps))
    hold_ps = -((-right_ps * _MILLION // slow - flight_ps - late_ps) * fast // _MILLION)
    return Spans(right_ps, hold_ps, -(-flight_ps * fast // _MILLION))


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

    def until(self, key: Key, deadline_ps: int) -> None:
        """A lease that is out until then, or for longer if it was."""
        self._deadlines[key] = max(deadline_ps, self._deadlines.get(key, deadline_ps))

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
