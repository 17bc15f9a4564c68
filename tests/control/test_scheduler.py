"""What holds of Scheduler, whatever comes: blocks, places, limits, ageing, preemption and leaps."""

from attrs import evolve
from hypothesis import event, given, settings
from hypothesis import strategies as st
from scheduler_flight import DEEDS, HERE, RULES, Arrived, Ask, Assigned, Deed, Flight, Run

from emu.control.batch import Batch, Kind, StepResult
from emu.control.blocks import BlockPool
from emu.control.mixed import Scheduler, SchedulerRules
from emu.control.request import Phase, Request, Sequence

steady = settings(deadline=None, derandomize=True)


unhurried = settings(deadline=None, derandomize=True, max_examples=200)


def queued(number: int, prompt_tokens: int, max_tokens: int = 1000) -> Sequence:
    return Sequence(Request(number, prompt_tokens, max_tokens, number), 0, Phase.QUEUED, HERE)


def next_batch(scheduler: Scheduler) -> Batch:
    batch = scheduler.next_batch()
    assert batch is not None
    return batch


@unhurried
@given(RULES, st.integers(4, 40), st.integers(2, 8), DEEDS)
def test_everything_that_comes_ends_and_nothing_is_lost(
    rules: SchedulerRules, capacity: int, block_tokens: int, deeds: list[Deed]
) -> None:
    """The invariants are the flight's; at the end every request is over and the pool is whole."""
    flight = Flight(rules, capacity, block_tokens)
    for deed in deeds:
        flight.do(deed)
    flight.land()
    event("preempted" if flight.preemptions else "none preempted")
    event("failed" if any(status == "failed" for status, _ in flight.ended.values()) else "none failed")
    for request_id, (status, delivered) in flight.ended.items():
        assert delivered == flight.output[request_id] or status != "completed"


@unhurried
@given(RULES, st.integers(4, 40), st.integers(2, 8), DEEDS)
def test_leaping_is_the_same_as_stepping(
    rules: SchedulerRules, capacity: int, block_tokens: int, deeds: list[Deed]
) -> None:
    leaping = Flight(evolve(rules, max_steps=0), capacity, block_tokens)
    stepping = Flight(evolve(rules, max_steps=1), capacity, block_tokens)
    for deed in [*deeds, Run(200)]:
        leaping.do(deed)
        stepping.do(deed)
        assert leaping.picture() == stepping.picture()


@unhurried
@given(RULES, st.integers(4, 40), st.integers(2, 8), DEEDS)
def test_reserving_max_tokens_never_grows_nor_preempts(
    rules: SchedulerRules, capacity: int, block_tokens: int, deeds: list[Deed]
) -> None:
    flight = Flight(evolve(rules, reserve_max_tokens=True), capacity, block_tokens)
    for deed in deeds:
        flight.do(deed)
    flight.land()
    assert (flight.preemptions, flight.scheduler.pool.grown) == (0, 0)
    assert all(status != "failed" for status, _ in flight.ended.values())


@steady
@given(st.integers(1, 200), st.integers(0, 200), st.integers(0, 250), st.sampled_from((0.0, 0.01, 0.1)))
def test_newcomers_leave_the_watermark_free_unless_nothing_is_lent(
    capacity: int, lent: int, blocks: int, watermark: float
) -> None:
    scheduler = Scheduler(BlockPool(capacity), SchedulerRules(watermark=watermark), HERE)
    lent = min(lent, capacity)
    if lent:
        scheduler.pool.lend(1, 0, lent)
        assert scheduler.has_room(blocks) is (capacity - lent - blocks >= int(capacity * watermark))
    else:
        assert scheduler.has_room(blocks) is (blocks <= capacity)


@settings(deadline=None, derandomize=True, max_examples=20)
@given(st.integers(1, 512), st.integers(1, 5))
def test_a_long_prompt_on_a_busy_machine_is_in_the_next_batch(decoding: int, steps: int) -> None:
    """4,096 tokens do not fit beside anybody under the limit of 2,048, and yet they wait for one step at most."""
    flight = Flight(SchedulerRules(), 40_000, 16)
    for _ in range(decoding):
        flight.do(Arrived(Ask(100, 1000, 900)))
    flight.run(steps)
    sequence = queued(10_000, 4096)
    flight.scheduler.prefills.add(sequence)
    batch = next_batch(flight.scheduler)
    assert [piece.request_id for piece in batch.prefills] == [10_000]
    assert batch.sequences == 0
    assert sorted(batch.left) == sorted(flight.alive), "those who sit out have left the batch"
    flight.scheduler.finish(StepResult(1, ()))
    assert sequence.delivered == 1
    assert next_batch(flight.scheduler).sequences == min(512, decoding + 1)


def test_decodes_beside_a_stream_of_long_prompts_ride_every_fifth_batch() -> None:
    """Ageing: after four batches that a decode sat out, the fifth takes it though prompts fill the limit."""
    scheduler = Scheduler(BlockPool(10_000), SchedulerRules(max_preemptions=4), HERE)
    sequence = queued(0, 100)
    scheduler.prefills.add(sequence)
    rode = []
    for number in range(1, 12):
        batch = next_batch(scheduler)
        rode.append(batch.sequences)
        scheduler.finish(StepResult(1, ()))
        waiting = queued(number, 4096)
        waiting.peer = 1
        scheduler.prefills.add(waiting)
    assert rode == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]


def test_the_oldest_decodes_ride_first() -> None:
    scheduler = Scheduler(BlockPool(1000), SchedulerRules(prefill_batch_tokens=10), HERE)
    for number in (2, 0, 1):
        scheduler.decoder.ready.append(
            Sequence(Request(number, 5, 50, number), 0, Phase.READY, HERE, scheduler.pool.lend(number, 0, 1), 1)
        )
    scheduler.prefills.add(queued(9, 8))
    assert sorted(piece.request_id for piece in next_batch(scheduler).joined) == [0, 1]


def test_alone_with_the_whole_pool_a_sequence_fails() -> None:
    flight = Flight(SchedulerRules(watermark=0.0), 4, 4)
    flight.do(Assigned(Ask(7, 100, 50), stays=True))
    flight.do(Run(100))
    assert flight.ended == {1: ("failed", 10)}, "16 tokens of cache: the prompt, nine fed back, and no room for more"


def test_a_preempted_sequence_is_recomputed_with_all_that_was_delivered() -> None:
    """Two sequences grow in a pool for one and a half: the later one gives way and comes back whole."""
    scheduler = Scheduler(BlockPool(6, 4), SchedulerRules(watermark=0.0), HERE)
    first, second = queued(1, 7), queued(2, 7)
    scheduler.prefills.add(first)
    scheduler.prefills.add(second)
    batch = next_batch(scheduler)
    while not scheduler.preempted:
        scheduler.finish(StepResult(batch.max_steps if batch.sequences else 1, ()))
        batch = next_batch(scheduler)
    assert [(sequence, held) for sequence, _, held in scheduler.preempted] == [(second, 3)]
    assert (second.phase, second.delivered, second.loan, second.preemptions) == (Phase.QUEUED, 6, None, 1)
    scheduler.finish(StepResult(1, (1,)))
    assert first.loan is not None
    scheduler.pool.give_back(first.loan)
    (piece,) = next_batch(scheduler).prefills
    assert (piece.request_id, piece.first, piece.count, piece.kind) == (2, 0, 13, Kind.RECOMPUTE)
    scheduler.finish(StepResult(1, ()))
    assert second.delivered == 7
    (joined,) = next_batch(scheduler).joined
    assert (joined.first, joined.count, joined.kind) == (13, 1, Kind.DECODE)


def test_a_batch_is_unchanged_only_where_the_last_one_goes_on() -> None:
    """After a prefill whose cache leaves, the decodes that rode beside it go on, but in another batch."""
    scheduler = Scheduler(BlockPool(1000), SchedulerRules(), HERE)
    scheduler.prefills.add(queued(1, 100))
    next_batch(scheduler)
    scheduler.finish(StepResult(1, ()))
    assert next_batch(scheduler).changed
    scheduler.finish(StepResult(3, ()))
    assert not next_batch(scheduler).changed
    scheduler.finish(StepResult(3, ()))
    leaving = queued(2, 100)
    leaving.peer = 1
    scheduler.prefills.add(leaving)
    assert next_batch(scheduler).changed
    scheduler.finish(StepResult(1, ()))
    assert next_batch(scheduler).changed
