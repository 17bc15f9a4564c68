"""The clock: one heap, one winner a wait, and an order that does not depend on who started first."""

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from emu.fake.clock import HeapClock
from emu.node.mailbox import Mailbox, MailboxOverflow

PS_PER_S = 10**12


def run(clock: HeapClock, *tasks: Callable[[], Awaitable[None]]) -> None:
    """Run `tasks` until nothing can happen any more."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for task in tasks:
                nursery.start_soon(task)
            await clock.starved()
            nursery.cancel_scope.cancel()

    trio.run(main, clock=clock)


def test_time_jumps_from_entry_to_entry_and_never_back() -> None:
    clock = HeapClock()
    seen: list[int] = []
    for at_ps in (50, 10, 30, 10):
        clock.call_at(at_ps, 0, lambda: seen.append(clock.now()))
    run(clock)
    assert seen == [10, 10, 30, 50]


def test_what_one_sender_does_at_one_instant_keeps_its_order() -> None:
    for interleaving in range(20):
        clock = HeapClock(interleaving)
        salt, seen = clock.salt("sender"), list[int]()
        for number in range(10):
            clock.call_at(7, salt, partial(seen.append, number))
        run(clock)
        assert seen == list(range(10))


def test_interleaving_seeds_order_ties_between_senders() -> None:
    def order(interleaving: int) -> tuple[str, ...]:
        clock, seen = HeapClock(interleaving), list[str]()
        for name in "abcd":
            clock.call_at(7, clock.salt(name), partial(seen.append, name))
        run(clock)
        return tuple(seen)

    assert len({order(seed) for seed in range(20)}) > 1
    assert order(3) == order(3)


@given(st.permutations(["timer", "post", "cancel"]))
def test_a_timer_a_post_and_a_cancel_at_one_instant_have_one_winner(order: list[str]) -> None:
    clock = HeapClock()
    signal = clock.signal("waiter")
    scope = trio.CancelScope()
    woken: list[int] = []

    async def waiter() -> None:
        with scope:
            await signal.wait(100)
            woken.append(clock.now())

    act = {"post": signal.set, "cancel": scope.cancel, "timer": lambda: None}
    for place, what in enumerate(order):
        clock.call_at(100, place, act[what])
    run(clock, waiter)
    assert woken in ([], [100])
    assert scope.cancelled_caught == (woken == [])
    assert clock.wakeups <= 1


def test_the_world_acts_before_tasks_at_one_instant() -> None:
    """A message that is delivered at the instant of a timer is there when the task of that timer runs."""
    for interleaving in range(10):
        clock = HeapClock(interleaving)
        mailbox: Mailbox[str] = Mailbox("box", clock.signal("box"))
        taken: list[tuple[str, ...]] = []

        async def reader(mailbox: Mailbox[str] = mailbox, taken: list[tuple[str, ...]] = taken) -> None:
            await mailbox.signal.wait(100)
            taken.append(mailbox.drain())

        clock.call_at(100, clock.salt("wire"), partial(mailbox.post, "a"))
        clock.call_at(100, clock.salt("wire"), partial(mailbox.post, "b"))
        run(clock, reader)
        assert taken == [("a", "b")]


def test_a_deferred_wait_ends_at_the_boundary_behind_the_post() -> None:
    clock = HeapClock()
    signal = clock.signal("leap")
    ended: list[int] = []

    async def leap() -> None:
        await signal.wait(1000, defer=lambda now: -(-now // 100) * 100)
        ended.append(clock.now())

    clock.call_at(230, 0, signal.set)
    clock.call_at(260, 0, signal.set)
    run(clock, leap)
    assert ended == [300]


def test_a_signal_set_before_the_wait_ends_it_at_once() -> None:
    clock = HeapClock()
    signal = clock.signal("early")
    ended: list[int] = []

    async def waiter() -> None:
        signal.set()
        await signal.wait(500)
        ended.append(clock.now())

    run(clock, waiter)
    assert ended == [0]


def test_periodic_timers_alone_do_not_keep_a_run_going() -> None:
    clock = HeapClock(liveness_ps=10 * PS_PER_S)
    signal = clock.signal("ticker")
    ticks: list[int] = []

    async def ticker() -> None:
        while True:
            await signal.wait(clock.now() + PS_PER_S, periodic=True)
            ticks.append(clock.now())

    run(clock, ticker)
    assert len(ticks) == 10


def test_a_bug_in_the_world_reaches_whoever_runs_it() -> None:
    clock = HeapClock()

    def fail() -> None:
        raise LookupError("the world is broken")

    clock.call_at(5, 0, fail)
    with pytest.RaisesGroup(pytest.RaisesExc(LookupError, match="broken")):
        run(clock)


def test_a_mailbox_has_a_bound() -> None:
    clock = HeapClock()
    mailbox: Mailbox[int] = Mailbox("small", clock.signal("small"), bound=2)
    mailbox.post(1)
    mailbox.post(2)
    with pytest.raises(MailboxOverflow, match="small holds 2"):
        mailbox.post(3)
    assert mailbox.drain() == (1, 2)
