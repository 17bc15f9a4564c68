"""Attempts: how a machine gives up attempts of requests that will go on elsewhere, or not at all.

The router says which: those that it has cancelled, those whose prefill machine is gone, or, to a machine that it had
declared dead, all of them; and, since its word of that may be lost, clients that take no more of their tokens. Whatever
a transfer still holds goes back by the transfer's own rules. To be asked between steps, when nothing that the worker
runs is given up under it.
"""

from __future__ import annotations

from attrs import define, field

from emu.control.blocks import BlockPool
from emu.control.commands import AttemptOver, Command, Report
from emu.control.machine_events import Unwanted
from emu.control.messages import Audit, Cancel, Doubt, Holding, Lost, SourceGone
from emu.control.mixed import Scheduler
from emu.control.request import Move, Phase, Sequence
from emu.control.transfer.leases import Key, Leases
from emu.control.transfer.receiver import Receiver
from emu.control.transfer.sender import Sender, key_of
from emu.control.transfer.states import Destination, Source


@define(eq=False, repr=False)
class Attempts:
    """All attempts on machine `here`."""

    here: int
    pool: BlockPool
    scheduler: Scheduler
    sender: Sender
    receiver: Receiver
    barred: Leases = field(init=False)  # attempts that were cancelled here before they came

    def __attrs_post_init__(self) -> None:
        self.barred = Leases(self.sender.leases.duration_ps)

    def cancelled(self, message: Cancel | Unwanted, now: int) -> tuple[Command, ...]:
        """Give back all that these attempts hold here, whatever phase they are in."""
        commands: tuple[Command, ...] = ()
        for key in message.attempts:
            if not self.knows(key):
                self.barred.grant(key, now)
            commands += self.give_up(key, "cancelled", now)
        return commands

    def decoding(self) -> tuple[Key, ...]:
        """Those whose tokens go to their clients from here, or will."""
        there = (*self.scheduler.everyone(), *self.scheduler.aside())
        return tuple(key_of(sequence) for sequence in there if sequence.peer == self.here and sequence.delivered)

    def audited(self, message: Audit, now: int) -> tuple[Command, ...]:
        """Of an attempt that is not known here, its decode machine may have the cache, if that is another one."""
        return tuple(Report(Doubt(*key, self.here, now)) for key in message.attempts if not self.knows(key))

    def knows(self, key: Key) -> bool:
        """Whether this machine has a part in that attempt."""
        return key in self.sender.open or key in self.receiver.open or self.scheduler.find(*key) is not None

    def older(self, request_id: int) -> tuple[Key, ...]:
        """The attempts of that request that have a part here, in the step under way too, but for the newest."""
        keys = {key_of(sequence) for sequence in (*self.scheduler.everyone(), *self.scheduler.prefilling)}
        keys.update(self.sender.open, self.receiver.open)
        return tuple(sorted(key for key in keys if key[0] == request_id)[:-1])

    def holdings(self) -> tuple[Holding, ...]:
        """Every attempt that is not over and has a part here, also while a step is under way."""
        here = self.here
        computed = [
            Holding(sequence.request, sequence.attempt, sequence.peer, decodes=False, whole=False)
            for transfer in self.sender.open.values()
            if transfer.state is not Source.DRAINING and (sequence := transfer.sequence).phase is not Phase.ENDED
        ]
        awaited = [
            Holding(reserve.request, reserve.attempt, reserve.prefill_machine, decodes=True, whole=False)
            for incoming in self.receiver.open.values()
            if incoming.state is not Destination.FENCED and (reserve := incoming.reserve)
        ]
        decoding = [
            Holding(sequence.request, sequence.attempt, here, decodes=True, whole=True)
            for sequence in (*self.scheduler.everyone(), *self.scheduler.aside())
            if sequence.peer == here
        ]
        return (*computed, *awaited, *decoding)

    def dropped(self, now: int) -> tuple[Command, ...]:
        """Give up everything: the router has given all of it to others."""
        keys = [key_of(sequence) for sequence in self.scheduler.everyone()]
        keys += [key for key in (*self.sender.open, *self.receiver.open) if key not in keys]
        commands: tuple[Command, ...] = ()
        for key in keys:
            commands += self.give_up(key, "stale", now)
        return commands

    def source_gone(self, message: SourceGone, now: int) -> tuple[Command, ...]:
        """Of these caches no more will come. The router hears of those that are not whole; the others decode on."""
        commands: tuple[Command, ...] = ()
        for key in message.attempts:
            if self.scheduler.find(*key) is None and key not in self.sender.open:
                if key in self.receiver.open:
                    commands += self.receiver.give_up(key, now)
                commands += (self.lost(key, "source_gone", now),)
        return commands

    def give_up(self, key: Key, reason: str, now: int) -> tuple[Command, ...]:
        """One attempt is over here. Says nothing to the router, which knows."""
        if key in self.receiver.open:
            return self.receiver.give_up(key, now)
        transfer = self.sender.open.get(key)
        sequence = self.scheduler.find(*key) if transfer is None else transfer.sequence
        if sequence is None or sequence.phase is Phase.ENDED:
            return ()
        if sequence.phase is Phase.HANDING_OVER:
            sequence.move(Move.END)
        else:
            self.scheduler.withdraw(sequence)
        if transfer is None:
            return (self._over(sequence, reason),)
        over = AttemptOver(*key, reason, sequence.told, 0, 0)
        return (over,) if transfer.state is Source.DRAINING else (over, *self.sender.give_up(key, reason, now))

    def unanswered(self, sequence: Sequence, now: int) -> tuple[Command, ...]:
        """Its cache was sent from here, and the other end said nothing for as long as a lease."""
        sequence.move(Move.END)
        key = key_of(sequence)
        return AttemptOver(*key, "lease_expired", sequence.told, 0, 0), Report(Doubt(*key, self.here, now))

    def lost(self, key: Key, reason: str, now: int) -> Command:
        """To the router: this attempt cannot go on here."""
        return Report(Lost(*key, self.here, reason, now))

    def _over(self, sequence: Sequence, reason: str) -> Command:
        key, loan = key_of(sequence), sequence.loan
        if loan is None:
            return AttemptOver(*key, reason, sequence.told, 0, 0)
        self.pool.give_back(loan)
        return AttemptOver(*key, reason, sequence.told, loan.number, len(loan.blocks))
