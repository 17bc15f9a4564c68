"""BlockPool: the only owner of a machine's KV-block ids.

A block is lent under a numbered loan; the number is its generation. It has one owner (an attempt of a request, or the
free list) and counted pins (posted puts or gets that name it), and is free again only without both. Ids are taken and
returned as slices, so that the cost is per loan. Who may have blocks is decided elsewhere.
"""

from __future__ import annotations

from attrs import define, field


class PoolExhausted(Exception):
    """More blocks were asked for than are free: a bug, since whoever lends asks first. Nothing was changed."""


class UnknownLoan(Exception):
    """A loan that is not out: given back already, or never lent. Nothing was changed."""


@define(eq=False, repr=False)
class Loan:
    """Blocks lent to one attempt of one request; `number` is the generation of every block in it."""

    number: int
    request_id: int
    attempt: int
    blocks: list[int]
    pins: int = 0
    owned: bool = True


@define(eq=False, repr=False)
class BlockPool:
    """`capacity` blocks of `block_tokens` tokens each, all free at first."""

    capacity: int
    block_tokens: int = 16
    grown: int = field(init=False, default=0)  # blocks ever lent by `extend`
    _free: list[int] = field(init=False, factory=list)  # given back, the latest last
    _untouched: int = field(init=False, default=0)  # blocks from this id on were never lent
    _loans: dict[int, Loan] = field(init=False, factory=dict)
    _lent: int = field(init=False, default=0)

    @property
    def free_blocks(self) -> int:
        return len(self._free) + self.capacity - self._untouched

    @property
    def loans(self) -> int:
        """How many loans are out, those that only pins keep among them."""
        return len(self._loans)

    @property
    def pinned_loans(self) -> int:
        return sum(1 for loan in self._loans.values() if loan.pins)

    def blocks_for(self, tokens: int) -> int:
        """Blocks that hold `tokens` tokens."""
        return -(-tokens // self.block_tokens)

    def lend(self, request_id: int, attempt: int, count: int) -> Loan:
        """A new loan of `count` blocks. Raises PoolExhausted."""
        if count > self.free_blocks:
            raise PoolExhausted(f"{count} blocks asked for, {self.free_blocks} of {self.capacity} free")
        self._lent += 1
        free = self._free
        kept = max(0, len(free) - count)
        taken = free[kept:]
        del free[kept:]
        if len(taken) < count:
            first, self._untouched = self._untouched, self._untouched + count - len(taken)
            taken += range(first, self._untouched)
        loan = Loan(self._lent, request_id, attempt, taken)
        self._loans[loan.number] = loan
        return loan

    def extend(self, loan: Loan) -> int:
        """One more block for a loan that is out; its id. Raises PoolExhausted."""
        if self._free:
            block = self._free.pop()
        elif self._untouched < self.capacity:
            block, self._untouched = self._untouched, self._untouched + 1
        else:
            raise PoolExhausted(f"one block asked for, none of {self.capacity} free")
        loan.blocks.append(block)
        self.grown += 1
        return block

    def pin(self, loan: Loan) -> None:
        """A posted transfer names these blocks: they stay out until `unpin`, whatever becomes of their owner."""
        if self._loans.get(loan.number) is not loan:
            raise UnknownLoan(f"loan {loan.number} is not out and cannot be pinned")
        loan.pins += 1

    def unpin(self, loan: Loan) -> bool:
        """One posted transfer is known to have ended; true when that freed the blocks."""
        if loan.pins == 0:
            raise UnknownLoan(f"loan {loan.number} has no pin to take away")
        loan.pins -= 1
        return self._free_if_idle(loan)

    def give_back(self, loan: Loan) -> bool:
        """The owner lets go; true when that freed the blocks, false while pins keep them. Raises UnknownLoan."""
        if self._loans.get(loan.number) is not loan or not loan.owned:
            raise UnknownLoan(f"loan {loan.number} was given back already")
        loan.owned = False
        return self._free_if_idle(loan)

    def is_current(self, number: int, blocks: tuple[int, ...]) -> bool:
        """Whether these blocks are still lent under that number, so that a write that names it is not stale."""
        loan = self._loans.get(number)
        return loan is not None and set(blocks) <= set(loan.blocks)

    def _free_if_idle(self, loan: Loan) -> bool:
        if loan.owned or loan.pins:
            return False
        del self._loans[loan.number]
        self._free.extend(reversed(loan.blocks))
        return True
