"""Terms of routers: who has heard of a newer router does nothing more for an older one.

An attempt's number says who placed it: a router of term t numbers its attempts from t * 1024 on. What was taken up
before a machine heard of the new router may go on there, since that one is told of it.
"""

from __future__ import annotations

from typing import Any, Final

from emu.laws.verdicts import Handlers, Law, Names
from emu.record import entries as e

_ATTEMPT_BITS: Final = 10


class Terms:
    """Laws: old-terms-refused, terms-rise. Only a run that faults may strike is judged by them."""

    def __init__(self, names: Names, get: bool) -> None:
        self.refused = Law(
            "old-terms-refused",
            "A machine that has heard of a router takes up no attempt that an older router has placed.",
        )
        self.rise = Law("terms-rise", "Each router has a term one above the last, and machines turn to higher ones.")
        self.laws = (self.refused, self.rise)
        self._names = names
        self._latest = 0  # term of a router
        self._terms: dict[int, int] = {}  # by machine, of its present incarnation
        self._waiting: set[tuple[int, ...]] = set()  # reservations: machine, request, attempt
        self.handlers: Handlers = {
            e.Queued: self._taken,
            **({} if get else {e.ReserveQueued: self._asked, e.Reserved: self._reserved}),  # by offers, where it reads
            e.TermTaken: self._turned,
            e.RouterStarted: self._started,
            e.MachineCrashed: self._gone,
            e.MachineLeft: self._gone,
        }

    def finish(self, at_ps: int) -> None:
        """Nothing to say."""

    def _taken(self, entry: Any) -> None:
        """Of Queued, ReserveQueued and Reserved: at, machine, request, attempt."""
        at_ps, machine, request, attempt, *_ = entry
        term = self._terms.get(machine, 0)
        if attempt >> _ATTEMPT_BITS < term:
            what = f"attempt {attempt} of request {request}, which the router of term {attempt >> _ATTEMPT_BITS} placed"
            self.refused.broken(at_ps, f"{self._names[machine]} obeys term {term} and took up {what}")

    def _asked(self, entry: e.ReserveQueued) -> None:
        self._taken(entry)
        self._waiting.add(entry[1:4])

    def _reserved(self, entry: e.Reserved) -> None:
        key = entry[1:4]
        if key in self._waiting:
            self._waiting.discard(key)
        else:
            self._taken(entry)

    def _turned(self, entry: e.TermTaken) -> None:
        before = self._terms.get(entry.machine, 0)
        if not before < entry.term <= self._latest:
            what = f"{self._names[entry.machine]} turned from term {before} to {entry.term}, the latest is"
            self.rise.broken(entry.at_ps, f"{what} {self._latest}")
        self._terms[entry.machine] = entry.term

    def _started(self, entry: e.RouterStarted) -> None:
        if entry.term != self._latest + 1:
            self.rise.broken(entry.at_ps, f"a router of term {entry.term} followed one of term {self._latest}")
        self._latest = entry.term

    def _gone(self, entry: e.MachineCrashed | e.MachineLeft) -> None:
        """What starts in its place has heard of nobody."""
        self._terms.pop(entry.machine, None)
        self._waiting = {key for key in self._waiting if key[0] != entry.machine}
