"""The wall clock: what happens in one round happens at one instant, in order, and a run ends when nothing is left.

Its time is that of a counter which goes on by 0.1 ms at every look, so that nothing hangs on how busy a machine is.
"""

from itertools import count

import pytest
import trio

from emu.control.messages import Ended, Heartbeat, LoadReport, Message
from emu.real import clock as clock_module
from emu.real.clock import PS_PER_S, WallClock
from emu.real.reports import WallReports
from emu.real.wire import WallWire

MS = PS_PER_S // 1000
tick = map((100_000).__mul__, count()).__next__


@pytest.fixture(autouse=True)
def even_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_module, "perf_counter_ns", map((100_000).__mul__, count()).__next__)


def run(clock: WallClock, *tasks: object) -> None:
    """These tasks, until the clock starves."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            clock.start()
            for task in tasks:
                nursery.start_soon(task)  # type: ignore[arg-type]
            await clock.starved()
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_timers_fire_in_their_order_and_never_early() -> None:
    clock, fired = WallClock(), []
    for at_ms, name in ((6, "b"), (3, "a"), (6, "c"), (1, "never")):
        entry = clock.call_at(at_ms * MS, lambda name=name, at=at_ms: fired.append((name, clock.now() >= at * MS)))  # type: ignore[misc]
        if name == "never":
            clock.cancel(entry)
    run(clock)
    assert fired == [("a", True), ("b", True), ("c", True)]
    assert clock.now() >= 6 * MS


def test_a_turn_sees_one_instant_however_long_it_takes() -> None:
    clock, seen = WallClock(), []
    signal = clock.signal("task")

    async def task() -> None:
        await signal.wait()
        seen.append(clock.now())
        for _ in range(30):
            tick()
        seen.append(clock.now())

    clock.call_at(MS, signal.set)
    run(clock, task)
    assert len(seen) == 2
    assert seen[0] == seen[1] >= MS


def test_a_wait_ends_once_by_whoever_comes_first() -> None:
    clock, ends = WallClock(), []
    signal = clock.signal("task")

    async def task() -> None:
        await signal.wait(2 * MS)
        ends.append("timer")
        await signal.wait(1000 * MS)
        ends.append("set")
        signal.clear()
        signal.set()
        await signal.wait()
        ends.append("set before")

    clock.call_at(4 * MS, signal.set)
    run(clock, task)
    assert ends == ["timer", "set", "set before"]
    assert clock.now() < 1000 * MS


def test_what_only_repeats_does_not_keep_a_run_going() -> None:
    clock, ticks = WallClock(liveness_ps=5 * MS), []

    def tick() -> None:
        ticks.append(clock.now())
        clock.call_at(clock.now() + 2 * MS, tick, vital=False)

    tick()
    run(clock)
    assert 2 <= len(ticks) <= 5


def test_what_is_under_way_is_waited_for() -> None:
    clock, looks = WallClock(), []

    def look() -> bool:
        looks.append(clock.now())
        return len(looks) < 5

    clock.watch(look)
    run(clock)
    assert len(looks) == 5
    assert looks == sorted(looks)


def test_what_the_world_raises_comes_out() -> None:
    clock = WallClock()
    clock.call_at(MS, lambda: 1 // 0)
    with pytest.RaisesGroup(ZeroDivisionError):
        run(clock)


def test_messages_take_their_time_and_keep_their_order() -> None:
    clock, got = WallClock(), []
    wire = WallWire(
        clock,
        2 * MS,
        lambda machine, message: got.append((machine, message, clock.now())),
        lambda message: got.append((-1, message, clock.now())),
    )
    sent: list[Message] = [Ended(request, 0, 0, "completed", 0) for request in range(3)]
    for message in sent:
        wire.send(1, message)
    wire.report(sent[0])
    wire.send(0, Heartbeat(0, (), 0))
    run(clock)
    assert [(machine, message) for machine, message, _ in got[:4]] == [(1, each) for each in sent] + [(-1, sent[0])]
    assert all(at_ps >= 2 * MS for _, _, at_ps in got)


@pytest.mark.parametrize("every_ms", [2, 0])
def test_reports_arrive_the_latest_of_each_machine(every_ms: int) -> None:
    clock = WallClock()
    reports = WallReports(clock, every_ms * MS, MS, 2)
    collected: list[list[LoadReport]] = []
    for machine in range(2):
        reports.register(machine, lambda at_ps, machine=machine: LoadReport(machine, 0, at_ps, 0, 0, 0, 9))  # type: ignore[misc]
    reports.changing(0)
    clock.call_at(12 * MS, lambda: collected.append(list(reports.collect())))
    clock.call_at(12 * MS, lambda: collected.append(list(reports.collect())))
    run_until(clock, 13)
    first, again = collected
    assert {report.machine for report in first} == ({0, 1} if every_ms else {0})
    assert not again
    for report in first:
        assert 0 <= report.taken_ps <= 12 * MS
        if every_ms:
            assert report.taken_ps >= 6 * MS  # an old one would have been replaced


def run_until(clock: WallClock, at_ms: int) -> None:
    async def main() -> None:
        clock.start()
        await clock.starved(lambda: clock.now() >= at_ms * MS)

    trio.run(main)
