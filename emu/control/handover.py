"""Handover: both ends of the hand-overs of one machine, with the blocks that they wait for.

It joins the sender, the receiver and the attempts that hang on them. Which prompts run, and whose orders are taken, is
the machine's; how one transfer moves from state to state is the sender's and the receiver's.
"""

from __future__ import annotations

from attrs import define, field

from emu.control.attempts import Attempts
from emu.control.blocks import BlockPool
from emu.control.commands import Command
from emu.control.machine_events import Drained, Mismatch, PutFailed, Tick
from emu.control.machine_rules import MachineRules
from emu.control.messages import Abandon, Heartbeat, Offer, Signal, Unknown
from emu.control.mixed import Scheduler
from emu.control.request import Phase
from emu.control.standoff import Standoff
from emu.control.transfer.chunks import LayerRange
from emu.control.transfer.getting import READ_NO_MORE, Fetching, Offering
from emu.control.transfer.leases import Key
from emu.control.transfer.receiver import Receiver
from emu.control.transfer.sender import Sender, key_of
from emu.control.transfer.states import Destination, Source


@define(eq=False, repr=False)
class Handover:
    """That of one machine, over parts that the machine owns."""

    rules: MachineRules
    pool: BlockPool
    scheduler: Scheduler
    sender: Sender
    receiver: Receiver
    attempts: Attempts
    standoff: Standoff
    recall: Standoff = field(init=False)  # of blocks that were granted

    def __attrs_post_init__(self) -> None:
        self.recall = Standoff(self.rules.index, self.rules.lease_ps)

    def grants(self, now: int) -> tuple[Command, ...]:
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
            for key in receiver.lapsed(now):
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

    def signalled(self, signal: Signal, now: int) -> tuple[Command, ...]:
        sequence, commands = self.receiver.signalled(signal, now)
        if sequence is not None:
            self.scheduler.decoder.ready.append(sequence)
        return commands

    def offered(self, offer: Offer, now: int) -> tuple[Command, ...]:
        request, receiver = offer.request, self.receiver
        if not isinstance(receiver, Fetching) or (request.request_id, offer.attempt) in self.attempts.barred:
            return ()
        return receiver.offered(offer, now) + self.grants(now)

    def abandoned(self, message: Abandon, now: int) -> tuple[Command, ...]:
        """The other end's last word: nothing more is put there, or read from here."""
        key = (message.request_id, message.attempt)
        transfer = self.sender.open.get(key)
        if transfer is None:
            return () if message.reason == READ_NO_MORE else self.receiver.abandoned(message, now)
        commands: tuple[Command, ...] = ()
        if transfer.state is Source.COMPUTED:
            commands = self.attempts.give_up(key, "abandoned", now)
        return commands + self.sender.drained(key, now) if transfer.state is Source.DRAINING else commands

    def put_failed(self, failed: PutFailed, now: int) -> tuple[Command, ...]:
        key = (failed.request_id, failed.attempt)
        if key in self.sender.open:
            return self.sender.put_again(key, now, failed.layers)
        return self._read_again(key, now, failed.layers)

    def mismatched(self, mismatch: Mismatch, now: int) -> tuple[Command, ...]:
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

    def drained(self, drained: Drained, now: int) -> tuple[Command, ...]:
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

    def heard(self, heartbeat: Heartbeat, now: int) -> tuple[Command, ...]:
        return self.sender.heard(heartbeat, now) + self.receiver.heard(heartbeat, now)

    def unknown(self, message: Unknown, now: int) -> tuple[Command, ...]:
        end = self.sender if isinstance(self.sender, Offering) else self.receiver
        return end.unknown(message, now)

    def ticked(self, _: Tick, now: int) -> tuple[Command, ...]:
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
            commands += self.drained(Drained(*key, self.sender.open[key].puts), now)
        if self.rules.completions_lost and isinstance(self.receiver, Fetching):
            for key in self.receiver.overdue(now):
                commands += self._read_again(key, now)
            for key in self.receiver.lapsed(now):
                commands += (*self.receiver.give_up(key, now), self.attempts.lost(key, "lease_expired", now))
        if self.receiver.queue and self.sender.open:
            commands += self._give_way(now)
        if self.scheduler.prefills.preempted and self.receiver.leases and not self.rules.get:
            commands += self._take_back(now)
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

    def _take_back(self, now: int) -> tuple[Command, ...]:
        """Blocks granted to a cache whose prompt may wait elsewhere, behind one that waits as the first here does."""
        scheduler, key = self.scheduler, next(iter(self.receiver.leases))
        if scheduler.decoder.running or scheduler.decoder.ready or scheduler.prefilling:
            return ()
        peer, head = self.receiver.open[key].reserve.prefill_machine, scheduler.prefills.preempted[0]
        if not self.recall.must_give_way(key, peer, key_of(head), False, now):
            return ()
        return *self.receiver.give_up(key, now), self.attempts.lost(key, "gave_way", now)
