"""Room: what newcomers leave free, who may fail for want of blocks, and how long a source keeps what it is sending.

Reads the free blocks of `loans`, whose fold must therefore read each entry after this one. The account of blocks
itself is judged there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from emu.laws.loans import Book
from emu.laws.verdicts import Handlers, Law, LawRules, Names
from emu.record import entries as e

_KV_CAPACITY: Final = int(e.Reason.KV_CAPACITY)


class Room:
    """Laws: watermark-kept, fails-alone, source-keeps-what-it-sends."""

    def __init__(self, names: Names, rules: LawRules, books: Sequence[Book]) -> None:
        self.watermark = Law(
            "watermark-kept",
            "A reservation or a prompt is lent blocks only if the watermark stays free, or if nothing else is lent.",
        )
        self.alone = Law("fails-alone", "A sequence fails for want of blocks only when no other has any.")
        self.source = Law(
            "source-keeps-what-it-sends",
            "A source's blocks go back no earlier than its puts of them have landed, where no fault struck.",
        )
        self.laws = (self.watermark, self.alone, self.source)
        self._names, self._books, self._least = names, books, rules.watermark_blocks
        self._capacities = [book.free_blocks for book in books]
        self._grew = [(-1, 0)] * len(books)  # when a run of steps ended last, and by how many blocks it says it grew
        self._flying: dict[tuple[int, int], list[int]] = {}  # request and attempt -> its source, and puts under way
        self._faults = False
        self.handlers: Handlers = {
            e.Reserved: self._reserved,
            e.StepStarted: self._started,
            e.StepFinished: self._finished,
            e.RequestEnded: self._ended,
            e.TransferStarted: self._posted,
            e.Landed: self._landed,
            e.Released: self._released,
            e.FaultStruck: self._struck,
        }

    def finish(self, at_ps: int) -> None:
        """Nothing to say."""

    def _reserved(self, entry: e.Reserved) -> None:
        at_ps, machine, request, _, _, blocks, _ = entry
        free = self._books[machine].free_blocks
        if free - blocks < self._least[machine] and free != self._capacities[machine]:
            grew_ps, grown = self._grew[machine]
            if grew_ps == at_ps:  # among it what the coming step takes, which is taken behind what is lent
                free += grown
            if free - blocks < self._least[machine]:
                self._below(at_ps, machine, request, free - blocks)

    def _finished(self, entry: e.StepFinished) -> None:
        self._grew[entry[1]] = (entry[0], entry[10])

    def _started(self, entry: e.StepStarted) -> None:
        if not entry.prefills:
            return
        at_ps, machine, prefills, *_, free_blocks = entry
        if free_blocks < self._least[machine]:
            lent = sum(piece.blocks for piece in prefills)
            if free_blocks + lent != self._capacities[machine] or len(prefills) > 1:
                self._below(at_ps, machine, prefills[-1].request, free_blocks)

    def _below(self, at_ps: int, machine: int, request: int, left: int) -> None:
        least = self._least[machine]
        what = f"request {request} was lent blocks on {self._names[machine]} that leave {left} free, expected {least}"
        self.watermark.broken(at_ps, what)

    def _ended(self, entry: e.RequestEnded) -> None:
        if entry.reason != _KV_CAPACITY:
            return
        free = self._books[entry.machine].free_blocks + entry.blocks
        if free != self._capacities[entry.machine]:
            others = self._capacities[entry.machine] - free
            what = f"request {entry.request} failed on {self._names[entry.machine]}, where others had {others} blocks"
            self.alone.broken(entry.at_ps, what)

    def _posted(self, entry: e.TransferStarted) -> None:
        flying = self._flying.setdefault((entry.request, entry.attempt), [entry.source, 0])
        flying[1] += 1

    def _landed(self, entry: e.Landed) -> None:
        flying = self._flying.get((entry.request, entry.attempt))
        if flying is not None:
            flying[1] -= 1
            if not flying[1]:
                del self._flying[entry.request, entry.attempt]

    def _released(self, entry: e.Released) -> None:
        flying = self._flying.get((entry.request, entry.attempt))
        if flying is not None and flying[0] == entry.machine and entry.loan and not self._faults:
            where = self._names[entry.machine]
            what = f"{where} gave back the blocks of request {entry.request} with {flying[1]} puts of them under way"
            self.source.broken(entry.at_ps, what)

    def _struck(self, _: e.FaultStruck) -> None:
        """Writes may be lost or late from now on, and say nothing of their source."""
        self._faults = True
