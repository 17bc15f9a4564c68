"""Machines that are gone: one that has crashed does nothing until it starts again, and each start is a new incarnation.

What its requests, tokens, loans and transfers come to is judged in their own families.
"""

from __future__ import annotations

from typing import Any, Final

from emu.laws.verdicts import Handlers, Law, Names, seconds
from emu.record import entries as e

# what a machine does itself; each names it second
_DEEDS: Final = (
    e.Queued,
    e.ReserveQueued,
    e.Reserved,
    e.Granted,
    e.StepStarted,
    e.StepFinished,
    e.StepsCut,
    e.Committed,
    e.Released,
    e.Preempted,
    e.RequestEnded,
    e.AttemptEnded,
)


class Downs:
    """Laws: crashed-is-silent, incarnations-rise. Only a run that faults may strike is judged by them."""

    def __init__(self, names: Names, get: bool) -> None:
        self.silent = Law(
            "crashed-is-silent", "A crashed machine does nothing, and nothing lands in it, until it starts again."
        )
        self.rise = Law(
            "incarnations-rise", "A machine crashes in the incarnation that it runs in, and starts again in the next."
        )
        self.laws = (self.silent, self.rise)
        self._names = names
        self._down: dict[int, int] = {}  # machine: since when
        self._incarnations: dict[int, int] = {}
        self.handlers: Handlers = {
            **dict.fromkeys(_DEEDS, self._did),
            e.Landed: self._did,
            e.TransferStarted: self._read if get else self._did,
            e.MachineCrashed: self._crashed,
            e.MachineLeft: self._crashed,
            e.MachineStarted: self._started,
        }

    def finish(self, at_ps: int) -> None:
        """A machine may stay down."""

    def _did(self, entry: Any) -> None:
        if not self._down:
            return
        since_ps = self._down.get(entry[1])
        if since_ps is not None:
            what = f"{self._names[entry[1]]} crashed at {seconds(since_ps)} and then {type(entry).__name__} was written"
            self.silent.broken(entry.at_ps, what)

    def _read(self, entry: e.TransferStarted) -> None:
        """Who reads acts, not who is read from."""
        self._did(entry._replace(source=entry.target))

    def _crashed(self, entry: e.MachineCrashed | e.MachineLeft) -> None:
        machine, incarnation = entry.machine, entry.incarnation
        if machine in self._down or incarnation != self._incarnations.get(machine, 0):
            self.rise.broken(entry.at_ps, f"{self._names[machine]} crashed in incarnation {incarnation}")
        self._down[machine] = entry.at_ps

    def _started(self, entry: e.MachineStarted) -> None:
        machine, incarnation = entry.machine, entry.incarnation
        if self._down.pop(machine, None) is None or incarnation != self._incarnations.get(machine, 0) + 1:
            self.rise.broken(entry.at_ps, f"{self._names[machine]} started in incarnation {incarnation}")
        self._incarnations[machine] = incarnation
