"""Held: how long blocks stay lent that nobody has a use for any more, and how soon they may be lent again.

Who has granted blocks keeps them until nothing that was begun under the grant can be under way; and not for longer than
that and a sweep, or a lease and a sweep, whatever was lost. Both are promises of docs/design.md about time, which no
law of safety notices while nothing happens to be written late.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import define, field

from emu.cluster import Cluster, to_ps
from emu.control.transfer.leases import spans
from emu.fuzz.judge import Judged
from emu.record import entries as e
from emu.rules import clock_error_ppm

Key = tuple[int, int]
_STAND_STILL: Final = {int(code) for code in (e.FaultCode.PAUSE, e.FaultCode.HANG, e.FaultCode.CLOCK)}
"""Faults by which a machine sweeps late, or by another clock."""


@define(eq=False)
class _Lent:
    key: Key
    at_ps: int
    unused_ps: int = -1  # since when


@define(eq=False)
class Held:
    """One run, read once. Loans are those that were granted to caches still to come."""

    cluster: Cluster
    run: Judged
    hold_ps: int = field(init=False)
    longest_ps: int = field(init=False)
    lent: dict[tuple[int, int], _Lent] = field(init=False, factory=dict)  # by machine and loan
    flying: dict[Key, int] = field(init=False, factory=dict)  # bytes that were posted and have not landed
    over: dict[int, int] = field(init=False, factory=dict)  # request -> its latest attempt that is over

    def __attrs_post_init__(self) -> None:
        transfer = self.cluster.scenario.transfer
        lease_ps = to_ps(transfer.lease_s)
        times = spans(lease_ps, to_ps(transfer.max_flight_s), clock_error_ppm(transfer))
        self.hold_ps = times.hold_ps
        self.longest_ps = max(lease_ps, times.hold_ps) + to_ps(transfer.heartbeat_s)

    def read(self) -> Iterator[str]:
        """Every promise that was not kept, a sentence each."""
        if self.cluster.scenario.transfer.direction == "get":
            return
        kinds = {entry.kind for entry in self.run.entries if isinstance(entry, e.FaultStruck)}
        if kinds & _STAND_STILL:
            return
        for entry in self.run.entries:
            if isinstance(entry, e.Reserved):
                self.lent[entry.machine, entry.loan] = _Lent((entry.request, entry.attempt), entry.at_ps)
                self._look(entry.at_ps, entry.request)
            elif isinstance(entry, e.TransferStarted | e.Landed | e.LandedNowhere):
                moved = entry.bytes if isinstance(entry, e.TransferStarted) else -entry.bytes
                key = entry.request, entry.attempt
                self.flying[key] = self.flying.get(key, 0) + moved
                self._look(entry.at_ps, entry.request)
            elif isinstance(entry, e.AttemptLost | e.RequestEnded):
                latest = 1 << 62 if isinstance(entry, e.RequestEnded) else entry.attempt
                self.over[entry.request] = max(latest, self.over.get(entry.request, -1))
                self._look(entry.at_ps, entry.request)
                if isinstance(entry, e.RequestEnded):
                    self.lent.pop((entry.machine, entry.loan), None)
            elif isinstance(entry, e.Preempted | e.AttemptEnded | e.Committed):
                self.lent.pop((entry.machine, entry.loan), None)
            elif isinstance(entry, e.Released):
                yield from self._released(entry)
            elif isinstance(entry, e.MachineCrashed | e.MachineLeft):
                self.lent = {place: lent for place, lent in self.lent.items() if place[0] != entry.machine}

    def _look(self, at_ps: int, request: int) -> None:
        """Has anybody a use for the loans of this request?"""
        for lent in self.lent.values():
            if lent.key[0] == request:
                unused = lent.key[1] <= self.over.get(request, -1) and not self.flying.get(lent.key)
                lent.unused_ps = -1 if not unused else lent.unused_ps if lent.unused_ps >= 0 else at_ps

    def _released(self, entry: e.Released) -> Iterator[str]:
        lent = self.lent.pop((entry.machine, entry.loan), None)
        if lent is None:
            return
        name = self.run.started.machines[entry.machine].name
        whose = f"loan {entry.loan} of {name}, of attempt {entry.attempt} of request {entry.request}"
        after_ps = entry.at_ps - lent.at_ps
        if entry.reason == e.Reason.QUARANTINED and after_ps < self.hold_ps:
            yield f"{whose} was free {after_ps / 10**12:g} s after it was granted, expected {self.hold_ps / 10**12:g}"
        unused_ps = entry.at_ps - lent.unused_ps
        if lent.unused_ps >= 0 and unused_ps > self.longest_ps:
            most_s = self.longest_ps / 10**12
            yield f"{whose} was lent for {unused_ps / 10**12:g} s without a use, expected {most_s:g} at most"
