"""Pools: what the router believes of each machine, and which pool each machine serves.

A belief is the machine's last load report plus every assignment that the report does not count yet, so that a burst
between two reports does not herd. Each pool keeps its machines ranked, so that the best one is found without a look at
all of them. Which machine a request gets is `placement`'s; when a machine moves is here.
"""

from __future__ import annotations

import enum
import heapq
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from attrs import define, field, frozen

from emu.control.messages import LoadReport

GONE: Final = -2  # no machine reports under this epoch


class Pool(enum.Enum):
    """Which phases a machine serves."""

    __hash__ = object.__hash__  # members are singletons, and Enum's own hash is a Python call

    PREFILL = "prefill"
    DECODE = "decode"
    MIXED = "mixed"


@frozen(eq=False, repr=False)
class Member:
    """A machine as the router is told of it: its home pool and its KV blocks."""

    machine: int
    home: Pool
    kv_blocks: int


@define(eq=False, repr=False)
class Load:
    """What the router believes of one machine, in tokens, sequences and blocks."""

    machine: int
    home: Pool
    pool: Pool
    kv_blocks: int
    free_blocks: int
    pending_tokens: int = 0  # prompt tokens assigned and not prefilled
    outgoing: int = 0  # requests there that will decode elsewhere
    sequences: int = 0  # that decode there, or will
    assigned: int = 0  # messages that the router has numbered for it
    reported_ps: int = 0
    crossed_ps: int = 0  # since when it is away from its home pool
    leaving: bool = False  # it serves no pool, and gets nothing new
    incarnation: int = 0  # of its process, by its latest report
    epoch: int = 0  # under which it was admitted; GONE while it is taken for dead
    next_epoch: int = 0  # under which it will be, while it is
    _unreported: deque[tuple[int, int, int, int]] = field(factory=deque)  # number, tokens, sequences, blocks
    _expected: int = 0  # up to this number, assignments should have been counted by the next look

    def assign(self, prompt_tokens: int, sequences: int, blocks: int) -> int:
        """Count an assignment that no report has counted; the number that the message must carry.

        A request that brings a prompt and no sequence will decode elsewhere.
        """
        self.assigned += 1
        self._unreported.append((self.assigned, prompt_tokens, sequences, blocks))
        self.pending_tokens += prompt_tokens
        self.outgoing += not sequences
        self.sequences += sequences
        self.free_blocks -= blocks
        return self.assigned

    def forget(self) -> None:
        """Believe that it has nothing: it is taken for dead, and what it had is given up."""
        self._unreported.clear()
        self.pending_tokens = self.outgoing = self.sequences = 0
        self.free_blocks = self.kv_blocks

    @property
    def unsure(self) -> bool:
        """Whether there are assignments that no report has counted."""
        return bool(self._unreported)

    def expire(self) -> bool:
        """Assignments that no report has counted since the last call are lost; whether there were any."""
        expired = False
        while self._unreported and self._unreported[0][0] <= self._expected:
            _, prompt_tokens, sequences, blocks = self._unreported.popleft()
            self.pending_tokens -= prompt_tokens
            self.outgoing -= not sequences
            self.sequences -= sequences
            self.free_blocks += blocks
            expired = True
        self._expected = self.assigned
        return expired

    def report(self, report: LoadReport) -> None:
        """Believe the report, and the assignments that it has not counted."""
        unreported = self._unreported
        while unreported and unreported[0][0] <= report.counted:
            unreported.popleft()
        self.reported_ps = report.taken_ps
        self.pending_tokens = report.queued_prompt_tokens
        self.outgoing = report.outgoing
        self.sequences = report.sequences
        self.free_blocks = report.free_blocks
        for _, prompt_tokens, sequences, blocks in unreported:
            self.pending_tokens += prompt_tokens
            self.outgoing += not sequences
            self.sequences += sequences
            self.free_blocks -= blocks


Rank = Callable[[Load], int]


@define(eq=False, repr=False)
class Ranking:
    """The machines of one pool in the order of one rank: the least first, ties by machine.

    A change is only noted; whoever asks pays for what changed since the last time. Entries are pushed when a rank
    changes and judged when they come to the top, so that a change costs O(log n), or nothing where nobody asks.
    """

    rank: Rank
    _heap: list[tuple[int, int]] = field(init=False, factory=list)
    _current: dict[int, int] = field(init=False, factory=dict)  # machine -> its rank
    _changed: dict[int, Load] = field(init=False, factory=dict)

    def __len__(self) -> int:
        self._settle()
        return len(self._current)

    def update(self, load: Load) -> None:
        self._changed[load.machine] = load

    def remove(self, load: Load) -> None:
        self._changed.pop(load.machine, None)
        self._current.pop(load.machine, None)

    def _settle(self) -> None:
        for machine, load in self._changed.items():
            rank = self.rank(load)
            if self._current.get(machine) != rank:
                self._current[machine] = rank
                heapq.heappush(self._heap, (rank, machine))
        self._changed.clear()
        if len(self._heap) > 64 + 4 * len(self._current):
            self._heap = sorted((rank, machine) for machine, rank in self._current.items())

    def first(self) -> int | None:
        """The machine of least rank, or None in an empty pool."""
        self._settle()
        heap = self._heap
        while heap and self._current.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][1] if heap else None

    def machines(self) -> list[int]:
        self._settle()
        return sorted(self._current)


@define(eq=False, repr=False)
class Pools:
    """All machines, their believed loads, and one ranking per pool and rank that a policy uses."""

    members: tuple[Member, ...]
    ranks: tuple[Rank, ...]
    loads: list[Load] = field(init=False)
    _rankings: dict[Pool, dict[Rank, Ranking]] = field(init=False)
    away: int = field(init=False, default=0)  # machines that serve another pool than their own
    _at_home: dict[Pool, int] = field(init=False)  # machines by home pool

    def __attrs_post_init__(self) -> None:
        self.loads = [Load(m.machine, m.home, m.home, m.kv_blocks, m.kv_blocks) for m in self.members]
        self._rankings = {pool: {rank: Ranking(rank) for rank in self.ranks} for pool in Pool}
        self._at_home = {pool: sum(m.home is pool for m in self.members) for pool in Pool}
        for load in self.loads:
            self.changed(load)

    def first(self, pool: Pool, rank: Rank) -> Load | None:
        """The machine of `pool` with the least `rank`."""
        machine = self._rankings[pool][rank].first()
        return None if machine is None else self.loads[machine]

    def first_of(self, pools: Iterable[Pool], rank: Rank) -> Load | None:
        """The machine with the least `rank` in any of `pools`; ties by machine."""
        found = [load for pool in pools if (load := self.first(pool, rank)) is not None]
        return min(found, key=lambda load: (rank(load), load.machine), default=None)

    def machines(self, pool: Pool) -> list[int]:
        """Indices of the machines that serve `pool` now, in order."""
        return self._rankings[pool][self.ranks[0]].machines()

    def changed(self, load: Load) -> None:
        """To be called after every change of a load."""
        if load.leaving:
            return
        for ranking in self._rankings[load.pool].values():
            ranking.update(load)

    def move(self, load: Load, pool: Pool, now: int) -> None:
        """`load`'s machine serves `pool` from now on."""
        for ranking in self._rankings[load.pool].values():
            ranking.remove(load)
        self.away += (pool is not load.home) - (load.pool is not load.home)
        load.pool = pool
        load.crossed_ps = now
        self.changed(load)

    def leave(self, load: Load) -> None:
        """`load`'s machine serves no pool, until it is no longer `leaving` and `changed` is called for it."""
        load.leaving = True
        for ranking in self._rankings[load.pool].values():
            ranking.remove(load)

    def rehome(self, load: Load, home: Pool, now: int) -> bool:
        """Change a machine's home pool, unless it is the last one at home there."""
        if self._at_home[load.home] <= 1:
            return False
        self._at_home[load.home] -= 1
        self._at_home[home] += 1
        self.away += (load.pool is not home) - (load.pool is not load.home)
        load.home = home
        load.crossed_ps = now
        return True
