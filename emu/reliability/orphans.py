"""Orphans: a fold over blocks that are lent and that neither a live attempt nor a posted transfer has a use for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define

from emu.cluster import to_ps
from emu.control.transfer.leases import spans
from emu.record import entries as e
from emu.rules import clock_error_ppm
from emu.scenario.schema import Scenario

_PS_PER_S = 10**12


def bound_s(scenario: Scenario) -> float:
    """How long a loan may stay orphaned for one fault, in seconds of true time.

    A lease and a sweep; only where flights are so long beside leases that what the other end may have begun can
    outlast one, that. Clocks may be slow; a machine that stands still sweeps when it goes on.
    """
    transfer = scenario.transfer
    lease_ps = to_ps(transfer.lease_s)
    hold_ps = spans(lease_ps, to_ps(transfer.max_flight_s), clock_error_ppm(transfer)).hold_ps
    waits_s = max(lease_ps, hold_ps) / _PS_PER_S + transfer.heartbeat_s
    still_s = sum(fault.heal_after_s or 0.0 for fault in scenario.faults if fault.kind in ("pause", "hang"))
    return waits_s / (1 - transfer.clock_error) + still_s


@define(eq=False)
class _Lent:
    """A loan that is out. `since_ps` from when on nobody has a use for it; -1 while somebody has."""

    key: tuple[int, int]  # request and attempt
    blocks: int
    since_ps: int = -1


class Orphans:
    """Block-seconds, and how long a loan was orphaned at the longest. Blocks grown later count to nobody."""

    def __init__(self) -> None:
        self.block_s = self.longest_s = 0.0
        self._lent: dict[tuple[int, int], _Lent] = {}  # by machine and loan
        self._flying: dict[tuple[int, int], int] = {}  # bytes of posted puts, by request and attempt
        self._over: set[int] = set()  # requests
        self._lost: dict[int, int] = {}  # by request, the latest attempt that was given up
        self.handlers: Mapping[type, Callable[[Any], None]] = {
            e.Reserved: lambda entry: self._lend(entry.at_ps, entry.machine, entry.loan, entry[2:4], entry.blocks),
            e.StepStarted: self._started,
            e.TransferStarted: lambda entry: self._fly(entry.at_ps, (entry.request, entry.attempt), entry.bytes),
            e.Landed: lambda entry: self._fly(entry.at_ps, (entry.request, entry.attempt), -entry.bytes),
            e.LandedNowhere: lambda entry: self._fly(entry.at_ps, (entry.request, entry.attempt), -entry.bytes),
            e.Released: self._back,
            e.Preempted: self._back,
            e.AttemptEnded: self._back,
            e.RequestEnded: self._ended,
            e.AttemptLost: self._attempt_lost,
            e.MachineCrashed: self._gone,
            e.MachineLeft: self._gone,
        }

    def _lend(self, at_ps: int, machine: int, loan: int, key: tuple[int, int], blocks: int) -> None:
        lent = self._lent[machine, loan] = _Lent(key, blocks)
        self._look(at_ps, lent)

    def _started(self, entry: e.StepStarted) -> None:
        for piece in entry.prefills:
            self._lend(entry.at_ps, entry.machine, piece.loan, (piece.request, piece.attempt), piece.blocks)

    def _fly(self, at_ps: int, key: tuple[int, int], moved: int) -> None:
        self._flying[key] = self._flying.get(key, 0) + moved
        self._look_at(at_ps, key)

    def _look_at(self, at_ps: int, key: tuple[int, int]) -> None:
        for lent in self._lent.values():
            if lent.key == key:
                self._look(at_ps, lent)

    def _look(self, at_ps: int, lent: _Lent) -> None:
        """Has anybody a use for it?"""
        request, attempt = lent.key
        over = request in self._over or attempt <= self._lost.get(request, -1)
        orphan = over and not self._flying.get(lent.key)
        if orphan and lent.since_ps < 0:
            lent.since_ps = at_ps
        elif not orphan and lent.since_ps >= 0:
            self._count(at_ps, lent)

    def _count(self, at_ps: int, lent: _Lent) -> None:
        if lent.since_ps >= 0:
            seconds = (at_ps - lent.since_ps) / _PS_PER_S
            self.block_s += lent.blocks * seconds
            self.longest_s = max(self.longest_s, seconds)
            lent.since_ps = -1

    def _back(self, entry: e.Released | e.Preempted | e.AttemptEnded) -> None:
        lent = self._lent.pop((entry.machine, entry.loan), None)
        if lent is not None:
            self._count(entry.at_ps, lent)

    def _ended(self, entry: e.RequestEnded) -> None:
        lent = self._lent.pop((entry.machine, entry.loan), None)
        if lent is not None:
            self._count(entry.at_ps, lent)
        self._over.add(entry.request)
        for other in self._lent.values():
            if other.key[0] == entry.request:
                self._look(entry.at_ps, other)

    def _attempt_lost(self, entry: e.AttemptLost) -> None:
        """That attempt, and those before it, whichever router placed them."""
        self._lost[entry.request] = entry.attempt
        for lent in self._lent.values():
            if lent.key[0] == entry.request:
                self._look(entry.at_ps, lent)

    def _gone(self, entry: e.MachineCrashed | e.MachineLeft) -> None:
        """Memory that is gone is nobody's to lend."""
        for machine, loan in [place for place in self._lent if place[0] == entry.machine]:
            self._count(entry.at_ps, self._lent.pop((machine, loan)))
