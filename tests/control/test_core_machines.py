"""State machines of the router's side and of a machine's queues: each core beside a model too naive to be wrong."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from emu.control.batch import Kind, StepResult
from emu.control.blocks import BlockPool
from emu.control.commands import Send
from emu.control.messages import Assign, Ended, LoadReport, Reserve, Submit
from emu.control.mixed import Scheduler, SchedulerRules
from emu.control.placement import occupied, pending, policy
from emu.control.pools import Member, Pool, Pools
from emu.control.request import Phase, Request, Sequence
from emu.control.router import Router, RouterRules
from emu.control.transfer.leases import Key, Leases

BLOCKS = 100
KEYS = st.tuples(st.integers(0, 4), st.integers(0, 1))
MACHINES = st.integers(0, 4)


class LeasesAndModel(RuleBasedStateMachine):
    """The model is a deadline for each key, and time that only goes forward."""

    def __init__(self) -> None:
        super().__init__()
        self.leases, self.deadlines, self.now = Leases(10), dict[Key, int](), 0

    @rule(by=st.integers(0, 7))
    def time_passes(self, by: int) -> None:
        self.now += by

    @rule(key=KEYS)
    def one_is_granted(self, key: Key) -> None:
        self.leases.grant(key, self.now)
        self.deadlines[key] = self.now + 10

    @rule(keys=st.lists(KEYS))
    def some_are_renewed(self, keys: list[Key]) -> None:
        self.leases.renew(keys, self.now)
        self.deadlines |= {key: self.now + 10 for key in keys if self.deadlines.get(key, self.now) > self.now}

    @rule(key=KEYS)
    def one_ends(self, key: Key) -> None:
        self.leases.end(key)
        self.deadlines.pop(key, None)

    @rule()
    def they_are_swept(self) -> None:
        expired = {key for key, deadline in self.deadlines.items() if deadline <= self.now}
        assert set(self.leases.sweep(self.now)) == expired
        for key in expired:
            del self.deadlines[key]

    @invariant()
    def the_same_are_out(self) -> None:
        assert len(self.leases) == len(self.deadlines)
        assert all(key in self.leases for key in self.deadlines)


class PoolsAndModel(RuleBasedStateMachine):
    """The model keeps what each machine last reported and every assignment since, and sorts all machines each time."""

    @initialize(homes=st.lists(st.sampled_from(Pool), min_size=1, max_size=5))
    def built(self, homes: list[Pool]) -> None:
        members = tuple(Member(machine, home, BLOCKS) for machine, home in enumerate(homes))
        self.pools = Pools(members, (pending, occupied))
        self.serves, self.home = list(homes), list(homes)
        self.reported = [(0, 0, BLOCKS) for _ in homes]
        self.since: list[list[tuple[int, int, int, int]]] = [[] for _ in homes]
        self.number = [0 for _ in homes]

    def one(self, machine: int) -> int:
        return machine % len(self.home)

    @rule(machine=MACHINES, tokens=st.integers(0, 9), sequences=st.integers(0, 1), blocks=st.integers(0, 9))
    def something_is_assigned(self, machine: int, tokens: int, sequences: int, blocks: int) -> None:
        load = self.pools.loads[self.one(machine)]
        number = load.assign(tokens, sequences, blocks)
        self.pools.changed(load)
        self.number[load.machine] += 1
        assert number == self.number[load.machine]
        self.since[load.machine].append((number, tokens, sequences, blocks))

    @rule(machine=MACHINES, counted=st.integers(0, 3), tokens=st.integers(0, 9), free=st.integers(-5, BLOCKS))
    def one_reports(self, machine: int, counted: int, tokens: int, free: int) -> None:
        load = self.pools.loads[self.one(machine)]
        left = self.since[load.machine]
        upto = left[min(counted, len(left)) - 1][0] if counted and left else (left[0][0] - 1 if left else 0)
        load.report(LoadReport(load.machine, upto, 7, tokens, 0, 2, free))
        self.pools.changed(load)
        self.reported[load.machine] = (tokens, 2, free)
        self.since[load.machine] = [each for each in left if each[0] > upto]

    @rule(machine=MACHINES, pool=st.sampled_from(Pool))
    def one_moves(self, machine: int, pool: Pool) -> None:
        load = self.pools.loads[self.one(machine)]
        self.pools.move(load, pool, 0)
        self.serves[load.machine] = pool

    @rule(machine=MACHINES, pool=st.sampled_from(Pool))
    def one_changes_its_home(self, machine: int, pool: Pool) -> None:
        load = self.pools.loads[self.one(machine)]
        last = self.home.count(self.home[load.machine]) == 1
        assert self.pools.rehome(load, pool, 0) is not last
        if not last:
            self.home[load.machine] = pool

    @invariant()
    def beliefs_are_reports_and_what_came_since(self) -> None:
        for load, (tokens, sequences, free) in zip(self.pools.loads, self.reported, strict=True):
            since = self.since[load.machine]
            assert load.pending_tokens == tokens + sum(each[1] for each in since)
            assert load.sequences == sequences + sum(each[2] for each in since)
            assert load.free_blocks == free - sum(each[3] for each in since)

    @invariant()
    def the_first_of_each_pool_is_the_least(self) -> None:
        for pool in Pool:
            there = [load for load in self.pools.loads if self.serves[load.machine] is pool]
            assert self.pools.machines(pool) == [load.machine for load in there]
            for rank in (pending, occupied):
                first = self.pools.first(pool, rank)
                expected = min(there, key=lambda load, rank=rank: (rank(load), load.machine), default=None)  # type: ignore[misc]
                assert first is expected
        assert self.pools.away == sum(a is not b for a, b in zip(self.serves, self.home, strict=True))


class RouterAndModel(RuleBasedStateMachine):
    """Machines that count what they are sent: when all of it is over and reported, the router believes in nothing."""

    @initialize(
        homes=st.sampled_from(((Pool.PREFILL, Pool.DECODE), (Pool.PREFILL, Pool.PREFILL, Pool.DECODE, Pool.MIXED))),
        name=st.sampled_from(("splitwise", "token-jsq", "jsq", "round-robin", "random")),
        limit=st.sampled_from((0, 3)),
    )
    def built(self, homes: tuple[Pool, ...], name: str, limit: int) -> None:
        members = tuple(Member(machine, home, BLOCKS) for machine, home in enumerate(homes))
        self.router = Router(members, RouterRules(policy(name, 1000), queue_limit_requests=limit))
        self.limit, self.now = limit, 0
        self.sent: list[list[Any]] = [[] for _ in homes]
        self.open: set[int] = set()
        self.submitted = 0

    @rule(prompt_tokens=st.integers(1, 1700), draw=st.integers(0, 2**32 - 1))
    def one_arrives(self, prompt_tokens: int, draw: int) -> None:
        self.now += 1
        request = Request(self.submitted, prompt_tokens, 50, self.now)
        self.submitted += 1
        commands = self.router.handle(Submit(request, draw), self.now)
        messages = [command for command in commands if isinstance(command, Send)]
        if not messages:
            assert (prompt_tokens + 1 > 16 * BLOCKS) or (self.limit and len(self.open) >= self.limit)
            return
        assert not self.limit or len(self.open) < self.limit
        self.open.add(request.request_id)
        for command in messages:
            assert isinstance(command.message, Assign | Reserve)
            self.sent[command.machine].append(command.message)
            assert command.message.number == len(self.sent[command.machine])

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def one_ends(self, data: st.DataObject) -> None:
        self.now += 1
        request = data.draw(st.sampled_from(sorted(self.open)))
        self.open.remove(request)
        self.router.handle(Ended(request, 0, 0, "completed", self.now), self.now)

    @rule()
    def all_report_what_is_open(self) -> None:
        self.now += 1
        for machine, messages in enumerate(self.sent):
            there = [message for message in messages if message.request.request_id in self.open]
            prompts = sum(message.request.prompt_tokens for message in there if isinstance(message, Assign))
            decodes = sum(isinstance(message, Reserve) or message.decode_machine == machine for message in there)
            report = LoadReport(machine, len(messages), self.now, prompts, 0, decodes, BLOCKS - len(there))
            self.router.handle(report, self.now)
        if not self.open:
            for load in self.router.pools.loads:
                assert (load.pending_tokens, load.sequences, load.free_blocks) == (0, 0, BLOCKS)
                assert load.pool is load.home

    @invariant()
    def what_is_open_is_open(self) -> None:
        assert set(self.router.open) == self.open


class SchedulerAndModel(RuleBasedStateMachine):
    """One machine that does both phases. The model counts tokens, blocks and turns, and knows no wheel and no sums."""

    @initialize(
        blocks=st.integers(4, 14),
        batch_tokens=st.sampled_from((4, 12, 100)),
        width=st.sampled_from((1, 2, 8)),
        most=st.integers(0, 2),
    )
    def built(self, blocks: int, batch_tokens: int, width: int, most: int) -> None:
        self.pool = BlockPool(blocks, 4)
        rules = SchedulerRules(
            prefill_batch_tokens=batch_tokens, decode_batch=width, max_preemptions=most, watermark=0.0
        )
        self.scheduler, self.width, self.batch_tokens = Scheduler(self.pool, rules, 0), width, batch_tokens
        self.tokens: dict[int, int] = {}  # delivered
        self.asked: dict[int, tuple[int, int]] = {}
        self.in_line: list[int] = []  # prompts, in the order in which they came
        self.number = 0

    @rule(prompt=st.integers(1, 20), most=st.integers(1, 12))
    def a_prompt_comes(self, prompt: int, most: int) -> None:
        sequence = Sequence(Request(self.number, prompt, most, self.number), 0, Phase.QUEUED, 0)
        if self.scheduler.blocks_wanted(sequence) > self.pool.capacity:
            return
        self.scheduler.prefills.add(sequence)
        self.asked[self.number], self.tokens[self.number] = (prompt, most), 0
        self.in_line.append(self.number)
        self.number += 1

    @rule(share=st.integers(0, 3), stops=st.booleans())
    def a_batch_runs(self, share: int, stops: bool) -> None:
        scheduler = self.scheduler
        batch = scheduler.next_batch()
        for sequence, _, _ in scheduler.preempted:
            assert self.tokens[sequence.request.request_id] == sequence.delivered
        for sequence, _, held in scheduler.failed:
            assert held + self.pool.free_blocks == self.pool.capacity
            del self.tokens[sequence.request.request_id]
        scheduler.preempted.clear()
        scheduler.failed.clear()
        if batch is None:
            assert not scheduler.decoder.running
            return
        fresh = [piece.request_id for piece in batch.prefills if piece.kind is Kind.PREFILL]
        assert fresh == self.in_line[: len(fresh)], "first come, first served"
        del self.in_line[: len(fresh)]
        assert batch.prompt_tokens <= self.batch_tokens or len(batch.prefills) == 1
        assert batch.sequences == len(scheduler.decoder.running) <= self.width
        running = list(scheduler.decoder.running)
        assert batch.context_tokens == sum(self.asked[r][0] + self.tokens[r] for r in running)
        steps = 1 if batch.prefills else max(1, batch.max_steps >> share)
        for request in running:
            self.tokens[request] += steps
        for piece in batch.prefills:
            self.tokens[piece.request_id] += 1
        stopped = tuple(running[:1]) if stops else ()
        outcome = scheduler.finish(StepResult(steps, stopped))
        over = {sequence.request.request_id for sequence in outcome.stopped}
        done = {request for request, tokens in self.tokens.items() if tokens >= self.asked[request][1]}
        assert over == {*stopped, *done}
        for sequence in outcome.stopped:
            assert sequence.delivered == self.tokens.pop(sequence.request.request_id)
            assert sequence.loan is not None
            self.pool.give_back(sequence.loan)

    @invariant()
    def nobody_is_lost(self) -> None:
        scheduler = self.scheduler
        assert len(scheduler.prefills) - len(scheduler.prefills.preempted) == len(self.in_line)
        assert scheduler.decoding == len(self.tokens) - len(self.in_line)
        assert scheduler.prefills.queued_tokens == sum(self.asked[request][0] for request in self.in_line)

    @invariant()
    def every_running_sequence_has_blocks_for_what_it_holds(self) -> None:
        held = 0
        for request, sequence in self.scheduler.decoder.running.items():
            assert sequence.loan is not None
            held += len(sequence.loan.blocks)
            cached = self.asked[request][0] + self.tokens[request] - 1  # the last token is not cached yet
            assert 4 * len(sequence.loan.blocks) >= cached
        assert held <= self.pool.capacity - self.pool.free_blocks


BRIEF = settings(max_examples=60, stateful_step_count=30, deadline=None)


TestLeases = LeasesAndModel.TestCase
TestLeases.settings = BRIEF
TestPools = PoolsAndModel.TestCase
TestPools.settings = BRIEF
TestRouter = RouterAndModel.TestCase
TestRouter.settings = BRIEF
TestScheduler = SchedulerAndModel.TestCase
TestScheduler.settings = BRIEF
