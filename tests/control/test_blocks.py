"""What holds of BlockPool, whatever is lent, pinned and given back, against a model that keeps one owner a block."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from emu.control.blocks import BlockPool, Loan, PoolExhausted, UnknownLoan

steady = settings(deadline=None, derandomize=True)


@define
class Held:
    """What the model knows of a loan that is out."""

    blocks: list[int]
    owned: bool = True
    pins: int = 0


@define
class Model:
    """One owner a block, found by looking at everything."""

    capacity: int
    out: dict[int, Held] = field(factory=dict)

    def free(self) -> set[int]:
        return set(range(self.capacity)) - {block for held in self.out.values() for block in held.blocks}

    def let_go(self, number: int) -> bool:
        held = self.out[number]
        if held.owned or held.pins:
            return False
        del self.out[number]
        return True


class PoolAndModel(RuleBasedStateMachine):
    """The pool and its model take the same steps."""

    loans: Bundle[Loan] = Bundle("loans")

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(0)
        self.model = Model(0)
        self.highest = 0

    @initialize(capacity=st.integers(0, 12))
    def start(self, capacity: int) -> None:
        self.pool, self.model = BlockPool(capacity), Model(capacity)

    @rule(target=loans, request_id=st.integers(0, 5), count=st.integers(0, 5))
    def lend(self, request_id: int, count: int) -> Loan | MultipleResults[Loan]:
        free = self.model.free()
        if count > len(free):
            with self.nothing_changes(), pytest.raises(PoolExhausted):
                self.pool.lend(request_id, 0, count)
            return multiple()
        loan = self.pool.lend(request_id, 0, count)
        assert (loan.request_id, loan.attempt, loan.owned, loan.pins) == (request_id, 0, True, 0)
        assert loan.number > self.highest, "a generation that was given before"
        assert len(set(loan.blocks)) == count
        assert set(loan.blocks) <= free
        self.highest = loan.number
        self.model.out[loan.number] = Held(list(loan.blocks))
        return loan

    @rule(loan=loans)
    def extend(self, loan: Loan) -> None:
        held, free = self.model.out.get(loan.number), self.model.free()
        if held is None or not held.owned:
            return
        if not free:
            with self.nothing_changes(), pytest.raises(PoolExhausted):
                self.pool.extend(loan)
            return
        block = self.pool.extend(loan)
        assert block in free
        held.blocks.append(block)

    @rule(loan=loans)
    def pin(self, loan: Loan) -> None:
        if loan.number in self.model.out:
            self.pool.pin(loan)
            self.model.out[loan.number].pins += 1
        else:
            with self.nothing_changes(), pytest.raises(UnknownLoan):
                self.pool.pin(loan)

    @rule(loan=loans)
    def unpin(self, loan: Loan) -> None:
        held = self.model.out.get(loan.number)
        if held is None or not held.pins:
            with self.nothing_changes(), pytest.raises(UnknownLoan):
                self.pool.unpin(loan)
            return
        held.pins -= 1
        assert self.pool.unpin(loan) is self.model.let_go(loan.number)

    @rule(loan=loans)
    def give_back(self, loan: Loan) -> None:
        held = self.model.out.get(loan.number)
        if held is None or not held.owned:
            with self.nothing_changes(), pytest.raises(UnknownLoan):
                self.pool.give_back(loan)
            return
        held.owned = False
        assert self.pool.give_back(loan) is self.model.let_go(loan.number)

    @precondition(lambda self: self.highest)
    @rule(loan=loans, claimed=st.lists(st.integers(0, 11), max_size=3).map(tuple))
    def ask_who_has_them(self, loan: Loan, claimed: tuple[int, ...]) -> None:
        held = self.model.out.get(loan.number)
        assert self.pool.is_current(loan.number, tuple(loan.blocks)) is (held is not None)
        assert self.pool.is_current(loan.number, claimed) is (held is not None and set(claimed) <= set(held.blocks))
        assert not self.pool.is_current(self.highest + 1, claimed)

    @invariant()
    def counts_are_those_of_the_model(self) -> None:
        out = self.model.out
        assert self.pool.free_blocks == len(self.model.free())
        assert self.pool.loans == len(out)
        assert self.pool.pinned_loans == sum(1 for held in out.values() if held.pins)
        owned = [block for held in out.values() for block in held.blocks]
        assert len(owned) == len(set(owned)), "a block with two owners"

    def teardown(self) -> None:
        """Whatever was out can be taken back, and then the pool is whole and lends every id once."""
        for _ in range(self.pool.free_blocks):
            self.model.out[-1 - len(self.model.out)] = Held(self.pool.lend(9, 9, 1).blocks)
        assert not self.model.free()

    @contextmanager
    def nothing_changes(self) -> Iterator[None]:
        before = self._seen()
        yield
        assert self._seen() == before

    def _seen(self) -> tuple[object, ...]:
        pool = self.pool
        return pool.free_blocks, pool.loans, pool.pinned_loans, pool.grown, repr(pool)


PoolAndModel.TestCase.settings = settings(deadline=None, derandomize=True, max_examples=60, stateful_step_count=40)
TestBlockPool = PoolAndModel.TestCase


@steady
@given(st.integers(0, 10_000), st.integers(1, 64))
def test_blocks_for_is_the_least_number_that_holds_the_tokens(tokens: int, block_tokens: int) -> None:
    blocks = BlockPool(0, block_tokens).blocks_for(tokens)
    assert (blocks - 1) * block_tokens < tokens <= blocks * block_tokens or tokens == blocks == 0


def test_only_growth_is_counted_as_growth() -> None:
    pool = BlockPool(4)
    loan = pool.lend(1, 0, 2)
    pool.extend(loan)
    assert pool.grown == 1


def test_a_pin_outlives_the_owner_and_keeps_the_generation_current() -> None:
    pool = BlockPool(2)
    loan = pool.lend(1, 0, 2)
    pool.pin(loan)
    assert not pool.give_back(loan)
    assert pool.is_current(loan.number, tuple(loan.blocks))
    assert pool.unpin(loan)
    again = pool.lend(2, 0, 2)
    assert set(again.blocks) == set(loan.blocks)
    assert not pool.is_current(loan.number, tuple(loan.blocks)), "a write under the old number would be stale"
