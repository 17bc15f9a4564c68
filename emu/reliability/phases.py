"""Phases of requests, as a record tells them: from when to when each request was in each, and on which machines.

Until the first fault strikes, a run with faults writes what the run without them writes. So the phases of the one say
where a fault of the other struck, and a fault can be aimed at a phase before it is let loose.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import define, field, frozen

from emu.record import entries as e

PHASES: Final = (
    "queued",
    "prefilling",
    "transferring, first half",
    "transferring, second half",
    "prefilled, decode not told",
    "committed, not acknowledged",
    "decoding",
)


@frozen
class Stay:
    """A request in a phase: from `start_ps` on, before `end_ps`."""

    request: int
    phase: str
    start_ps: int
    end_ps: int
    source: int
    target: int

    @property
    def middle_ps(self) -> int:
        return (self.start_ps + self.end_ps) // 2


@define(eq=False)
class _Times:
    """When things happened to a request, first attempt only; -1: they did not."""

    source: int = -1
    target: int = -1
    queued_ps: int = -1
    prefill_ps: int = -1
    put_ps: int = -1
    landed_ps: int = -1
    committed_ps: int = -1
    acknowledged_ps: int = -1
    joined_ps: int = -1
    ended_ps: int = -1
    stays: list[Stay] = field(factory=list)


def stays(entries: Iterable[e.Entry]) -> tuple[Stay, ...]:
    """Of all requests that went from one machine to another, in a run without faults."""
    found: dict[int, _Times] = {}
    for entry in entries:
        if isinstance(entry, e.Assigned):
            found[entry.request] = _Times(entry.prefill_machine, entry.decode_machine, entry.at_ps)
        elif isinstance(entry, e.StepStarted):
            for piece in entry.prefills:
                if found[piece.request].prefill_ps < 0:
                    found[piece.request].prefill_ps = entry.at_ps
            for request in entry.joined:
                if found[request].joined_ps < 0:
                    found[request].joined_ps = entry.at_ps
        elif isinstance(entry, e.TransferStarted):
            found[entry.request].put_ps = entry.at_ps
        elif isinstance(entry, e.Landed):
            found[entry.request].landed_ps = entry.at_ps
        elif isinstance(entry, e.Committed):
            found[entry.request].committed_ps = entry.at_ps
        elif isinstance(entry, e.Released) and entry.machine == found[entry.request].source:
            found[entry.request].acknowledged_ps = entry.at_ps
        elif isinstance(entry, e.RequestEnded) and entry.request in found:
            found[entry.request].ended_ps = entry.at_ps
    return tuple(stay for request, times in found.items() for stay in _stays_of(request, times))


def _stays_of(request: int, times: _Times) -> Iterable[Stay]:
    if times.source == times.target or times.joined_ps < 0:
        return
    half_ps = (times.put_ps + times.landed_ps) // 2
    bounds = (
        (times.queued_ps, times.prefill_ps),
        (times.prefill_ps, times.put_ps),
        (times.put_ps, half_ps),
        (half_ps, times.landed_ps),
        (times.landed_ps, times.committed_ps),
        (times.committed_ps, times.acknowledged_ps),
        (times.joined_ps, times.ended_ps),
    )
    for phase, (start_ps, end_ps) in zip(PHASES, bounds, strict=True):
        if 0 <= start_ps < end_ps:
            yield Stay(request, phase, start_ps, end_ps, times.source, times.target)
