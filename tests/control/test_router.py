"""What holds of the router: numbers that count up, refusals that cost nothing, machines that cross and come home."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.control.commands import Command, MoveMachine, Place, Reject, Send
from emu.control.messages import Assign, Ended, LoadReport, Reserve, Submit
from emu.control.placement import policy
from emu.control.pools import Member, Pool
from emu.control.request import Request
from emu.control.router import Router, RouterRules

steady = settings(deadline=None, derandomize=True)


P, D, M = Pool.PREFILL, Pool.DECODE, Pool.MIXED
BLOCKS = 100
MINUTE = 60 * 10**12


def router(*homes: Pool, **rules: object) -> Router:
    members = tuple(Member(machine, home, BLOCKS) for machine, home in enumerate(homes))
    return Router(members, RouterRules(**rules))  # type: ignore[arg-type]  # each test names its own keys


def submit(number: int, prompt_tokens: int = 160, max_tokens: int = 50, draw: int = 0) -> Submit:
    return Submit(Request(number, prompt_tokens, max_tokens, number), draw)


def idle(machine: int, counted: int, sequences: int = 0, tokens: int = 0) -> LoadReport:
    return LoadReport(machine, counted, 0, tokens, 0, sequences, BLOCKS)


def beliefs(core: Router) -> list[tuple[object, ...]]:
    return [(x.pool, x.home, x.pending_tokens, x.sequences, x.free_blocks, x.assigned) for x in core.pools.loads]


def moves(commands: Sequence[Command]) -> list[MoveMachine]:
    return [command for command in commands if isinstance(command, MoveMachine)]


@steady
@given(
    st.sampled_from(("splitwise", "token-jsq", "jsq", "round-robin", "random")),
    st.lists(st.sampled_from(Pool), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(1, 1800), st.integers(0, 99), st.none() | st.integers(0, 4)), max_size=40),
    st.integers(0, 10),
)
def test_numbers_count_up_and_refusals_cost_nothing(
    name: str, homes: list[Pool], deeds: list[tuple[int, int, int | None]], limit: int
) -> None:
    core = router(*homes, policy=policy(name, 1000), queue_limit_requests=limit)
    numbers = [0] * len(homes)
    for number, (prompt_tokens, draw, reports) in enumerate(deeds):
        if reports is not None:
            core.handle(idle(reports % len(homes), numbers[reports % len(homes)]), number)
        before, open_before = beliefs(core), dict(core.open)
        commands = core.handle(submit(number, prompt_tokens, draw=draw), number)
        if isinstance(commands[0], Reject):
            assert len(commands) == 1
            assert (beliefs(core), core.open) == (before, open_before)
            continue
        assert number in core.open
        sends = [command for command in commands if isinstance(command, Send)]
        for send in sends:
            assert isinstance(send.message, Assign | Reserve)
            numbers[send.machine] += 1
            assert send.message.number == numbers[send.machine]
        check_pair(commands, sends)


def check_pair(commands: Sequence[Command], sends: list[Send]) -> None:
    """A prefill and a decode machine that know of each other, or one machine that does both."""
    (place,) = (command for command in commands if isinstance(command, Place))
    assign, *reserves = sends
    assert isinstance(assign.message, Assign)
    assert (assign.machine, assign.message.decode_machine) == (place.prefill_machine, place.decode_machine)
    assert len(reserves) == (place.prefill_machine != place.decode_machine)
    for reserve in reserves:
        assert isinstance(reserve.message, Reserve)
        assert (reserve.machine, reserve.message.prefill_machine) == (place.decode_machine, place.prefill_machine)
        assert reserve.message.request == assign.message.request


@pytest.mark.parametrize(
    ("prompt_tokens", "max_tokens", "reserves", "fits"),
    [(1599, 999, False, True), (1600, 1, False, False), (1500, 100, True, True), (1500, 101, True, False)],
)
def test_prompts_larger_than_any_pool_are_refused_at_once(
    prompt_tokens: int, max_tokens: int, reserves: bool, fits: bool
) -> None:
    core = router(P, D, reserve_max_tokens=reserves)
    commands = core.handle(submit(1, prompt_tokens, max_tokens), 0)
    assert (Reject(submit(1, prompt_tokens, max_tokens).request, "prompt_too_long") in commands) is not fits


def test_a_prompt_that_the_chosen_machine_can_never_hold_is_refused() -> None:
    core = Router((Member(0, M, 5), Member(1, M, 50)), RouterRules(policy("round-robin")))
    assert core.handle(submit(1, 160), 0) == (Reject(submit(1, 160).request, "prompt_too_long"),)
    assert core.pools.loads[0].assigned == 0


def test_the_queue_limit_counts_open_requests() -> None:
    core = router(M, queue_limit_requests=1)
    core.handle(submit(1), 0)
    assert core.handle(submit(2), 0) == (Reject(submit(2).request, "queue_full"),)
    core.handle(Ended(1, 0, 0, "completed", 5), 5)
    assert not isinstance(core.handle(submit(3), 6)[0], Reject)


def test_no_machine_for_a_phase() -> None:
    core = router(P, policy=policy("jsq"))
    assert core.handle(submit(1), 0) == (Reject(submit(1).request, "no_machine"),)


def borrowed(**rules: object) -> Router:
    """Prefill machine 0 was borrowed, at time 0, since decode machine 2 has no memory; it has work of both kinds."""
    core = router(P, P, D, **rules)
    core.handle(LoadReport(2, 0, 0, 0, 0, 9, 0), 0)
    assert moves(core.handle(submit(1), 0)) == [MoveMachine(0, "mixed", "prefill")]
    core.handle(idle(0, 1, sequences=1, tokens=160), 1)
    return core


def test_a_drained_machine_goes_home_though_it_has_work_of_its_own() -> None:
    core = borrowed()
    assert core.handle(idle(0, 1, sequences=1), 2) == ()
    assert core.handle(idle(0, 1, tokens=160), 3) == (MoveMachine(0, "prefill", "prefill"),)
    assert core.pools.machines(P) == [0, 1]


def test_with_idle_only_an_idle_machine_goes_home() -> None:
    core = borrowed(go_home_idle=True)
    assert core.handle(idle(0, 1, tokens=160), 2) == ()
    assert core.handle(idle(0, 1), 3) == (MoveMachine(0, "prefill", "prefill"),)


def test_an_assignment_that_no_report_counts_keeps_a_machine_from_going_home() -> None:
    core = borrowed()
    core.handle(submit(2), 2)
    assert core.open[2][1:4] == (0, 1, 0), "it decodes on the machine that was borrowed"
    assert core.handle(idle(0, 1), 3) == ()
    assert core.handle(idle(0, 2), 4) == (MoveMachine(0, "prefill", "prefill"),)


def test_a_machine_that_stays_away_gets_another_home() -> None:
    core = borrowed(repurpose_after_ps=MINUTE)
    busy = idle(0, 1, sequences=1, tokens=160)
    assert core.handle(busy, MINUTE - 1) == ()
    assert core.handle(busy, MINUTE) == (MoveMachine(0, "mixed", "decode"),)
    assert core.handle(idle(0, 1, sequences=1), MINUTE + 1) == (MoveMachine(0, "decode", "decode"),)
    assert (core.pools.machines(P), core.pools.machines(D)) == ([1], [0, 2])


def test_the_last_machine_at_home_keeps_its_home() -> None:
    core = router(P, D, repurpose_after_ps=MINUTE)
    core.handle(LoadReport(1, 0, 0, 0, 0, 9, 0), 0)
    core.handle(submit(1), 0)
    assert core.handle(idle(0, 1, sequences=1, tokens=1), 2 * MINUTE) == ()
    assert core.handle(idle(0, 1), 3 * MINUTE) == (MoveMachine(0, "prefill", "prefill"),)


def test_the_end_of_a_request_is_heard_once() -> None:
    core = router(M)
    core.handle(submit(1), 0)
    for _ in range(2):
        assert core.handle(Ended(1, 0, 0, "completed", 5), 5) == ()
    assert core.open == {}
