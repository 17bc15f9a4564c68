"""Machine: everything that one machine decides, as one core.

It joins the machine-level scheduler, the block pool and both ends of the transfer protocol, and gives them one shape:
`handle(event, now) -> commands`, and `next_batch(now)`. Waiting, sending and measuring are the node's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, field

from emu.control.attempts import Attempts
from emu.control.batch import InStep, StepResult
from emu.control.blocks import BlockPool
from emu.control.commands import Command, End, Preempt, Report, Send
from emu.control.handover import Handover
from emu.control.machine_events import Drained, Event, Mismatch, Plan, PutFailed, Tick, Unwanted
from emu.control.machine_rules import MachineRules
from emu.control.messages import (
    UNADMITTED,
    Abandon,
    Acknowledge,
    Assign,
    Audit,
    Cancel,
    Ended,
    Garbled,
    Grant,
    Heartbeat,
    Inquire,
    Inventory,
    LoadReport,
    Offer,
    Reserve,
    Signal,
    SourceGone,
    Unknown,
    Welcome,
    Wreck,
)
from emu.control.mixed import Scheduler
from emu.control.orders import Orders
from emu.control.parts import MachineParts
from emu.control.request import Phase, Sequence
from emu.control.standoff import Standoff
from emu.control.transfer.getting import Fetching
from emu.control.transfer.leases import spans
from emu.control.transfer.receiver import Receiver
from emu.control.transfer.sender import Sender, key_of


@define(eq=False, repr=False)
class Machine:
    """The core of one machine."""

    rules: MachineRules
    parts: MachineParts = field(factory=MachineParts)
    pool: BlockPool = field(init=False)
    scheduler: Scheduler = field(init=False)
    sender: Sender = field(init=False)
    receiver: Receiver = field(init=False)
    attempts: Attempts = field(init=False)
    handover: Handover = field(init=False)
    orders: Orders = field(init=False)
    staying: int = field(init=False, default=0)  # prompts not prefilled yet that will decode here
    look: bool = field(init=False, default=False)  # something may start, or must end, at the next step boundary
    _tried_again: dict[int, None] = field(
        init=False, factory=dict
    )  # requests whose older attempts end at that boundary
    _handlers: dict[type, Callable[[Any, int], tuple[Command, ...]]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        rules, parts = self.rules, self.parts
        self.pool = parts.pool(rules.kv_blocks, rules.block_tokens)
        self.scheduler = parts.scheduler(self.pool, rules.scheduler, rules.index)
        times = spans(rules.lease_ps, rules.max_flight_ps, rules.clock_error_ppm)
        ends, leases = (rules.index, rules.layers, self.pool), (parts.leases(rules.lease_ps) for _ in range(2))
        if rules.get:
            self.sender = parts.offering(*ends, next(leases), times)
            self.receiver = parts.fetching(*ends, next(leases), times)
        else:
            self.sender = parts.sender(*ends, next(leases), times, rules.completions_lost)
            self.receiver = parts.receiver(*ends, next(leases), times)
        self.attempts = parts.attempts(rules.index, self.pool, self.scheduler, self.sender, self.receiver)
        held = (self.pool, self.scheduler, self.sender, self.receiver, self.attempts)
        self.handover = Handover(rules, *held, Standoff(rules.index, rules.lease_ps))
        self.orders = Orders(UNADMITTED if rules.incarnation else 0)
        self._handlers = {
            Assign: self._assigned,
            Reserve: self._reserve_asked,
            Grant: lambda grant, now: self.sender.granted(grant, now),
            Signal: self.handover.signalled,
            Acknowledge: self._acknowledged,
            Abandon: self.handover.abandoned,
            Offer: self.handover.offered,
            Heartbeat: self.handover.heard,
            Unknown: self.handover.unknown,
            StepResult: self._stepped,
            Drained: self.handover.drained,
            PutFailed: self.handover.put_failed,
            Garbled: lambda event, now: self.sender.garbled(event, now),
            Mismatch: self.handover.mismatched,
            Tick: self.handover.ticked,
            Unwanted: lambda event, now: self.attempts.cancelled(event, now),
            Cancel: self._cancelled,
            SourceGone: self._source_gone,
            Audit: self._audited,
            Welcome: self._welcomed,
            Inquire: self._inquired,
        }

    @property
    def has_transfers(self) -> bool:
        """Whether heartbeats and sweeps are due."""
        return bool(self.sender.open or self.receiver.open or self.sender.early or self.receiver.early)

    @property
    def has_work(self) -> bool:
        """Whether anything is prefilled or decoded here, or waits for that."""
        scheduler = self.scheduler
        return bool(scheduler.decoding or scheduler.prefills or scheduler.prefilling)

    def handle(self, event: Event, now: int) -> tuple[Command, ...]:
        """What follows from `event`. Raises IllegalMove, IllegalTransition or CommitMismatch: bugs, all of them."""
        return self._handlers[type(event)](event, now)

    def next_batch(self, now: int) -> Plan:
        """The batch to run from now on, if any, with what comes before it and what goes with it."""
        scheduler = self.scheduler
        self.look = False
        before = self._end_older(now) if self._tried_again else ()
        if self.receiver.queue:
            before += self.handover.grants(now)
        batch = scheduler.next_batch()
        if scheduler.preempted or scheduler.failed:
            before += tuple(self._gave_way(now))
            if batch is None:  # what a failed sequence had is free, and nobody would look again
                before += self.handover.grants(now)
        if batch is None:
            return Plan(before, None, (), scheduler.gone, tuple(scheduler.decoder.grown))
        after: tuple[Command, ...] = ()
        if batch.prefills:
            for sequence in scheduler.prefilling:
                if sequence.peer != self.rules.index and not sequence.delivered:
                    after += self.sender.started(sequence, batch.layer_wise, now)
        return Plan(before, batch, after)

    def at_death(self, steps_done: int | None, now: int) -> tuple[InStep, tuple[Command, ...]]:
        """Who was in the step that ends this process, so many steps into a batch (None: no step does), as its next
        process finds it written down, and its last words. What a process that nobody has taken in yet found there
        itself is still to be told."""
        if not self.orders.admitted:
            return self.rules.found, ()
        if steps_done is None:
            return (), ()
        found, rules = self.scheduler.in_step(steps_done), self.rules
        return found, (Report(Wreck(rules.index, rules.incarnation + 1, found, now)),)

    def settle(self, steps_done: int) -> None:
        """To be called before blocks are asked for in the middle of a leap, of which so many steps are done."""
        self.scheduler.decoder.settle(steps_done)

    def load_report(self, now: int, steps_done: int) -> LoadReport:
        """What the machine has `steps_done` steps into its running batch; changes nothing."""
        scheduler, receiver = self.scheduler, self.receiver
        decoder = scheduler.decoder
        prefilling = recomputing = 0
        for sequence in scheduler.prefilling:
            if sequence.delivered:
                recomputing += 1
            else:
                prefilling += sequence.request.prompt_tokens
        unsettled = steps_done - decoder.settled
        grown = decoder.blocks_due(decoder.steps + 1, unsettled) if unsettled > 0 else 0
        return LoadReport(
            self.rules.index,
            self.orders.counted,
            now,
            scheduler.prefills.queued_tokens + prefilling,
            len(self.sender.open),
            scheduler.decoding + recomputing + len(receiver.open) + self.staying,
            self.pool.free_blocks - grown - receiver.queued_blocks,
            self.rules.incarnation,
            self.orders.epoch,
        )

    def admits(self, message: Assign | Reserve) -> bool:
        """Whether the router sent this to the machine as it is now, for the first time, and has not cancelled it."""
        if not self.orders.are_new(message.epoch, message.number):
            return False
        barred = self.attempts.barred
        return not barred or (message.request.request_id, message.attempt) not in barred

    def _assigned(self, assign: Assign, now: int) -> tuple[Command, ...]:
        self._take_in(assign)
        request = assign.request
        sequence = Sequence(request, assign.attempt, Phase.QUEUED, assign.decode_machine)
        if self.scheduler.blocks_wanted(sequence) > self.pool.capacity:
            rejected = self._over(sequence, "rejected", "prompt_too_long", 0, 0, now)
            if assign.decode_machine == self.rules.index:
                return rejected
            abandon = Abandon(request.request_id, assign.attempt, self.rules.index, "prompt_too_long", now)
            return *rejected, Send(assign.decode_machine, abandon)
        prefills = self.scheduler.prefills
        self.look |= not prefills  # else it waits behind one that cannot start, and what lets that one start says so
        prefills.add(sequence)
        if assign.decode_machine == self.rules.index:
            self.staying += 1
        else:
            self.sender.begin(sequence)
        return ()

    def _take_in(self, message: Assign | Reserve) -> None:
        """Only the newest attempt of a request goes on here: the router's word that the others are over may be lost.
        They end between steps."""
        if message.attempt or message.number <= self.orders.counted:
            self._tried_again[message.request.request_id] = None
            self.look = True
        self.orders.count(message.number)

    def _end_older(self, now: int) -> tuple[Command, ...]:
        older = [key for request_id in self._tried_again for key in self.attempts.older(request_id)]
        self._tried_again.clear()
        return self._cancelled(Cancel(tuple(older), now, self.term), now) if older else ()

    def _reserve_asked(self, reserve: Reserve, now: int) -> tuple[Command, ...]:
        self._take_in(reserve)
        request = reserve.request
        self.receiver.ask(reserve, self.scheduler.blocks_to_decode(request.prompt_tokens, request.max_tokens))
        if isinstance(self.receiver, Fetching):
            self.receiver.await_offer((request.request_id, reserve.attempt), now)
            return ()
        granted = self.handover.grants(now)
        if granted:
            self.look |= self.scheduler.decoder.too_long()
        return granted

    def _acknowledged(self, acknowledge: Acknowledge, now: int) -> tuple[Command, ...]:
        released = self.sender.acknowledged(acknowledge, now)
        if released:
            self.look |= bool(self.scheduler.prefills or self.receiver.queue)
        return released

    @property
    def term(self) -> int:
        """Of the router that this machine obeys."""
        return self.orders.term

    def _inquired(self, inquire: Inquire, now: int) -> tuple[Command, ...]:
        """A router has taken over: it, and no older one, numbers its messages to this machine from now on."""
        if inquire.term < self.term:
            return ()
        if inquire.term > self.term:
            self.orders.obey(inquire.term)
        report = self.load_report(now, self.scheduler.decoder.settled)
        return (Report(Inventory(self.rules.index, report, self.attempts.holdings(), now)),)

    def announce(self, cancel: Cancel) -> None:
        """It has come, and waits for the end of the step under way, which is not to begin a hand-over that it ends."""
        if cancel.term >= self.term:
            self.sender.unwanted.update(filter(self.sender.open.__contains__, cancel.attempts))

    def _source_gone(self, message: SourceGone, now: int) -> tuple[Command, ...]:
        return self.attempts.source_gone(message, now) if message.term >= self.term else ()

    def _cancelled(self, message: Cancel, now: int) -> tuple[Command, ...]:
        if message.term < self.term:
            return ()
        commands = self.attempts.cancelled(message, now)
        self.sender.unwanted.clear()
        self._count_staying()
        return commands

    def _audited(self, message: Audit, now: int) -> tuple[Command, ...]:
        if message.term < self.term:
            return ()
        self.orders.told_of(message.number)
        return self.attempts.audited(message, now)

    def _welcomed(self, welcome: Welcome, now: int) -> tuple[Command, ...]:
        """Declared dead, and back: what is here is others' work by now."""
        if welcome.epoch <= self.orders.epoch:
            return ()  # the same welcome again
        commands = self.attempts.dropped(now)
        self._count_staying()
        if not self.orders.admitted:
            commands += (Report(Wreck(self.rules.index, self.rules.incarnation, self.rules.found, now)),)
        self.orders.begin(welcome.epoch, welcome.number)
        return commands

    def _count_staying(self) -> None:
        here, waiting = self.rules.index, self.scheduler.prefills.waiting
        self.staying = sum(sequence.peer == here for sequence in waiting)

    def _gave_way(self, now: int) -> Iterator[Command]:
        scheduler = self.scheduler
        for sequence, loan, blocks in scheduler.preempted:
            yield Preempt(sequence.request.request_id, sequence.attempt, sequence.told, loan, blocks)
        scheduler.preempted.clear()
        for sequence, loan, blocks in scheduler.failed:
            yield from self._over(sequence, "failed", "kv_capacity", loan, blocks, now)
        scheduler.failed.clear()

    def _stepped(self, result: StepResult, now: int) -> tuple[Command, ...]:
        outcome = self.scheduler.finish(result)
        commands: tuple[Command, ...] = ()
        for sequence in outcome.prefilled:
            if sequence.phase is Phase.HANDING_OVER:
                if not self.sender.may_put(sequence, now):
                    key = key_of(sequence)
                    commands += self.attempts.give_up(key, "lease_expired", now)
                    commands += (self.attempts.lost(key, "lease_expired", now),)
                    continue
                commands += self.sender.computed(sequence, now)
            elif sequence.peer == self.rules.index and sequence.delivered == 1:
                self.staying -= 1
        for sequence in outcome.stopped:
            commands += self._end(sequence, "completed", "", now)
        return commands

    def _end(self, sequence: Sequence, status: str, reason: str, now: int) -> tuple[Command, ...]:
        """The request is over here; what a transfer still holds goes back by the transfer's own rules."""
        loan, key = sequence.loan, key_of(sequence)
        if key in self.sender.open:
            end, report = self._over(sequence, status, reason, 0, 0, now)
            return end, *self.sender.give_up(key, reason or status, now), report
        if loan is None:
            return self._over(sequence, status, reason, 0, 0, now)
        self.pool.give_back(loan)
        return self._over(sequence, status, reason, loan.number, len(loan.blocks), now)

    def _over(
        self, sequence: Sequence, status: str, reason: str, loan: int, blocks: int, now: int
    ) -> tuple[Command, ...]:
        request, attempt = sequence.request, sequence.attempt
        end = End(request, attempt, status, reason, sequence.told, loan, blocks)
        return end, Report(Ended(request.request_id, attempt, self.rules.index, status, now))
