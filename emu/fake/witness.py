"""Witness: a fold that lets faults hang on what happens. It counts entries, and knows which requests are open where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from attrs import define, field

from emu.fake.plan import ANY, Trigger
from emu.record.entries import (
    KINDS,
    Arrived,
    Assigned,
    AttemptEnded,
    PrefillSlice,
    RequestEnded,
    Resumed,
    SliceKind,
    StepFinished,
    StepsCut,
    StepStarted,
)

_ENDS = ("machine", "source", "target", "prefill_machine", "decode_machine")


class Prefill(NamedTuple):
    """One request's prompt, in a step that starts or is done."""

    machine: int
    request: int
    attempt: int


class Wakeup(NamedTuple):
    """A loop of a machine wakes, and has done nothing yet."""

    machine: int


@define(eq=False, repr=False)
class _Wait:
    """Until `left` more entries like that."""

    trigger: Trigger
    left: int
    fire: Callable[[Any], None]


@define(eq=False, repr=False)
class Witness:
    """Composed only into a run that faults may strike. `flush(machine, request)` is called when an attempt is over."""

    flush: Callable[[int, int], None] = field(init=False)
    splice: Callable[[int, int], None] = field(init=False)  # called with a request and an attempt that resumes it
    _waits: dict[str, list[_Wait]] = field(init=False, factory=dict)
    _places: dict[int, tuple[int, ...]] = field(init=False, factory=dict)  # open requests and their machines
    _attempts: dict[int, int] = field(init=False, factory=dict)
    _prefilling: dict[int, tuple[PrefillSlice, ...]] = field(init=False, factory=dict)  # by machine

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]:
        return dict.fromkeys(KINDS, self._see)

    def wait(self, trigger: Trigger, fire: Callable[[Any], None]) -> None:
        """`fire` with the trigger's entry when that is written; the delay is the caller's."""
        self._waits.setdefault(trigger.entry, []).append(_Wait(trigger, trigger.nth, fire))

    def woken(self, machine: int) -> bool:
        """A loop of this machine wakes; whether anything hangs on that."""
        waiting = len(self._waits.get("Wakeup", ()))
        self._tell("Wakeup", Wakeup(machine))
        return len(self._waits.get("Wakeup", ())) < waiting

    def live(self, machine: int) -> int:
        """How many open requests are assigned to this machine, for either phase; of ANY, how many there are."""
        if machine == ANY:
            return len(self._places)
        return sum(machine in places for places in self._places.values())

    def attempt(self, request: int) -> int:
        """The latest that an open request was assigned; 0 before the first."""
        return self._attempts.get(request, 0)

    def has_attempt(self, request: int) -> bool:
        """Whether an open request was ever assigned."""
        return request in self._attempts

    def is_open(self, request: int) -> bool:
        return request in self._places

    def _see(self, entry: Any) -> None:
        kind = type(entry)
        if kind is Arrived:
            self._places[entry.request] = ()
        elif kind is Assigned:
            self._places[entry.request] = (entry.prefill_machine, entry.decode_machine)
            self._attempts[entry.request] = entry.attempt
        elif kind is RequestEnded:
            self._places.pop(entry.request, None)
            self._attempts.pop(entry.request, None)
        elif kind is AttemptEnded:
            self.flush(entry.machine, entry.request)  # what it has said was said while its blocks were its own
        elif kind is Resumed:
            self.splice(entry.request, entry.attempt)
        elif kind is StepStarted:
            self._prefilling[entry.machine] = entry.prefills
            self._see_prefills("PrefillStarted", entry.machine, entry.prefills)
        elif kind is StepFinished:
            self._see_prefills("PrefillDone", entry.machine, self._prefilling.pop(entry.machine, ()))
        elif kind is StepsCut:
            self._prefilling.pop(entry.machine, None)
        self._tell(kind.__name__, entry)

    def _see_prefills(self, name: str, machine: int, pieces: tuple[PrefillSlice, ...]) -> None:
        if pieces and name in self._waits:
            for piece in pieces:
                if piece.kind == SliceKind.PREFILL:
                    self._tell(name, Prefill(machine, piece.request, piece.attempt))

    def _tell(self, name: str, entry: Any) -> None:
        waits = self._waits.get(name)
        for wait in tuple(waits or ()):
            if _fits(wait.trigger, entry):
                wait.left -= 1
                if not wait.left and waits is not None:
                    waits.remove(wait)
                    wait.fire(entry)


def _fits(trigger: Trigger, entry: Any) -> bool:
    if trigger.request != ANY:
        pieces = (piece.request for piece in getattr(entry, "prefills", ()))
        if trigger.request not in (getattr(entry, "request", ANY), *pieces, *getattr(entry, "joined", ())):
            return False
    return trigger.machine == ANY or any(getattr(entry, end, ANY) == trigger.machine for end in _ENDS)
