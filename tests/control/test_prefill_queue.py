"""What holds of PrefillQueue: first come, first served, under a limit of tokens that a first prompt may exceed."""

from hypothesis import given, settings
from hypothesis import strategies as st

from emu.control.blocks import BlockPool
from emu.control.prefill import PrefillQueue, tokens_to_compute
from emu.control.request import Phase, Request, Sequence

steady = settings(deadline=None, derandomize=True)


def sequence(number: int, prompt_tokens: int, arrived_ps: int, delivered: int = 0) -> Sequence:
    return Sequence(Request(number, prompt_tokens, 99, arrived_ps), 0, Phase.QUEUED, 0, delivered=delivered)


def batch(queue: PrefillQueue) -> list[Sequence]:
    """As many as one batch takes."""
    taken: list[Sequence] = []
    while (found := queue.take(sum(map(tokens_to_compute, taken)))) is not None:
        taken.append(found)
    return taken


PROMPTS = st.lists(st.integers(1, 60), max_size=20)
BACK = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 9), st.integers(0, 5)), max_size=8)


@steady
@given(PROMPTS, BACK, st.integers(1, 50))
def test_batches_are_the_arrivals_in_order_with_the_preempted_before_them(
    prompts: list[int], preempted: list[tuple[int, int, int]], limit: int
) -> None:
    queue = PrefillQueue(BlockPool(0), limit)
    fresh = [sequence(100 + n, tokens, 10 + n) for n, tokens in enumerate(prompts)]
    back = [sequence(n, tokens, arrived, delivered) for n, (tokens, delivered, arrived) in enumerate(preempted)]
    for waiting in fresh:
        queue.add(waiting)
    for waiting in reversed(back):
        queue.put_back(waiting)
    expected = sorted(back, key=lambda s: (s.request.arrived_ps, s.request.request_id)) + fresh
    assert len(queue) == len(expected)
    while expected:
        assert queue.head() is expected[0]
        assert queue.queued_tokens == sum(s.request.prompt_tokens for s in expected if s in fresh)
        taken = batch(queue)
        assert taken == expected[: len(taken)], "somebody overtook"
        assert len(taken) == 1 or sum(map(tokens_to_compute, taken)) <= limit
        rest = expected[len(taken) :]
        assert not rest or sum(map(tokens_to_compute, [*taken, rest[0]])) > limit, "there was room for one more"
        expected = rest
    assert (queue.head(), queue.take(0), len(queue), queue.queued_tokens) == (None, None, 0, 0)


@steady
@given(st.integers(1, 10**6), st.integers(1, 4096))
def test_the_first_of_a_batch_always_has_room(prompt_tokens: int, limit: int) -> None:
    queue = PrefillQueue(BlockPool(0), limit)
    queue.add(sequence(0, prompt_tokens, 0))
    assert batch(queue)


def test_a_prompt_that_waits_holds_back_those_behind_it() -> None:
    queue = PrefillQueue(BlockPool(0), 100)
    for number, tokens in enumerate((60, 60, 1)):
        queue.add(sequence(number, tokens, number))
    assert [s.request.request_id for s in batch(queue)] == [0]
    assert [s.request.request_id for s in batch(queue)] == [1, 2]


def test_a_preempted_sequence_counts_its_delivered_tokens() -> None:
    queue = PrefillQueue(BlockPool(0), 100)
    queue.put_back(sequence(0, 60, 0, delivered=30))
    queue.add(sequence(1, 11, 1))
    assert queue.queued_tokens == 11
    assert len(batch(queue)) == 1
