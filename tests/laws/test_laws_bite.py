"""Each law bites: production behaviour is changed in one place, and the law of that name finds it in the record."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from cluster_under_law import Row, judged, scenario_of

from emu.control import commands as c
from emu.control.batch import Slice
from emu.control.blocks import BlockPool, Loan
from emu.control.decode import Decoder
from emu.control.handover import Handover
from emu.control.messages import Assign, Grant, Message, Reserve, Signal
from emu.control.mixed import Scheduler
from emu.control.pools import Load
from emu.control.prefill import PrefillQueue
from emu.control.recovery import Recovery
from emu.control.request import Move, Request
from emu.control.request import Sequence as DecodingSequence
from emu.control.router import Router
from emu.control.standoff import Standoff
from emu.control.transfer import receiver as receiver_module
from emu.control.transfer.receiver import Receiver
from emu.control.transfer.sender import Sender
from emu.control.transfer.states import DestinationEvent
from emu.fake.client import FakeClient
from emu.fake.link import LinkPort
from emu.fake.wire import WirePort
from emu.fake.worker import FakeWorker
from emu.node.hands import Hands
from emu.node.steps import Steps
from emu.policies.scheduling import OwnScheduling
from emu.record import entries as e
from emu.scenario.schema import Network, Scenario, Transfer
from emu.scenario.schema import Router as RouterKeys
from emu.scenario.schema import Scheduler as SchedulerKeys

OWN_POLICIES = Path(__file__).parents[1] / "policies"
Change = Callable[[pytest.MonkeyPatch], None]


def _around(owner: Any, name: str, change: Callable[..., Any]) -> Change:
    """`change(original, self, *args)` instead of the method."""

    def apply(patch: pytest.MonkeyPatch) -> None:
        original = getattr(owner, name)
        patch.setattr(owner, name, lambda *args, **kwargs: change(original, *args, **kwargs))

    return apply


def _both(*changes: Change) -> Change:
    def apply(patch: pytest.MonkeyPatch) -> None:
        for change in changes:
            change(patch)

    return apply


def _late_stamps(_: Any, hands: Any, release: c.Release) -> None:
    hands._write(
        e.Released(
            hands._clock.now() - 10**9,
            hands._index,
            release.request_id,
            release.attempt,
            release.loan,
            release.blocks,
            6,
            -1,
        )
    )


def _instant_wire(_: Any, port: WirePort, machine: int, message: Message) -> None:
    wire = port.wire
    wire.clock.call_at(wire.clock.now_ps, port.salt, lambda: wire.deliver(machine, message))


def _grants_dawdle(original: Any, port: WirePort, machine: int, message: Message) -> None:
    if not isinstance(message, Grant):
        original(port, machine, message)
        return
    wire = port.wire
    wire.clock.call_at(wire.clock.now_ps + 200 * 10**12, port.salt, lambda: wire.deliver(machine, message))


def _ends_twice(original: Any, client: FakeClient, machine: int, end: c.End) -> None:
    original(client, machine, end)
    original(client, machine, end)


def _ends_at_commit(original: Any, hands: Any, commit: c.Commit) -> None:
    original(hands, commit)
    request = Request(commit.message.request_id, 1, 1, 0)
    hands._client.ended(hands._index, c.End(request, 0, "cancelled", "", 1, 0, 0))


def _reserves_for_rejected(original: Any, router: Router, submit: Any, now: int) -> Any:
    commands = original(router, submit, now)
    if isinstance(commands[0], c.Reject):
        return *commands, c.Send(1, Reserve(submit.request, 0, router.pools.loads[1].assigned + 1, 0, now))
    return commands


def _back_to_front(original: Any, sender: Sender, transfer: Any, layers: tuple[int, int]) -> c.Put:
    put = original(sender, transfer, layers)
    return put._replace(target_blocks=put.target_blocks[::-1])  # type: ignore[no-any-return]


def _arrives_twice(original: Any, client: FakeClient) -> None:
    index = client.arrived
    original(client)
    client.recorder.write(e.Arrived(client.clock.now_ps, index, client.workload.prompt_tokens[index], 64))


def _assigns_elsewhere(original: Any, port: WirePort, machine: int, message: Message) -> None:
    original(port, 1 - machine if isinstance(message, Assign) else machine, message)


def _one_token_more(original: Any, decoder: Decoder, sequence: DecodingSequence, move: Move) -> None:
    original(decoder, sequence, move)
    sequence.delivered += move is Move.END


def _names_it_twice(original: Any, scheduler: Scheduler, sequence: DecodingSequence) -> DecodingSequence:
    found: DecodingSequence = original(scheduler, sequence)
    scheduler._left.append(sequence.request.request_id)
    return found


def _keeps_context(original: Any, decoder: Decoder, sequence: DecodingSequence, move: Move) -> None:
    context = decoder.context_tokens
    original(decoder, sequence, move)
    decoder.context_tokens = context


def _always_the_latest(_: Any, decoder: Decoder, _most: int) -> DecodingSequence:
    return max(decoder.running.values(), key=lambda s: (s.request.arrived_ps, s.request.request_id))


def _forgets_runs(original: Any, steps: Steps) -> None:
    if steps.run is not None and steps.run.sequences:
        steps.run = None
    original(steps)


def _says_half_the_time(patch: pytest.MonkeyPatch) -> None:
    finish = FakeWorker.finish

    async def short(self: FakeWorker, mail: Any) -> Any:
        ran = await finish(self, mail)
        return ran._replace(first_step_ps=ran.first_step_ps // 2)

    patch.setattr(FakeWorker, "finish", short)


def _same_number(original: Any, pool: BlockPool, request_id: int, attempt: int, count: int) -> Loan:
    pool._lent = 0
    loan: Loan = original(pool, request_id, attempt, count)
    return loan


def _frees_one_more(original: Any, pool: BlockPool, loan: Loan) -> bool:
    freed: bool = original(pool, loan)
    if freed:
        pool._free.append(10**6)
    return freed


def _gives_up_at_once(original: Any, sender: Sender, key: Any, reason: str, now: int) -> Any:
    commands = original(sender, key, reason, now)
    if isinstance(commands[0], c.WatchDrain):
        return sender._abandon(sender.open[key], reason, now)
    return commands


def _signals_half(original: Any, sender: Sender, transfer: Any, now: int) -> c.PostSignal:
    post: c.PostSignal = original(sender, transfer, now)
    return post._replace(signal=post.signal._replace(layers=((0, 39),)))


def _puts_half(original: Any, port: LinkPort, put: c.Put) -> int:
    moved: int = original(port, put._replace(layers=(0, 39)))
    return moved


def _takes_back(_: Any, receiver: Receiver, signal: Signal, _now: int) -> Any:
    incoming = receiver.open[signal.request_id, signal.attempt]
    return None, (receiver._clear(incoming, DestinationEvent.ABANDON, "acknowledged", -1),)


def _jumps_the_line(original: Any, queue: PrefillQueue, sequence: DecodingSequence) -> None:
    original(queue, sequence)
    queue.waiting.rotate(1)


def _last_first(original: Any, receiver: Receiver, reserve: Reserve, blocks: int) -> None:
    original(receiver, reserve, blocks)
    receiver.queue.rotate(1)


def _waits_for_company(original: Any, scheduler: Scheduler) -> tuple[Slice, ...]:
    taken: tuple[Slice, ...] = original(scheduler) if len(scheduler.prefills) > 1 else ()
    return taken


def _never_ages(original: Any, scheduler: Scheduler, prompt_tokens: int, joined: list[Slice]) -> list[Slice]:
    for sequence in scheduler.decoder.running.values():
        sequence.sat_out = 0
    found: list[Slice] = original(scheduler, prompt_tokens, joined)
    return found


def _no_limit(original: Any, queue: PrefillQueue, _tokens_before: int) -> Any:
    return original(queue, 0)


def _nothing(*_: Any) -> Any:
    return ()


def _ignored(*_: Any) -> None:
    return None


FEW: tuple[Row, ...] = ((0, 300, 5), (400, 2100, 20), (900, 700, 1), (1400, 16, 40), (1400, 90, 2))
CROWD: tuple[Row, ...] = tuple((0, 100 + index, 60) for index in range(8))
LONG: tuple[Row, ...] = ((0, 137, 158), (0, 126, 294), (0, 67, 332), (100, 79, 356))
PLAIN = scenario_of()
TIGHT = scenario_of(scheduler=SchedulerKeys(max_preemptions=1))
BLIND = scenario_of(router=RouterKeys(policy="round-robin"), scheduler=SchedulerKeys(max_preemptions=1), max_tokens=400)
ROOMY = scenario_of(router=RouterKeys(policy="round-robin"), scheduler=SchedulerKeys(watermark=0.2))
CROSSED = evolve(
    scenario_of(
        mixed=1,
        router=RouterKeys(prefill_queue_limit_tokens=300),
        scheduler=SchedulerKeys(reserve="max_tokens", watermark=0.1),
    ),
    workload=evolve(PLAIN.workload, max_tokens="exact"),
)
FACING: tuple[Row, ...] = ((0, 20, 70), (0, 5, 300), (0, 300, 40), (100, 30, 40), (0, 1, 50), (0, 100, 80))
STEADY: tuple[Row, ...] = ((0, 30, 60), *((100 + 10 * index, 512, 1) for index in range(40)))


def _takes_the_watermark(_: Any, scheduler: Scheduler, blocks: int) -> bool:
    return blocks <= scheduler.pool.free_blocks


def _gives_up_early(_: Any, scheduler: Scheduler) -> None:
    decoder = scheduler.decoder
    while decoder.due_now() > scheduler.pool.free_blocks:
        sequence = decoder.victim(4)
        loan = sequence.loan
        assert loan is not None
        scheduler._left.append(sequence.request.request_id)
        decoder.leave(sequence, Move.END)
        sequence.loan = None
        scheduler.pool.give_back(loan)
        scheduler.failed.append((sequence, loan.number, len(loan.blocks)))


@frozen
class Bite:
    """A change of production behaviour, where it shows, and the law that must find it."""

    law: str
    change: Change
    scenario: Scenario = PLAIN
    rows: Sequence[Row] = FEW
    kv_blocks: Sequence[int] = ()


BITES = (
    Bite("time-forward", _around(Hands, "_release", _late_stamps)),
    Bite("sent-before-received", _around(WirePort, "send", _instant_wire)),
    Bite("liveness", _around(WirePort, "send", _grants_dawdle), scenario_of(transfer=Transfer(lease_s=1000.0))),
    Bite("ends-once", _around(FakeClient, "ended", _ends_twice)),
    Bite("silent-after-end", _around(Hands, "_commit", _ends_at_commit)),
    Bite(
        "rejected-costs-nothing",
        _around(Router, "_submitted", _reserves_for_rejected),
        scenario_of(router=RouterKeys(queue_limit_requests=1)),
        CROWD,
    ),
    Bite("one-phase", _around(FakeClient, "_arrive", _arrives_twice)),
    Bite("causality", _around(WirePort, "send", _assigns_elsewhere), scenario_of(prefill=2)),
    Bite("causality", _around(FakeWorker, "layer_times", _ignored), rows=((0, 2000, 2),) * 3),
    Bite("all-finish", _around(Handover, "grants", _nothing)),
    Bite("tokens-once", _around(Decoder, "leave", _one_token_more)),
    Bite("batch-members", _around(Scheduler, "_stop", _names_it_twice), rows=CROWD + FEW),
    Bite("context-sum", _around(Decoder, "leave", _keeps_context), rows=FEW + CROWD),
    Bite("preemptions-bounded", _around(Decoder, "victim", _always_the_latest), BLIND, LONG, (200, 53)),
    Bite("steps-never-overlap", _around(Steps, "close", _forgets_runs), rows=CROWD),
    Bite("steps-agree", _says_half_the_time),
    Bite("busy-and-idle", _says_half_the_time),
    Bite(
        "batch-limits", _around(PrefillQueue, "take", lambda take, queue, _: take(queue, 0)), rows=((0, 2000, 2),) * 4
    ),
    Bite("loans-returned-once", _around(BlockPool, "lend", _same_number), rows=((0, 300, 5), (2000, 300, 5))),
    Bite("free-blocks", _around(BlockPool, "_free_if_idle", _frees_one_more)),
    Bite("blocks-fit", _around(Decoder, "_grow", _ignored)),
    Bite(
        "no-write-after-free",
        _around(Sender, "give_up", _gives_up_at_once),
        scenario_of(network=Network(bandwidth_factor=0.001)),
        ((0, 2000, 1),),
    ),
    Bite(
        "commit-exact",
        _both(
            _around(Sender, "_signal", _signals_half),
            lambda patch: patch.setattr(receiver_module, "whole", lambda _: ((0, 39),)),
        ),
    ),
    Bite("bytes-landed", _around(LinkPort, "put", _puts_half)),
    Bite("reservation-kept", _around(Receiver, "signalled", _takes_back)),
    Bite("first-come-prefill", _around(PrefillQueue, "add", _jumps_the_line), rows=((0, 2000, 2),) * 4),
    Bite(
        "bounded-overtaking",
        _around(OwnScheduling, "next_prompt", lambda _, __, waiting: len(waiting) - 1),
        evolve(
            scenario_of(scheduler=SchedulerKeys(policy="own_policies:Ordered", max_overtaken=1)),
            policies_from=OWN_POLICIES,
        ),
        ((0, 2000, 2),) * 5,
    ),
    Bite("reservation-order", _around(Receiver, "ask", _last_first), BLIND, CROWD, (200, 20)),
    Bite("littles-law", _around(Hands, "_preempt", _ignored), TIGHT, CROWD, (200, 60)),
    Bite("no-idle-with-work", _around(Scheduler, "_take_prompts", _waits_for_company)),
    Bite(
        "bounded-stall",
        _around(Scheduler, "_sit_out", _never_ages),
        scenario_of(0, 0, 1, scheduler=SchedulerKeys(prefill_batch_tokens=512)),
        STEADY,
    ),
    Bite("answers-true", _around(Sender, "_post", _back_to_front)),
    Bite("machines-empty", _around(BlockPool, "give_back", _ignored)),
    Bite("belief-true", _around(Load, "report", _ignored)),
    Bite(
        "machines-home",
        _around(Router, "_come_home", _nothing),
        scenario_of(router=RouterKeys(prefill_queue_limit_tokens=300)),
        CROWD,
    ),
    Bite("no-circular-wait", _around(Standoff, "must_give_way", lambda *_: False), CROSSED, FACING, (25,)),
    Bite("run-closed", _around(Recovery, "ended", _nothing)),
    Bite("watermark-kept", _around(Scheduler, "has_room", _takes_the_watermark), ROOMY, CROWD, (200, 60)),
    Bite("fails-alone", _around(Scheduler, "_make_room", _gives_up_early), TIGHT, CROWD, (200, 60)),
    Bite(
        "source-keeps-what-it-sends",
        _around(Sender, "give_up", _gives_up_at_once),
        scenario_of(network=Network(bandwidth_factor=0.001)),
        ((0, 2000, 1),),
    ),
    Bite(
        "policy-contract",
        _around(OwnScheduling, "next_prompt", lambda _, own, __: own._index("next_prompt", len, (), 0)),
        evolve(scenario_of(scheduler=SchedulerKeys(policy="own_policies:Ordered")), policies_from=OWN_POLICIES),
        ((0, 2000, 2),) * 4,
    ),
)


@pytest.mark.parametrize("bite", BITES, ids=lambda bite: bite.law)
def test_a_law_bites(bite: Bite, monkeypatch: pytest.MonkeyPatch) -> None:
    clean, broken = judged(bite.scenario, bite.rows, bite.kv_blocks)
    assert broken == (), "without the change all laws hold"
    bite.change(monkeypatch)
    checker, broken = judged(bite.scenario, bite.rows, bite.kv_blocks)
    assert bite.law in {violation.law for violation in broken}
    assert clean.checked == checker.checked


def test_every_law_has_its_bite() -> None:
    checker, _ = judged(PLAIN, ())
    assert {bite.law for bite in BITES} == set(checker.checked)
