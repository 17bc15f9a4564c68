"""What holds of Decoder: a leap of many steps is the same as its steps one by one, and never asks for too much."""

from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.control.blocks import BlockPool
from emu.control.decode import Decoder
from emu.control.request import Move, Phase, Request, Sequence

steady = settings(deadline=None, derandomize=True)


@frozen
class Born:
    """A sequence to decode: it has `delivered` tokens and may have `left` more."""

    prompt_tokens: int
    delivered: int
    left: int
    arrived_ps: int = 0
    preemptions: int = 0


@frozen
class Cast:
    """Some sequences, the size of a block, and the blocks that are free beside theirs."""

    born: tuple[Born, ...]
    block_tokens: int
    spare: int

    def decoder(self) -> Decoder:
        held = [-(-(b.prompt_tokens + b.delivered) // self.block_tokens) for b in self.born]
        pool = BlockPool(sum(held) + self.spare, self.block_tokens)
        decoder = Decoder(pool, len(self.born))
        for number, (born, blocks) in enumerate(zip(self.born, held, strict=True)):
            request = Request(number, born.prompt_tokens, born.delivered + born.left, born.arrived_ps)
            loan = pool.lend(number, 0, blocks)
            sequence = Sequence(request, 0, Phase.READY, 0, loan, born.delivered, preemptions=born.preemptions)
            decoder.join(sequence)
        return decoder


BORN = st.builds(Born, st.integers(1, 40), st.integers(1, 20), st.integers(1, 60), st.integers(0, 3), st.integers(0, 5))
CASTS = st.builds(Cast, st.lists(BORN, min_size=1, max_size=6).map(tuple), st.integers(1, 8), st.integers(0, 30))


def naive_need(decoder: Decoder, step: int) -> int:
    """Blocks that all running sequences hold in step `step`, counted one by one."""
    held = 0
    for sequence in decoder.running.values():
        context = sequence.request.prompt_tokens + sequence.delivered + step - sequence.base_step
        held += decoder.pool.blocks_for(context)
    return held


def naive_max_steps(decoder: Decoder) -> int:
    """The largest leap, by trying each: blocks of its last step free, and nobody past its max_tokens."""
    steps, held = 0, naive_need(decoder, decoder.steps)
    left = min(s.request.max_tokens - decoder.delivered(s) for s in decoder.running.values())
    while steps < left and naive_need(decoder, decoder.steps + steps) - held <= decoder.pool.free_blocks:
        steps += 1
    return steps


def picture(decoder: Decoder) -> dict[str, object]:
    """All that can be seen of a decoder and its pool."""
    return {
        "blocks": {r: (s.loan.number, tuple(s.loan.blocks)) for r, s in decoder.running.items() if s.loan},
        "delivered": {r: decoder.delivered(s) for r, s in decoder.running.items()},
        "context": decoder.context_tokens,
        "steps": decoder.steps,
        "free": decoder.pool.free_blocks,
        "grown": tuple(decoder.grown),
        "due": [decoder.blocks_due(decoder.steps + 1, steps) for steps in range(20)],
    }


@steady
@given(CASTS, st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), max_size=6))
def test_a_leap_is_the_same_as_its_steps(cast: Cast, leaps: list[tuple[int, int]]) -> None:
    leaping, stepping = cast.decoder(), cast.decoder()
    for wish, who in leaps:
        steps = min(wish, leaping.max_steps())
        leaping.advance(steps)
        for step in range(steps):
            if step:
                stepping.grow()
            stepping.advance(1)
        assert picture(leaping) == picture(stepping)
        for decoder in (leaping, stepping):
            for sequence in decoder.full() or [list(decoder.running.values())[who % len(decoder.running)]]:
                assert sequence.loan is not None
                decoder.leave(sequence, Move.END)
                decoder.pool.give_back(sequence.loan)
        if not leaping.running or leaping.blocks_due(leaping.steps, 1) > leaping.pool.free_blocks:
            return
        leaping.grow()
        stepping.grow()
        assert picture(leaping) == picture(stepping)


@steady
@given(CASTS, st.integers(1, 40), st.integers(0, 40))
def test_blocks_due_is_what_a_count_one_by_one_gives(cast: Cast, ahead: int, steps: int) -> None:
    decoder = cast.decoder()
    first = decoder.steps + ahead
    naive = naive_need(decoder, first + steps - 1) - naive_need(decoder, first - 1)
    assert decoder.blocks_due(first, steps) == naive


@steady
@given(CASTS, st.integers(1, 50))
def test_max_steps_is_the_largest_leap_that_fits(cast: Cast, wish: int) -> None:
    decoder = cast.decoder()
    most = decoder.max_steps()
    assert most == naive_max_steps(decoder)
    steps = min(wish, most)
    decoder.advance(steps)
    if steps < most:
        decoder.grow()
        assert decoder.max_steps() == most - steps, "the rest of a leap that was interrupted"


@steady
@given(CASTS, st.integers(1, 60))
def test_the_sums_are_those_of_the_sequences(cast: Cast, wish: int) -> None:
    decoder = cast.decoder()
    decoder.advance(min(wish, decoder.max_steps()))
    running = decoder.running.values()
    assert decoder.context_tokens == sum(decoder.context(sequence) for sequence in running)
    full = [s for s in running if decoder.delivered(s) >= s.request.max_tokens]
    assert sorted(s.request.request_id for s in decoder.full()) == sorted(s.request.request_id for s in full)
    for sequence in list(running):
        decoder.leave(sequence, Move.END)
    assert decoder.context_tokens == 0
    assert decoder.blocks_due(decoder.steps, 100) == 0


@steady
@given(CASTS, st.integers(1, 5))
def test_the_victim_is_the_latest_arrival_that_was_not_preempted_too_often(cast: Cast, limit: int) -> None:
    decoder = cast.decoder()
    order = sorted(
        decoder.running.values(), key=lambda s: (s.preemptions < limit, s.request.arrived_ps, s.request.request_id)
    )
    assert decoder.victim(limit) is order[-1]


@steady
@given(CASTS)
def test_a_decoder_that_does_not_grow_leaps_to_the_next_end(cast: Cast) -> None:
    decoder = Decoder(BlockPool(100, 4), 16, grows=False)
    for number, born in enumerate(cast.born):
        request = Request(number, born.prompt_tokens, born.delivered + born.left, 0)
        decoder.join(Sequence(request, 0, Phase.READY, 0, decoder.pool.lend(number, 0, 1), born.delivered))
    assert decoder.max_steps() == min(born.left for born in cast.born)
    decoder.advance(decoder.max_steps())
    assert (decoder.grown, decoder.pool.grown) == ([], 0)


def test_who_left_and_came_back_to_the_same_end_is_full_once() -> None:
    """A sequence that is recomputed while others make one step reaches max_tokens at the step that it had before."""
    decoder = Cast((Born(3, 1, 4), Born(5, 1, 20)), 4, 20).decoder()
    sequence = decoder.running[0]
    decoder.leave(sequence, Move.PREEMPT)
    decoder.advance(1)
    sequence.phase, sequence.delivered = Phase.READY, sequence.delivered + 1
    decoder.grow()
    assert sequence.loan is not None
    while len(sequence.loan.blocks) * 4 < sequence.request.prompt_tokens + sequence.delivered:
        decoder.pool.extend(sequence.loan)
    decoder.join(sequence)
    decoder.advance(3)
    assert decoder.full() == [sequence]


@steady
@given(CASTS, st.integers(1, 50), st.lists(st.integers(0, 49), max_size=4))
def test_a_settled_leap_is_what_stepping_would_have_left(cast: Cast, wish: int, looks: list[int]) -> None:
    """Wherever somebody looks inside a leap, finished steps are counted and the one under way has its blocks."""
    leaping, stepping = cast.decoder(), cast.decoder()
    steps = min(wish, leaping.max_steps())
    for done in sorted(look % steps for look in looks):
        leaping.settle(done)
        while stepping.steps < done:
            stepping.advance(1)
            stepping.grow()
        assert picture(leaping) == picture(stepping)
    leaping.advance(steps)
    while stepping.steps < steps - 1:
        stepping.advance(1)
        stepping.grow()
    stepping.advance(1)
    assert picture(leaping) == picture(stepping)


@steady
@given(CASTS, st.integers(1, 50), st.integers(0, 49), st.integers(0, 30))
def test_a_leap_is_too_long_when_its_blocks_were_lent_to_another(cast: Cast, wish: int, look: int, lent: int) -> None:
    decoder = cast.decoder()
    steps = min(wish, decoder.max_steps())
    decoder.leap_end = decoder.steps + steps
    decoder.settle(look % steps)
    assert not decoder.too_long()
    decoder.pool.lend(99, 0, min(lent, decoder.pool.free_blocks))
    assert decoder.too_long() == (naive_max_steps(decoder) < steps - look % steps)
