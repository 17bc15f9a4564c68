"""Standoff: what is held here waits for another machine, where something waits for what is held here, and so on.

Both machines are well and say so, so no lease ends that wait. Each looks at its own end alone: the oldest cache that is
computed here and has nowhere to go, and the first reservation that waits here; or the oldest blocks granted here to a
cache that does not come, and the first sequence that gave way here and waits for its own. If both stay the same for as
long as a lease, the cache gives way, and is computed again elsewhere. What follows from that is the machine's.
"""

from __future__ import annotations

from attrs import define, field

from emu.control.transfer.leases import Key


@define(eq=False, repr=False)
class Standoff:
    """Times in picoseconds of this machine's clock."""

    here: int
    lease_ps: int
    _cache: Key | None = field(init=False, default=None)
    _waits: Key | None = field(init=False, default=None)
    _since_ps: int = field(init=False, default=0)

    def must_give_way(self, cache: Key, peer: int, waits: Key, busy: bool, now: int) -> bool:
        """Whether the wait of these two has become too long; to be asked now and then.

        Of two machines the first gives way first, so that not both do. On a machine that runs something there is hope,
        for four times as long.
        """
        if (cache, waits) != (self._cache, self._waits):
            self._cache, self._waits, self._since_ps = cache, waits, now
            return False
        patience_ps = self.lease_ps * (1 if self.here < peer else 2) * (4 if busy else 1)
        return now - self._since_ps >= patience_ps
