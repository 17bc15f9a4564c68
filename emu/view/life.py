"""One request's life, or one machine's, out of a record: which entries are about it, and the phases that they make.

It reads entries in their order and keeps nothing else; in which words they are told is `emu.view.words`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from emu.record import entries as e
from emu.view.rows import NEVER


class About:
    """Whether entries, given in their order, are about a request: they name it, or end the prefill that it was in."""

    def __init__(self, request: int) -> None:
        self._request = request
        self._prefills_on = NEVER

    def takes(self, entry: e.Entry) -> bool:
        if isinstance(entry, e.StepFinished):
            if entry.machine != self._prefills_on:
                return False
            self._prefills_on = NEVER
            return True
        if not touches(entry, request=self._request):
            return False
        if isinstance(entry, e.StepStarted) and any(piece.request == self._request for piece in entry.prefills):
            self._prefills_on = entry.machine
        return True


def touches(entry: e.Entry, request: int | None = None, machine: int | None = None) -> bool:
    """Whether an entry is about this request, or this machine."""
    if request is not None:
        if isinstance(entry, e.StepStarted):
            return (
                request in entry.joined
                or request in entry.left
                or any(piece.request == request for piece in entry.prefills)
            )
        return getattr(entry, "request", None) == request
    fields = ("machine", "source", "target", "prefill_machine", "decode_machine", "peer")
    return any(getattr(entry, name, None) == machine for name in fields)


def longest_wait(entries: Sequence[e.Entry], request: int) -> tuple[str, int, int, int] | None:
    """Of its stages the longest in which it neither computed nor decoded; None where there is none."""
    waits = [stage for stage in stages(entries, request) if stage[0] not in ("prefill", "decode")]
    return max(waits, key=lambda stage: (stage[3] - stage[2], -stage[2]), default=None)


def stages(entries: Sequence[e.Entry], request: int) -> Iterator[tuple[str, int, int, int]]:
    """The phases of one request's life out of its own entries: word, machine, begin and end in ps."""
    word, machine, since_ps, decode = "", NEVER, 0, NEVER
    prefilling = False
    for entry in entries:
        found: tuple[str, int] | None = None
        if isinstance(entry, e.Arrived):
            found = "router", NEVER
        elif isinstance(entry, e.Assigned):
            found, decode = ("assigned", entry.prefill_machine), entry.decode_machine
        elif isinstance(entry, (e.Queued, e.Preempted)):
            found = "queued", entry.machine
        elif isinstance(entry, e.StepStarted):
            if any(piece.request == request for piece in entry.prefills):
                found, prefilling = ("prefill", entry.machine), True
            elif request in entry.joined:
                found = "decode", entry.machine
            elif request in entry.left and word == "decode":
                found = "ready", entry.machine
        elif isinstance(entry, e.StepFinished) and prefilling and entry.machine == machine:
            found, prefilling = ("ready" if machine == decode else "transfer", machine), False
        elif isinstance(entry, e.Committed):
            found = "ready", entry.machine
        elif isinstance(entry, e.AttemptLost):
            found = "lost", NEVER
        elif isinstance(entry, e.RequestEnded):
            found = "", NEVER
        if found is not None and found != (word, machine):
            if word:
                yield word, machine, since_ps, entry[0]
            word, machine, since_ps = *found, entry[0]
    if word and entries:
        yield word, machine, since_ps, entries[-1][0]
