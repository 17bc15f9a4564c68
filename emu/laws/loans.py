"""Loans of KV blocks: every block that is lent comes back once, and free blocks are what the loans leave.

The balance of a machine is kept from what entries say was lent, grown and given back; the pool itself is known only by
the free blocks that a StepStarted names. What is written into blocks is judged in `transfers`.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from emu.laws.asked import Asked
from emu.laws.verdicts import Handlers, Law, LawRules, Names
from emu.record import entries as e

_RECOMPUTE: Final = int(e.SliceKind.RECOMPUTE)


@define(eq=False, repr=False)
class Book:
    """One machine's loans that are out, as number -> (request, blocks lent), and its free blocks by their account."""

    free_blocks: int
    latest: int = 0
    out: dict[int, tuple[int, int]] = field(factory=dict)
    grown: int = 0  # blocks lent to growing sequences
    grown_back: int = 0  # of those, come back


class Loans:
    """Laws: loans-returned-once, free-blocks, blocks-fit. Others may read `books`, and must come before this one."""

    def __init__(self, names: Names, rules: LawRules, asked: Asked, capacities: list[int]) -> None:
        self.returned = Law(
            "loans-returned-once",
            "Every loan has a new number, comes back exactly once, and with the blocks that were lent and grown.",
        )
        self.free = Law(
            "free-blocks", "A machine's free blocks are its capacity - lent - grown + returned, and never below 0."
        )
        self.fit = Law(
            "blocks-fit", "A loan has the blocks that hold its tokens: those written, and the one to be written next."
        )
        self.laws = (self.returned, self.free, self.fit)
        self._names, self._asked, self._all_at_once = names, asked, rules.reserve_max_tokens
        self.books = [Book(capacity) for capacity in capacities]
        self._capacities = capacities
        self.handlers: Handlers = {
            e.Reserved: self._reserved,
            e.StepStarted: self._started,
            e.StepFinished: self._finished,
            e.Released: self._released,
            e.Preempted: self._preempted,
            e.RequestEnded: self._ended,
            e.AttemptEnded: self._attempt_ended,
            e.StepsCut: self._finished,
            e.MachineCrashed: self._crashed,
        }

    def finish(self, at_ps: int) -> None:
        for machine, book in enumerate(self.books):
            for number, (request, blocks) in book.out.items():
                what = f"loan {number} of {self._names[machine]}, {blocks} blocks of request {request}, never came back"
                self.returned.broken(at_ps, what)
            if book.grown != book.grown_back:
                what = (
                    f"{self._names[machine]} lent {book.grown} blocks to growing sequences, {book.grown_back} came back"
                )
                self.returned.broken(at_ps, what)
            if book.free_blocks != self._capacities[machine]:
                what = f"{self._names[machine]} has {book.free_blocks} of {self._capacities[machine]} blocks at the end"
                self.free.broken(at_ps, what)

    def _lend(self, at_ps: int, machine: int, book: Book, request: int, loan: int, blocks: int) -> None:
        if loan <= book.latest:
            what = f"{self._names[machine]} lent loan {loan} to request {request} after loan {book.latest}"
            self.returned.broken(at_ps, what)
        book.latest = loan
        book.out[loan] = (request, blocks)

    def _reserved(self, entry: e.Reserved) -> None:
        at_ps, machine, request, attempt, loan, blocks, _ = entry
        book = self.books[machine]
        book.free_blocks -= blocks
        self._lend(at_ps, machine, book, request, loan, blocks)
        asked = self._asked
        more = asked.max_tokens[request] if self._all_at_once else asked.behind(request, attempt) + 1
        if blocks != asked.blocks(asked.prompt_tokens[request] + more):
            self._misfit(at_ps, machine, request, blocks, asked.prompt_tokens[request] + more)

    def _started(self, entry: e.StepStarted) -> None:
        at_ps, machine, prefills, _, _, _, _, _, grown, free_blocks = entry
        book = self.books[machine]
        balance = book.free_blocks - grown
        book.grown += grown
        for request, _, first, tokens, kind, loan, blocks in prefills:
            balance -= blocks
            self._lend(at_ps, machine, book, request, loan, blocks)
            self._fits_prefill(at_ps, machine, request, first + tokens, kind, blocks)
        if balance != free_blocks or balance < 0:
            what = f"{self._names[machine]} has {free_blocks} blocks free, its loans leave {balance}"
            self.free.broken(at_ps, what)
        book.free_blocks = free_blocks

    def _fits_prefill(self, at_ps: int, machine: int, request: int, tokens: int, kind: int, blocks: int) -> None:
        """With one token more where the sequence will decode on this machine, or all that it may ask for."""
        asked = self._asked
        stays = tokens + 1
        if self._all_at_once:
            stays = asked.prompt_tokens[request] + asked.max_tokens[request]
        if blocks != asked.blocks(stays) and (kind == _RECOMPUTE or blocks != asked.blocks(tokens)):
            self._misfit(at_ps, machine, request, blocks, tokens)

    def _crashed(self, entry: e.MachineCrashed) -> None:
        """What it had is gone, and its next incarnation numbers its loans anew."""
        book = self.books[entry.machine]
        book.free_blocks = self._capacities[entry.machine]
        book.latest = book.grown = book.grown_back = 0
        book.out.clear()

    def _attempt_ended(self, entry: e.AttemptEnded) -> None:
        at_ps, machine, request, _, _, _, loan, blocks = entry
        if loan:
            self._return(at_ps, machine, request, loan, blocks)

    def _finished(self, entry: e.StepFinished | e.StepsCut) -> None:
        if grown := entry[10]:
            book = self.books[entry[1]]
            book.free_blocks -= grown
            book.grown += grown

    def _released(self, entry: e.Released) -> None:
        at_ps, machine, request, _, loan, blocks, _, _ = entry
        if loan:
            lent = self._return(at_ps, machine, request, loan, blocks)
            if lent != blocks:
                what = (
                    f"loan {loan} of {self._names[machine]}, {lent} blocks of request {request}, came back as {blocks}"
                )
                self.returned.broken(at_ps, what)

    def _preempted(self, entry: e.Preempted) -> None:
        at_ps, machine, request, _, delivered, loan, blocks = entry
        self._return(at_ps, machine, request, loan, blocks)
        self._fits_decode(at_ps, machine, request, delivered, blocks)

    def _ended(self, entry: e.RequestEnded) -> None:
        at_ps, machine, request, _, _, _, output_tokens, _, loan, blocks, *_ = entry
        if loan:
            self._return(at_ps, machine, request, loan, blocks)
            self._fits_decode(at_ps, machine, request, output_tokens, blocks)
        elif blocks:
            self.returned.broken(at_ps, f"request {request} gave {blocks} blocks back that no loan lent")

    def _return(self, at_ps: int, machine: int, request: int, loan: int, blocks: int) -> int:
        """A loan comes back; how many blocks it had at first."""
        book = self.books[machine]
        book.free_blocks += blocks
        owner, lent = book.out.pop(loan, (-1, blocks))
        if owner != request or blocks < lent:
            state = "was not out" if owner < 0 else f"had {lent} blocks of request {owner}"
            what = (
                f"request {request} gave back {blocks} blocks of loan {loan} of {self._names[machine]}, which {state}"
            )
            self.returned.broken(at_ps, what)
        book.grown_back += blocks - lent
        if book.grown_back > book.grown:
            what = f"{self._names[machine]} got back {book.grown_back} grown blocks of {book.grown} lent"
            self.returned.broken(at_ps, what)
            book.grown_back = book.grown
        return lent

    def _fits_decode(self, at_ps: int, machine: int, request: int, delivered: int, blocks: int) -> None:
        """A sequence that decodes has the blocks of its last step, or already those of its next one."""
        asked = self._asked
        size, prompt_tokens = asked.block_tokens, asked.prompt_tokens[request]
        tokens = prompt_tokens + delivered
        if self._all_at_once:
            fits = blocks == asked.blocks(prompt_tokens + asked.max_tokens[request])
        else:
            fits = -(-(tokens - 1) // size) <= blocks <= -(-tokens // size)
        if not fits:
            self._misfit(at_ps, machine, request, blocks, tokens)

    def _misfit(self, at_ps: int, machine: int, request: int, blocks: int, tokens: int) -> None:
        what = f"request {request} has {blocks} blocks on {self._names[machine]} for {tokens} tokens"
        self.fit.broken(at_ps, what)
