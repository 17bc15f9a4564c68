"""A sender and a receiver, each inside its machine, on a wire that loses, repeats and reorders what they say."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from emu.control import commands as c
from emu.control.batch import Batch, StepResult
from emu.control.machine import Machine
from emu.control.machine_events import Drained, Event, Tick
from emu.control.machine_rules import MachineRules
from emu.control.messages import Acknowledge, Assign, Cancel, Grant, Heartbeat, Lost, Reserve
from emu.control.mixed import SchedulerRules
from emu.control.request import Request

BLOCKS, BLOCK_TOKENS, LAYERS = 30, 4, 3
TICK, LEASE, FLIGHT = 20_000, 200_000, 60_000
ON_THE_WIRE = LEASE // 8  # no message lives longer
HERE, THERE = 0, 1  # prefills, decodes
MOST = 8  # requests
AT_ONCE = (Assign, Reserve, Grant, Acknowledge, Heartbeat)
ANY = st.integers(0, 99)


class OneWay(RuleBasedStateMachine):
    """Machine HERE prefills for machine THERE. Whatever the wire does, nobody writes where another has blocks.

    What the router says comes at once and in its order.
    """

    def __init__(self) -> None:
        super().__init__()
        rules = SchedulerRules(layer_wise_from_tokens=20)
        self.machines = [
            Machine(MachineRules(index, BLOCKS, LAYERS, LEASE, rules, BLOCK_TOKENS, FLIGHT)) for index in (HERE, THERE)
        ]
        self.batches: list[Batch | None] = [None, None]
        self.mail: list[list[Event]] = [[], []]  # until their steps end
        self.wire: list[tuple[int, int, Event]] = []  # when it was sent, to whom, and what
        self.flying: list[tuple[int, int, c.Put]] = []  # posted when, from which loan
        self.behind: list[tuple[tuple[int, int], c.PostSignal]] = []  # signals behind puts that have not landed
        self.watched: list[tuple[int, int]] = []
        self.committed: set[tuple[int, int]] = set()
        self.requests = self.now = 0

    @precondition(lambda self: self.requests < MOST)
    @rule(prompt=st.integers(1, 40), more=st.integers(1, 6))
    def a_request_is_placed(self, prompt: int, more: int) -> None:
        request = Request(self.requests, prompt, 1 + more, self.now)
        self.requests += 1
        self._deliver(HERE, Assign(request, 0, self.requests, THERE, self.now))
        self._deliver(THERE, Reserve(request, 0, self.requests, HERE, self.now))

    @precondition(lambda self: self.wire)
    @rule(which=ANY)
    def a_message_comes(self, which: int) -> None:
        self._deliver(*self.wire.pop(which % len(self.wire))[1:])

    @precondition(lambda self: self.wire)
    @rule(which=ANY)
    def a_message_is_lost(self, which: int) -> None:
        del self.wire[which % len(self.wire)]

    @precondition(lambda self: self.wire)
    @rule(which=ANY)
    def a_message_comes_and_will_come_again(self, which: int) -> None:
        self._deliver(*self.wire[which % len(self.wire)][1:])

    @rule(machine=st.sampled_from((HERE, THERE)))
    def a_step_ends_and_the_next_begins(self, machine: int) -> None:
        core, batch = self.machines[machine], self.batches[machine]
        if batch is not None:
            self.batches[machine] = None
            self._carry_out(core.handle(StepResult(batch.max_steps, ()), self.now))
        mail, self.mail[machine] = self.mail[machine], []
        for event in mail:
            self._deliver(machine, event)
        plan = core.next_batch(self.now)
        self.batches[machine] = plan.batch
        self._carry_out((*plan.before, *plan.after))

    @precondition(lambda self: self.flying)
    @rule(which=ANY)
    def a_put_lands(self, which: int) -> None:
        self._land(which % len(self.flying))

    @rule()
    def time_passes(self) -> None:
        self.now += TICK
        self.wire = [each for each in self.wire if self.now - each[0] <= ON_THE_WIRE]
        while self.flying and self.now - self.flying[0][0] >= FLIGHT - TICK:
            self._land(0)
        for machine in (HERE, THERE):
            self._carry_out(self.machines[machine].handle(Tick(), self.now))

    @invariant()
    def what_is_being_written_is_nobody_elses(self) -> None:
        for _, loan, put in self.flying:
            assert self.machines[HERE].pool.is_current(loan, put.source_blocks), "its source has let go"
            assert self.machines[THERE].pool.is_current(put.target_loan, put.target_blocks), "its target has let go"

    def teardown(self) -> None:
        """Left in peace, both machines end with everything free."""
        for _ in range((2 + self.requests) * (LEASE + FLIGHT) // TICK):
            if not any(core.has_transfers for core in self.machines) and self.batches == [None, None]:
                break
            while self.wire:
                self._deliver(*self.wire.pop(0)[1:])
            while self.flying:
                self._land(0)
            for machine in (HERE, THERE):
                self.a_step_ends_and_the_next_begins(machine)
            self.time_passes()
        for core in self.machines:
            assert not core.has_transfers
            assert not core.scheduler.prefills
            assert (core.pool.free_blocks, core.pool.loans) == (BLOCKS, 0)

    def _say(self, target: int, event: Event) -> None:
        self.wire.append((self.now, target, event))

    def _deliver(self, machine: int, event: Event) -> None:
        if self.batches[machine] is not None and not isinstance(event, AT_ONCE):
            self.mail[machine].append(event)
            return
        self._carry_out(self.machines[machine].handle(event, self.now))

    def _land(self, index: int) -> None:
        _, _, put = self.flying.pop(index)
        key = put.request_id, put.attempt
        if any((other.request_id, other.attempt) == key for _, _, other in self.flying):
            return
        for signal in [signal for of, signal in self.behind if of == key]:
            self._say(signal.target, signal.signal)
        self.behind = [each for each in self.behind if each[0] != key]
        if key in self.watched:
            self.watched.remove(key)
            self._drained(key)

    def _drained(self, key: tuple[int, int]) -> None:
        transfer = self.machines[HERE].sender.open.get(key)
        if transfer is not None:
            self._deliver(HERE, Drained(*key, transfer.puts))

    def _carry_out(self, commands: tuple[c.Command, ...]) -> None:
        for command in commands:
            match command:
                case c.Send(target, message) | c.Lend(target, message):
                    self._say(target, message)  # type: ignore[arg-type]  # none is the router's
                case c.Commit(target, message):
                    key = message.request_id, message.attempt
                    assert key not in self.committed, "it was committed twice"
                    self.committed.add(key)
                    self._say(target, message)
                case c.Put():
                    loan = self.machines[HERE].sender.open[command.request_id, command.attempt].loan.number
                    self.flying.append((self.now, loan, command))
                case c.PostSignal():
                    self._signal(command)
                case c.WatchDrain(request_id, attempt):
                    self._watch((request_id, attempt))
                case c.Report(Lost(request_id, attempt)):
                    for target in (HERE, THERE):
                        self._say(target, Cancel(((request_id, attempt),), self.now))

    def _signal(self, post: c.PostSignal) -> None:
        key = post.signal.request_id, post.signal.attempt
        if any((put.request_id, put.attempt) == key for _, _, put in self.flying):
            self.behind.append((key, post))
        else:
            self._say(post.target, post.signal)

    def _watch(self, key: tuple[int, int]) -> None:
        if any((put.request_id, put.attempt) == key for _, _, put in self.flying):
            self.watched.append(key)
        else:
            self._drained(key)


TestOneWay = OneWay.TestCase
TestOneWay.settings = settings(max_examples=60, stateful_step_count=50, deadline=None, derandomize=True)
