"""Machine: everything that one machine decides, as one core.

It joins the machine-level scheduler, the block pool and both ends of the transfer protocol, and gives them one shape:
`handle(event, now) -> commands`, and `next_batch(now)`. Waiting, sending and measuring are the node's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, field, frozen

from emu.control.attempts import Attempts
from emu.control.batch import InStep, StepResult
from emu.control.blocks import BlockPool
from emu.control.commands import Command, End, Preempt, Report, Send
from emu.control.machine_events import Drained, Event, Mismatch, Plan, PutFailed, Tick
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
    Welcome,
    Wreck,
)
from emu.control.mixed import Scheduler, SchedulerRules
from emu.control.parts import MachineParts
from emu.control.request import Phase, Sequence
from emu.control.standoff import Standoff
from emu.control.terms import first_epoch, term_of
from emu.control.transfer.chunks import LayerRange
from emu.control.transfer.getting import READ_NO_MORE, Fetching
from emu.control.transfer.leases import Key
from emu.control.transfer.receiver import Receiver
from emu.control.transfer.sender import Sender, key_of
from emu.control.transfer.states import Destination, Source


@frozen(eq=False, repr=False)
class MachineRules:
    """What a machine is told of itself: its index, its pool of blocks, its model's layers, its limits.

    `incarnation` counts the processes that have had this name; `found` is what the one before has left written down of
    the step in which it died. A write that was posted lands within `max_flight_ps`.
    """

    index: int
    kv_blocks: int
    layers: int
    lease_ps: int
    scheduler: SchedulerRules = field(factory=SchedulerRules)
    block_tokens: int = 16
    max_flight_ps: int = 10 * 10**12
    incarnation: int = 0
    get: bool = False  # caches are read by those who decode, not put by those who prefill
    completions_lost: bool = False  # so that what was given up is taken for over after `max_flight_ps`
    found: InStep = ()


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
    epoch: int = field(init=False)  # under which the router takes this machine for alive
    counted: int = field(init=False, default=0)  # the router's latest message that is in the load report
    skipped: set[int] = field(init=False, factory=set)  # its messages before that one that have not come
    staying: int = field(init=False, default=0)  # prompts not prefilled yet that will decode here
    standoff: Standoff = field(init=False)
    look: bool = field(init=False, default=False)  # something may start, or must end, at the next step boundary
    _tried_again: dict[int, None] = field(
        init=False, factory=dict
    )  # requests whose older attempts end at that boundary
    _handlers: dict[type, Callable[[Any, int], tuple[Command, ...]]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        rules, parts = self.rules, self.parts
        self.pool = parts.pool(rules.kv_blocks, rules.block_tokens)
        self.scheduler = parts.scheduler(self.pool, rules.scheduler, rules.index)
        quarantine_ps = rules.lease_ps + rules.max_flight_ps
        flight_ps = rules.max_flight_ps if rules.completions_lost else 0
        ends, leases = (rules.index, rules.layers, self.pool), (parts.leases(rules.lease_ps) for _ in range(2))
        if rules.get:
            self.sender = parts.offering(*ends, next(leases), quarantine_ps)
            self.receiver = parts.fetching(*ends, next(leases), quarantine_ps)
        else:
            self.sender = parts.sender(*ends, next(leases), flight_ps)
            self.receiver = parts.receiver(*ends, next(leases), quarantine_ps)
        self.attempts = parts.attempts(rules.index, self.pool, self.scheduler, self.sender, self.receiver)
        self.standoff = Standoff(rules.index, rules.lease_ps)
        self.epoch = UNADMITTED if rules.incarnation else 0
        self._handlers = {
            Assign: self._assigned,
            Reserve: self._reserve_asked,
            Grant: lambda grant, now: self.sender.granted(grant, now),
            Signal: self._signalled,
            Acknowledge: self._acknowledged,
            Abandon: self._abandoned,
            Offer: self._offered,
            Heartbeat: self._heard,
            StepResult: self._stepped,
            Drained: self._drained,
            PutFailed: self._put_failed,
            Garbled: lambda event, now: self.sender.garbled(event, now),
            Mismatch: self._mismatched,
            Tick: self._ticked,
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

    def handle(self, event: Event, now: int) -> tuple[Command, ...]:
        """What follows from `event`. Raises IllegalMove, IllegalTransition or CommitMismatch: bugs, all of them."""
        return self._handlers[type(event)](event, now)

    def next_batch(self, now: int) -> Plan:
        """The batch to run from now on, if any, with what comes before it and what goes with it."""
        scheduler = self.scheduler
        self.look = False
        before = self._end_older(now) if self._tried_again else ()
        if self.receiver.queue:
            before += self._grants(now)
        batch = scheduler.next_batch()
        if scheduler.preempted or scheduler.failed:
            before += tuple(self._gave_way(now))
            if batch is None:  # what a failed sequence had is free, and nobody would look again
                before += self._grants(now)
        if batch is None:
            return Plan(before, None, (), scheduler.gone, tuple(scheduler.decoder.grown))
        after: tuple[Command, ...] = ()
        if batch.prefills:
            for sequence in scheduler.prefilling:
                if sequence.peer != self.rules.index and not sequence.delivered:
                    after += self.sender.started(sequence, batch.layer_wise, now)
        return Plan(before, batch, after)

    def at_death(self, steps_done: int | None) -> InStep:
        """What it was at, so many steps into a batch (None: nothing ran), as it wrote down where its next process finds
        it. What a process that nobody has taken in yet found there itself is still to be told."""
        if self.epoch == UNADMITTED:
            return self.rules.found
        return () if steps_done is None else self.scheduler.in_step(steps_done)

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
            self.counted,
            now,
            scheduler.prefills.queued_tokens + prefilling,
            len(self.sender.open),
            scheduler.decoding + recomputing + len(receiver.open) + self.staying,
            self.pool.free_blocks - grown - receiver.queued_blocks,
            self.rules.incarnation,
            self.epoch,
        )

    def admits(self, message: Assign | Reserve) -> bool:
        """Whether the router sent this to the machine as it is now, for the first time, and has not cancelled it."""
        number, attempts = message.number, self.attempts
        if message.epoch != self.epoch or (number <= self.counted and number not in self.skipped):
            return False
        return not attempts.barred or (message.request.request_id, message.attempt) not in attempts.barred

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
        if message.attempt or message.number <= self.counted:
            self._tried_again[message.request.request_id] = None
            self.look = True
        self._count(message.number)

    def _end_older(self, now: int) -> tuple[Command, ...]:
        older = [key for request_id in self._tried_again for key in self.attempts.older(request_id)]
        self._tried_again.clear()
        return self._cancelled(Cancel(tuple(older), now, self.term), now) if older else ()

    def _count(self, number: int) -> None:
        """Messages come in the order of their numbers, unless some are late or lost."""
        if number == self.counted + 1:
            self.counted = number
        elif number > self.counted:
            self.skipped.update(range(max(self.counted + 1, number - 1024), number))
            self.counted = number
        else:
            self.skipped.discard(number)

    def _reserve_asked(self, reserve: Reserve, now: int) -> tuple[Command, ...]:
        self._take_in(reserve)
        request = reserve.request
        self.receiver.ask(reserve, self.scheduler.blocks_to_decode(request.prompt_tokens, request.max_tokens))
        if isinstance(self.receiver, Fetching):
            self.receiver.await_offer((request.request_id, reserve.attempt), now)
            return ()
        granted = self._grants(now)
        if granted:
            self.look |= self.scheduler.decoder.too_long()
        return granted

    def _acknowledged(self, acknowledge: Acknowledge, now: int) -> tuple[Command, ...]:
        released = self.sender.acknowledged(acknowledge, now)
        if released:
            self.look |= bool(self.scheduler.prefills or self.receiver.queue)
        return released

    def _grants(self, now: int) -> tuple[Command, ...]:
        """Grant reservations in their order while they fit, with three exceptions.

        A preempted sequence has its blocks back first. Caches that are still to come hold at most half of the pool, so
        that they cannot stop decoding, or one of them more than that. And every prompt that waits here can run beside
        all that is promised: it was assigned before, so no two machines that prefill for each other wait in a circle.
        """
        receiver, scheduler, capacity = self.receiver, self.scheduler, self.pool.capacity
        usable = capacity - scheduler.watermark_blocks  # by a newcomer that is not alone
        granted: list[Command] = []
        if not receiver.queue or scheduler.prefills.preempted:
            return ()
        if isinstance(receiver, Fetching):
            for key in receiver.stale(now):
                granted += (*receiver.give_up(key, now), self.attempts.lost(key, "lease_expired", now))
        own = max((scheduler.blocks_wanted(sequence) for sequence in scheduler.prefills.waiting), default=0)
        while receiver.queue:
            blocks = receiver.queue[0].blocks
            promised = receiver.granted_blocks
            if not scheduler.has_room(blocks) or (own and promised + blocks + own > usable):
                break
            if promised and 2 * (promised + blocks) > capacity:
                break
            granted.append(receiver.lend_next(now))
        return tuple(granted)

    def _signalled(self, signal: Signal, now: int) -> tuple[Command, ...]:
        sequence, commands = self.receiver.signalled(signal, now)
        if sequence is not None:
            self.scheduler.decoder.ready.append(sequence)
        return commands

    def _offered(self, offer: Offer, now: int) -> tuple[Command, ...]:
        request, receiver = offer.request, self.receiver
        if not isinstance(receiver, Fetching) or (request.request_id, offer.attempt) in self.attempts.barred:
            return ()
        blocks = self.scheduler.blocks_to_decode(request.prompt_tokens, request.max_tokens)
        return receiver.offered(offer, blocks, now) + self._grants(now)

    def _abandoned(self, message: Abandon, now: int) -> tuple[Command, ...]:
        """The other end's last word: nothing more is put there, or read from here."""
        key = (message.request_id, message.attempt)
        transfer = self.sender.open.get(key)
        if transfer is None:
            return () if message.reason == READ_NO_MORE else self.receiver.abandoned(message, now)
        commands: tuple[Command, ...] = ()
        if transfer.state is Source.COMPUTED:
            commands = self.attempts.give_up(key, "abandoned", now)
        return commands + self.sender.drained(key, now) if transfer.state is Source.DRAINING else commands

    def _put_failed(self, failed: PutFailed, now: int) -> tuple[Command, ...]:
        key = (failed.request_id, failed.attempt)
        if key in self.sender.open:
            return self.sender.put_again(key, now)
        return self._read_again(key, now)

    def _mismatched(self, mismatch: Mismatch, now: int) -> tuple[Command, ...]:
        signal = mismatch.signal
        if self.rules.get:
            return self._read_again((signal.request_id, signal.attempt), now, mismatch.layers)
        return self.receiver.garbled(signal, mismatch.layers, now)

    def _read_again(self, key: Key, now: int, layers: tuple[LayerRange, ...] = ()) -> tuple[Command, ...]:
        receiver = self.receiver
        if not isinstance(receiver, Fetching) or key not in receiver.open:
            return ()
        wanted = receiver.open[key].state is Destination.GRANTED
        commands = receiver.read_again(key, now, layers)
        if wanted and key not in receiver.open:
            commands += (self.attempts.lost(key, "abandoned", now),)
        return commands

    def _drained(self, drained: Drained, now: int) -> tuple[Command, ...]:
        """Nothing is in flight any more. Whether a cache that was never acknowledged arrived, the other end knows."""
        transfer = self.sender.open.get((drained.request_id, drained.attempt))
        if transfer is None:
            return ()  # the acknowledgement came first
        if drained.put != transfer.puts:
            return ()  # it waited for a step boundary, and another put has been posted since
        sequence, key = transfer.sequence, key_of(transfer.sequence)
        commands = self.sender.drained(key, now)
        if sequence.phase is Phase.HANDING_OVER and key not in self.sender.open:
            commands = *self.attempts.unanswered(sequence, now), *commands
        return commands

    @property
    def term(self) -> int:
        """Of the router that this machine obeys."""
        return term_of(self.epoch)

    def _inquired(self, inquire: Inquire, now: int) -> tuple[Command, ...]:
        """A router has taken over: it, and no older one, numbers its messages to this machine from now on."""
        if inquire.term < self.term:
            return ()
        if inquire.term > self.term:
            self.epoch, self.counted = first_epoch(inquire.term), 0
            self.skipped.clear()
        report = self.load_report(now, self.scheduler.decoder.settled)
        return (Report(Inventory(self.rules.index, report, self.attempts.holdings(), now)),)

    def _source_gone(self, message: SourceGone, now: int) -> tuple[Command, ...]:
        return self.attempts.source_gone(message, now) if message.term >= self.term else ()

    def _cancelled(self, message: Cancel, now: int) -> tuple[Command, ...]:
        if message.term < self.term:
            return ()
        commands = self.attempts.cancelled(message, now)
        self._count_staying()
        return commands

    def _audited(self, message: Audit, now: int) -> tuple[Command, ...]:
        if message.term < self.term:
            return ()
        if message.number > self.counted:
            self._count(message.number)
            self.skipped.add(message.number)
        return self.attempts.audited(message, now)

    def _welcomed(self, welcome: Welcome, now: int) -> tuple[Command, ...]:
        """Declared dead, and back: what is here is others' work by now."""
        if welcome.epoch <= self.epoch:
            return ()  # the same welcome again
        commands = self.attempts.dropped(now)
        self._count_staying()
        if self.epoch == UNADMITTED:
            commands += (Report(Wreck(self.rules.index, self.rules.incarnation, self.rules.found, now)),)
        self.epoch, self.counted = welcome.epoch, welcome.number
        self.skipped.clear()
        return commands

    def _count_staying(self) -> None:
        here, waiting = self.rules.index, self.scheduler.prefills.waiting
        self.staying = sum(sequence.peer == here for sequence in waiting)

    def _heard(self, heartbeat: Heartbeat, now: int) -> tuple[Command, ...]:
        return self.sender.heard(heartbeat, now) + self.receiver.heard(heartbeat, now)

    def _ticked(self, _: Tick, now: int) -> tuple[Command, ...]:
        commands = self.sender.heartbeats(now) + self.receiver.heartbeats(now) + self.sender.watches()
        for key in self.sender.leases.sweep(now):
            if self.sender.early.pop(key, None) is not None:
                continue  # the grant of a transfer that was given up, or never assigned
            sequence = self.sender.open[key].sequence
            if sequence.phase is Phase.PREFILLING:
                self.sender.leases.grant(key, now)  # our own step is slow, nobody has gone silent
            elif self.sender.open[key].state is Source.COMPUTED:
                commands += self.attempts.give_up(key, "lease_expired", now)
                commands += (self.attempts.lost(key, "lease_expired", now),)
            else:
                commands += self.sender.give_up(key, "lease_expired", now)
        for key in self.sender.draining.sweep(now) if self.sender.draining else ():
            commands += self._drained(Drained(*key, self.sender.open[key].puts), now)
        if self.rules.completions_lost and isinstance(self.receiver, Fetching):
            for key in self.receiver.overdue(now):
                commands += self._read_again(key, now)
            for key in self.receiver.stale(now):
                commands += (*self.receiver.give_up(key, now), self.attempts.lost(key, "lease_expired", now))
        if self.receiver.queue and self.sender.open:
            commands += self._give_way(now)
        self.receiver.early.sweep(now)
        self.attempts.barred.sweep(now)
        for key in self.receiver.leases.sweep(now):
            commands += self.receiver.expired(key, now)
            commands += (self.attempts.lost(key, "lease_expired", now),)
        return commands + self.receiver.cleared(now) if self.receiver.fenced else commands

    def _give_way(self, now: int) -> tuple[Command, ...]:
        """A cache that waits for blocks elsewhere, where somebody waits for those it has, does not wait for ever."""
        ready = (key for key, transfer in self.sender.open.items() if transfer.state is Source.COMPUTED)
        key, head = next(ready, None), self.receiver.queue[0].reserve
        if key is None:
            return ()
        peer = self.sender.open[key].sequence.peer
        busy = self.rules.get or bool(self.scheduler.decoder.running or self.scheduler.prefilling)  # it may be read now
        if not self.standoff.must_give_way(key, peer, (head.request.request_id, head.attempt), busy, now):
            return ()
        return *self.attempts.give_up(key, "gave_way", now), self.attempts.lost(key, "gave_way", now)

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
