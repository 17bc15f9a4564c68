"""One machine's core, story by story: what it grants, reports, gives up, and what it must not leave lying."""

from hypothesis import given, settings
from hypothesis import strategies as st
from machine_network import Job, Network

from emu.control.batch import StepResult
from emu.control.commands import (
    AttemptOver,
    Command,
    End,
    Lend,
    PostSignal,
    Preempt,
    Put,
    Release,
    Report,
    Send,
    WatchDrain,
)
from emu.control.machine import Machine
from emu.control.machine_events import Drained, Plan, PutFailed, Tick
from emu.control.machine_rules import MachineRules
from emu.control.messages import (
    Abandon,
    Acknowledge,
    Assign,
    Grant,
    Heartbeat,
    Lost,
    Reserve,
    Signal,
    SourceGone,
    Wreck,
)
from emu.control.mixed import SchedulerRules
from emu.control.request import Request
from emu.control.transfer.leases import spans

steady = settings(deadline=None, derandomize=True)


LAYERS, LEASE, HERE, THERE = 4, 1000, 0, 1
FLIGHT = 300
WHOLE = ((0, LAYERS - 1),)


def machine(blocks: int, **rules: float) -> Machine:
    scheduler = SchedulerRules(watermark=0.0, **rules)  # type: ignore[arg-type]
    return Machine(MachineRules(HERE, blocks, LAYERS, LEASE, scheduler, max_flight_ps=FLIGHT))


def assign(number: int, blocks: int, decode: int = HERE, max_tokens: int = 50) -> Assign:
    """A prompt of so many blocks, the last token of the last one left for the first decode step."""
    return Assign(Request(number, 16 * blocks - 1, max_tokens, number), 0, number, decode, 0)


def reserve(number: int, blocks: int) -> Reserve:
    return Reserve(Request(number, 16 * blocks - 1, 50, number), 0, number, THERE, 0)


def grant(number: int, blocks: int) -> Grant:
    return Grant(number, 0, THERE, 77, tuple(range(blocks)), 0)


def lent(commands: tuple[Command, ...]) -> list[int]:
    return [command.message.request_id for command in commands if isinstance(command, Lend)]


def kinds(commands: tuple[Command, ...]) -> list[type]:
    return [type(command) for command in commands]


def begin(core: Machine, *events: Assign | Reserve, now: int = 0) -> Plan:
    """Events, and the step boundary behind them; `before` holds what the events led to as well."""
    commands = tuple(command for event in events for command in core.handle(event, now))
    plan = core.next_batch(now)
    return plan._replace(before=commands + plan.before)


def test_a_short_prompt_is_put_when_it_is_computed() -> None:
    core = machine(10)
    plan = begin(core, assign(1, 2, THERE))
    assert plan.after == ()
    assert core.handle(grant(1, 2), 1) == ()
    assert kinds(core.handle(StepResult(1, ()), 2)) == [Put, PostSignal]
    (release,) = core.handle(Acknowledge(1, 0, THERE, LAYERS, (), 3), 3)
    assert isinstance(release, Release)
    assert core.pool.free_blocks == 10


def test_a_long_prompt_is_put_layer_by_layer_from_its_start() -> None:
    core = machine(100)
    core.handle(assign(1, 40, THERE), 0)
    core.handle(grant(1, 40), 0)
    (put,) = core.next_batch(0).after
    assert isinstance(put, Put)
    assert put.follow
    assert kinds(core.handle(StepResult(1, ()), 2)) == [PostSignal]


def test_a_late_grant_joins_a_prefill_under_way() -> None:
    core = machine(100)
    begin(core, assign(1, 40, THERE))
    (put,) = core.handle(grant(1, 40), 1)
    assert isinstance(put, Put)
    assert put.follow


def test_a_grant_may_overtake_its_assignment() -> None:
    core = machine(100)
    assert core.handle(grant(1, 40), 0) == ()
    assert kinds(begin(core, assign(1, 40, THERE)).after) == [Put]


def test_grants_go_first_come_first_served_and_to_at_most_half_of_the_memory() -> None:
    core = machine(10)
    plan = begin(core, reserve(1, 3), reserve(2, 3), reserve(3, 1))
    assert lent(plan.before) == [1], "the second would promise six of ten, and the third must not overtake it"
    core.handle(Abandon(1, 0, THERE, "given up", 1), 1)
    assert lent(core.next_batch(1).before) == [2, 3]
    assert core.load_report(1, 0).free_blocks == 6


def test_a_reservation_larger_than_half_is_granted_alone() -> None:
    core = machine(10)
    assert lent(begin(core, reserve(1, 9), reserve(2, 1)).before) == [1]


def test_nothing_is_granted_before_a_preempted_sequence_has_its_blocks_back() -> None:
    core = machine(10)
    begin(core, assign(1, 5), assign(2, 4))
    core.handle(StepResult(1, ()), 1)
    core.next_batch(1)
    core.handle(StepResult(1, ()), 2)
    assert kinds(core.next_batch(2).before) == [Preempt]
    assert core.pool.free_blocks == 4
    assert lent(begin(core, reserve(3, 2), now=3).before) == [], "there is room, but somebody was here before"
    core.handle(StepResult(1, (1,)), 4)
    batch = core.next_batch(4).batch
    assert batch is not None
    assert [piece.request_id for piece in batch.prefills] == [2]
    core.handle(StepResult(1, ()), 5)
    assert lent(core.next_batch(5).before) == [3]


def test_queued_reservations_are_granted_when_a_drained_transfer_frees_its_blocks() -> None:
    core = machine(50)
    begin(core, assign(1, 40, THERE))
    core.handle(grant(1, 40), 0)
    commands = core.handle(StepResult(1, (1,)), 1)
    assert WatchDrain(1, 0) in commands
    assert lent(begin(core, reserve(2, 20)).before) == [], "a posted put still reads the blocks"
    assert kinds(core.handle(Drained(1, 0), 2)) == [Release, Send]
    assert lent(core.next_batch(2).before) == [2]


def test_a_completion_that_waited_for_a_step_boundary_says_nothing_of_a_later_put() -> None:
    core = machine(50)
    begin(core, assign(1, 40, THERE))
    core.handle(grant(1, 40), 0)
    core.handle(StepResult(1, ()), 1)
    assert Put in kinds(core.handle(PutFailed(1, 0), 2)), "it goes again"
    assert core.handle(Drained(1, 0, 1), 2) == ()
    assert kinds(core.handle(Drained(1, 0, 2), 3)) == [PostSignal]


def test_a_report_counts_everything_once() -> None:
    core = machine(100)
    begin(core, assign(1, 2, HERE), assign(2, 3, THERE), reserve(3, 4), assign(4, 1, HERE))
    report = core.load_report(9, 0)
    assert (report.machine, report.counted, report.taken_ps) == (HERE, 4, 9)
    assert report.queued_prompt_tokens == 31 + 47 + 15, "prompts under way are not prefilled yet"
    assert report.sequences == 3, "two that will decode here and one that is reserved; the other one leaves"
    assert report.free_blocks == 100 - 2 - 3 - 4 - 1
    core.handle(StepResult(1, (4,)), 10)
    report = core.load_report(10, 0)
    assert (report.queued_prompt_tokens, report.sequences, report.free_blocks) == (0, 2, 91)


def test_reservations_that_wait_are_promised_memory() -> None:
    core = machine(10)
    begin(core, reserve(1, 6), reserve(2, 7))
    assert core.load_report(0, 0).free_blocks == 10 - 6 - 7


@steady
@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.data())
def test_a_report_inside_a_leap_is_the_report_that_stepping_would_give(prompts: list[int], data: st.DataObject) -> None:
    leaping, stepping = machine(60), machine(60, max_steps=1)
    for core in (leaping, stepping):
        begin(core, *(assign(number, blocks) for number, blocks in enumerate(prompts)))
        core.handle(StepResult(1, ()), 1)
    batch = leaping.next_batch(1).batch
    assert batch is not None
    done = data.draw(st.integers(0, batch.max_steps - 1))
    for _ in range(done):
        assert stepping.next_batch(1).batch is not None
        stepping.handle(StepResult(1, ()), 1)
    stepping.next_batch(1)
    before = repr(leaping.pool)
    assert leaping.load_report(5, done) == stepping.load_report(5, 0)
    assert repr(leaping.pool) == before, "a report changes nothing"


def test_a_slow_prefill_keeps_its_lease_and_a_cache_that_nobody_asks_for_is_lost() -> None:
    core = machine(10)
    begin(core, assign(1, 2, THERE))
    assert core.handle(Tick(), LEASE) == (), "our own step is slow, nobody has gone silent"
    core.handle(StepResult(1, ()), LEASE)
    core.handle(Heartbeat(THERE, ((1, 0),), 2 * LEASE - 1), 2 * LEASE - 1)
    assert core.handle(Tick(), 2 * LEASE) == (), "its destination still wants it"
    over, release, abandon, report = core.handle(Tick(), 3 * LEASE)
    assert over == AttemptOver(1, 0, "lease_expired", 1, 0, 0), "the request itself may go on elsewhere"
    assert kinds((release, abandon)) == [Release, Send]
    assert report == Report(Lost(1, 0, 0, "lease_expired", 3 * LEASE))
    assert (core.pool.free_blocks, core.has_transfers) == (10, False)


def test_a_reservation_whose_source_goes_silent_is_free_with_its_lease() -> None:
    """It may write for a while since it asked, and all of that has ended by then."""
    core = machine(10)
    begin(core, reserve(1, 2))
    (answer,) = core.handle(Heartbeat(THERE, ((1, 0),), 490), 500)
    assert answer == Send(THERE, Heartbeat(HERE, ((1, 0),), 500, answers_ps=490))
    core.handle(Tick(), 500 + LEASE - 1)
    assert core.pool.free_blocks == 8
    *_, lost, release = core.handle(Tick(), 500 + LEASE)
    assert lost == Report(Lost(1, 0, 0, "lease_expired", 500 + LEASE))
    assert isinstance(release, Release)
    assert (release.reason, core.pool.free_blocks, core.has_transfers) == ("quarantined", 10, False)


def test_a_reservation_that_is_given_up_is_fenced_and_freed_by_its_sources_last_word() -> None:
    core = machine(10)
    begin(core, reserve(1, 2))
    core.handle(SourceGone(((1, 0),), 5), 5)
    assert core.pool.free_blocks == 8, "a write may still be in flight"
    (release,) = core.handle(Abandon(1, 0, THERE, "given up", 9), 10)
    assert isinstance(release, Release)
    assert (core.pool.free_blocks, core.has_transfers) == (10, False)


def test_a_prompt_that_can_never_fit_is_rejected() -> None:
    core = machine(10)
    end, report = core.handle(assign(1, 11), 0)
    assert isinstance(end, End)
    assert (end.status, end.reason, end.delivered) == ("rejected", "prompt_too_long", 0)
    assert isinstance(report, Report)
    assert core.load_report(0, 0).sequences == 0


def test_a_rejected_prompt_gives_up_its_reservation() -> None:
    commands = machine(10).handle(assign(1, 11, THERE), 0)
    assert [send.machine for send in commands if isinstance(send, Send)] == [THERE]


def test_after_a_failure_those_who_waited_for_its_memory_run() -> None:
    core = machine(4)
    begin(core, assign(1, 4))
    core.handle(StepResult(1, ()), 1)
    begin(core, assign(2, 4))
    core.handle(StepResult(1, ()), 2)
    plan = core.next_batch(3)
    assert any(isinstance(command, End) and command.reason == "kv_capacity" for command in plan.before)
    assert plan.batch is not None, "the machine sleeps, with room for the request in its queue"


def test_an_acknowledgement_behind_an_expired_lease_is_heard() -> None:
    core = machine(10)
    begin(core, assign(1, 2, THERE))
    core.handle(grant(1, 2), 0)
    core.handle(StepResult(1, ()), 1)
    assert WatchDrain(1, 0) in core.handle(Tick(), 1 + LEASE)
    core.handle(Acknowledge(1, 0, THERE, LAYERS, (), 2 + LEASE), 2 + LEASE)


def test_a_signal_behind_an_abandonment_is_silent() -> None:
    core = machine(10)
    (lend,) = begin(core, reserve(1, 2)).before
    assert isinstance(lend, Lend)
    core.handle(Abandon(1, 0, THERE, "lease_expired", 1), 1)
    assert core.handle(Signal(1, 0, THERE, lend.message.loan, WHOLE, lend.message.blocks), 2) == ()


def test_an_abandonment_may_overtake_its_reservation() -> None:
    core = machine(10)
    core.handle(Abandon(1, 0, THERE, "completed", 0), 0)
    begin(core, reserve(1, 2))
    for now in range(1, 9):
        core.handle(Tick(), now * LEASE)
    assert core.pool.free_blocks == 10


def test_a_signal_for_a_fenced_reservation_is_its_last_word() -> None:
    core = machine(10)
    (lend,) = begin(core, reserve(1, 2)).before
    assert isinstance(lend, Lend)
    core.handle(SourceGone(((1, 0),), 5), 5)
    (release,) = core.handle(Signal(1, 0, THERE, lend.message.loan, WHOLE, lend.message.blocks), 6)
    assert isinstance(release, Release)
    assert (core.pool.free_blocks, core.has_transfers) == (10, False)


def test_a_fenced_reservation_whose_source_is_gone_is_free_after_a_quarantine() -> None:
    core = machine(10)
    begin(core, reserve(1, 2))
    core.handle(Heartbeat(THERE, ((1, 0),), 3), 3)
    core.handle(SourceGone(((1, 0),), 5), 5)
    assert core.handle(Heartbeat(THERE, ((1, 0),), 6), 6) == (), "it may not write any more"
    assert core.pool.free_blocks == 8, "a write may still be in flight"
    hold_ps = spans(LEASE, FLIGHT).hold_ps
    assert hold_ps <= LEASE
    assert core.handle(Tick(), 3 + hold_ps - 1) == ()
    (release,) = core.handle(Tick(), 3 + hold_ps)
    assert isinstance(release, Release)
    assert (release.reason, core.pool.free_blocks, core.has_transfers) == ("quarantined", 10, False)


def test_two_machines_that_prefill_for_each_other_do_not_wait_in_a_circle() -> None:
    """Each lends six of ten blocks to a cache that the other cannot compute, since it has lent six of ten blocks."""
    network = Network(10, 4, SchedulerRules(), [0])
    first_at_0 = Job(0, 20, 5, 5, 0, 0)
    network.submit([first_at_0, Job(10, 23, 5, 5, 0, 1), Job(10, 23, 5, 5, 1, 0)])
    network.run()
    assert len(network.ends) == 3


def test_only_the_newest_attempt_of_a_request_goes_on() -> None:
    """The router gave the first one up, and its word of that was lost: it ends with the step under way."""
    core = machine(100)
    begin(core, assign(1, 2))
    again = core.handle(assign(1, 2)._replace(attempt=1, number=2), 1)
    assert again == ()
    core.handle(StepResult(1, ()), 2)
    plan = core.next_batch(2)
    assert [(over.request_id, over.attempt) for over in plan.before if isinstance(over, AttemptOver)] == [(1, 0)]
    assert plan.batch is not None
    assert [(piece.request_id, piece.attempt) for piece in plan.batch.prefills] == [(1, 1)]


def test_a_machine_that_its_step_ends_says_who_was_in_it() -> None:
    core = machine(100)
    assert core.at_death(None, 0) == ((), ())
    begin(core, assign(1, 2), assign(2, 2))
    assert core.at_death(None, 0) == ((), ()), "no step has ended it"
    assert core.at_death(0, 7) == (((1, 0, 0), (2, 0, 0)), (Report(Wreck(HERE, 1, ((1, 0, 0), (2, 0, 0)), 7)),))
    core.handle(StepResult(1, ()), 1)
    core.next_batch(1)
    assert core.at_death(3, 8)[0] == ((1, 0, 4), (2, 0, 4))
    back = Machine(MachineRules(HERE, 100, LAYERS, LEASE, incarnation=1, found=((1, 0, 4),)))
    assert back.at_death(None, 9) == (((1, 0, 4),), ()), (
        "dead again before anybody took it in: what it found is still to be told"
    )


def test_who_leaves_with_no_batch_behind_is_told_at_once() -> None:
    core = machine(100)
    begin(core, assign(1, 2))
    core.handle(StepResult(1, ()), 1)
    assert core.next_batch(1).gone == ()
    core.handle(StepResult(40, (1,)), 2)
    plan = core.next_batch(2)
    assert plan.batch is None
    assert plan.gone == (1,)
