"""Stalls: no machine idles while its own work fits, and no decode sits out mixed batches for long.

What a machine could have done in an idle stretch is judged when something next happens there, from the state that it
idled in: the free blocks of `loans`, whose fold must therefore read each entry after this one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from attrs import define, field

from emu.laws.asked import Asked
from emu.laws.loans import Book
from emu.laws.verdicts import Handlers, Law, LawRules, Names, seconds
from emu.record import entries as e

_STOPS: Final = (int(e.FaultCode.PAUSE), int(e.FaultCode.HANG))


@define(eq=False, repr=False)
class _Line:
    """One machine: what waits there. `ready` may decode: request -> mixed batches that had run when it came to be."""

    running: bool = False
    touched_ps: int = 0
    stops: int = 0  # faults that keep it from doing anything
    mixed_batches: int = 0  # with prompts, and room for all sequences that may decode
    waiting: deque[tuple[int, ...]] = field(factory=deque)  # requests and attempts
    preempted: dict[int, int] = field(factory=dict)  # request -> its tokens
    prefilling: list[tuple[int, int]] = field(factory=list)  # request and attempt
    ready: dict[int, int] = field(factory=dict)
    decoding: set[int] = field(factory=set)


class Stalls:
    """Laws: no-idle-with-work, bounded-stall."""

    def __init__(self, names: Names, rules: LawRules, asked: Asked, books: Sequence[Book]) -> None:
        self.idle = Law(
            "no-idle-with-work",
            "No machine idles while a sequence there may decode, or the prompt at the head of its queue fits in the "
            "free blocks less the watermark.",
        )
        self.stall = Law(
            "bounded-stall",
            "A sequence that may decode joins within max_preemptions + 1 further batches with prompts and room for it.",
        )
        self.laws = (self.idle, self.stall)
        self._names, self._rules, self._asked, self._books = names, rules, asked, books
        self._capacities = [book.free_blocks for book in books]
        self._lines = [_Line() for _ in books]
        self._targets: dict[tuple[int, int], int] = {}  # request and attempt -> the machine where it will decode
        self.handlers: Handlers = {
            e.Assigned: self._assigned,
            e.Queued: self._queued,
            e.Reserved: self._touched,
            e.StepStarted: self._started,
            e.StepFinished: self._finished,
            e.Committed: self._committed,
            e.Released: self._touched,
            e.Preempted: self._preempted,
            e.RequestEnded: self._ended,
            e.AttemptEnded: self._ended,
            e.MachineCrashed: self._crashed,
            e.MachineLeft: self._crashed,
            e.FaultStruck: self._struck,
            e.FaultHealed: self._healed,
        }

    def finish(self, at_ps: int) -> None:
        for machine in range(len(self._lines)):
            self._touch(machine, at_ps)

    def _touch(self, machine: int, at_ps: int) -> _Line:
        """Something happens on this machine: first judge the stretch that ends with it."""
        line = self._lines[machine]
        waits = line.waiting or line.ready or line.preempted
        if waits and not line.running and not line.stops and at_ps > line.touched_ps:
            self._idled(machine, line, at_ps)
        line.touched_ps = at_ps
        return line

    def _idled(self, machine: int, line: _Line, at_ps: int) -> None:
        idle = f"{self._names[machine]} idled from {seconds(line.touched_ps)} to {seconds(at_ps)} while request"
        if line.ready:
            self.idle.broken(at_ps, f"{idle} {next(iter(line.ready))} could decode there")
            return
        asked, free = self._asked, self._books[machine].free_blocks
        if line.preempted:  # the one that wants most, since their order is the scheduler's
            request, tokens = max(line.preempted.items(), key=lambda item: item[1])
            stays = True
        else:
            request, attempt = line.waiting[0]
            if self._rules.max_overtaken:  # any of them may be the head, so that only when all fit one surely does
                request, attempt = max(line.waiting, key=lambda waiting: asked.prompt_tokens[waiting[0]])
            tokens = asked.prompt_tokens[request] + asked.behind(request, attempt)
            stays = self._stays(machine, request, attempt)
        if stays:
            tokens += 1
            if self._rules.reserve_max_tokens:
                tokens = asked.prompt_tokens[request] + asked.max_tokens[request]
        blocks = asked.blocks(tokens)
        if blocks <= free - self._rules.watermark_blocks[machine] or blocks <= free == self._capacities[machine]:
            self.idle.broken(at_ps, f"{idle} {request} waited there and its {blocks} blocks fit in {free} free ones")

    def _stays(self, machine: int, request: int, attempt: int) -> bool:
        """Whether an attempt whose prompt is here will decode here."""
        return self._targets.get((request, attempt)) == machine

    def _touched(self, entry: e.Reserved | e.Released) -> None:
        self._touch(entry[1], entry[0])

    def _crashed(self, entry: e.MachineCrashed | e.MachineLeft) -> None:
        self._lines[entry.machine] = _Line(touched_ps=entry.at_ps)

    def _struck(self, entry: e.FaultStruck) -> None:
        if entry.kind in _STOPS:
            self._touch(entry.machine, entry.at_ps).stops += 1

    def _healed(self, entry: e.FaultHealed) -> None:
        if entry.kind in _STOPS:
            line = self._touch(entry.machine, entry.at_ps)
            line.stops = max(0, line.stops - 1)

    def _assigned(self, entry: e.Assigned) -> None:
        self._targets[entry.request, entry.attempt] = entry.decode_machine

    def _queued(self, entry: e.Queued) -> None:
        line = self._touch(entry.machine, entry.at_ps)
        line.waiting.append(entry[2:4])

    def _committed(self, entry: e.Committed) -> None:
        line = self._touch(entry.machine, entry.at_ps)
        line.ready[entry.request] = line.mixed_batches

    def _started(self, entry: e.StepStarted) -> None:
        at_ps, machine, prefills, joined, left, sequences, _, _, _, _ = entry
        line = self._touch(machine, at_ps)
        line.running = True
        ready, decoding = line.ready, line.decoding
        if prefills:
            for piece in prefills:
                self._take(line, piece[0], piece[1])
        for request in left:
            if request in decoding:  # neither ended nor preempted: it sits out
                decoding.remove(request)
                ready[request] = line.mixed_batches
        for request in joined:
            ready.pop(request, None)
            decoding.add(request)
        if ready and prefills and sequences + len(ready) <= self._rules.decode_batch:
            line.mixed_batches += 1
            request, since = next(iter(ready.items()))
            stalled = line.mixed_batches - since
            if stalled > self._rules.max_preemptions:
                what = f"request {request} could decode on {self._names[machine]} and sat out {stalled} batches"
                self.stall.broken(at_ps, what)

    def _take(self, line: _Line, request: int, attempt: int) -> None:
        """A prompt leaves the line for its prefill."""
        key = (request, attempt)
        line.prefilling.append(key)
        if line.waiting and line.waiting[0] == key:
            line.waiting.popleft()
        elif request in line.preempted:
            del line.preempted[request]
        elif key in line.waiting:
            line.waiting.remove(key)

    def _finished(self, entry: e.StepFinished) -> None:
        machine = entry.machine
        line = self._lines[machine]
        line.running = False
        line.touched_ps = entry.at_ps
        for request, attempt in line.prefilling:
            if self._stays(machine, request, attempt):
                line.ready[request] = line.mixed_batches
        line.prefilling.clear()

    def _preempted(self, entry: e.Preempted) -> None:
        line = self._touch(entry.machine, entry.at_ps)
        line.decoding.discard(entry.request)
        line.preempted[entry.request] = self._asked.prompt_tokens[entry.request] + entry.delivered

    def _ended(self, entry: e.RequestEnded | e.AttemptEnded) -> None:
        at_ps, machine, request, attempt, *_ = entry
        self._targets.pop((request, attempt), None)
        if machine < 0:
            return
        line = self._touch(machine, at_ps)
        line.decoding.discard(request)
        line.ready.pop(request, None)
        if request in line.preempted:
            del line.preempted[request]
        elif (request, attempt) in line.waiting:
            line.waiting.remove((request, attempt))
        elif (request, attempt) in line.prefilling:
            line.prefilling.remove((request, attempt))
