"""Receiver: the destination end of KV transfers on one machine.

Blocks are granted in the order in which they were asked for, and a granted reservation is kept. A cache may be used
only when the signal names exactly what was promised: this attempt, all layers, these blocks. What expires or is given
up is fenced first; its blocks are free only when no write can be in flight: with the source's last word, which comes
behind its writes, or when its right to write has ended for long enough. That right is renewed only when the source has
just asked, so that it ends before a lease does that the source has let run out. How many blocks may be lent is decided
elsewhere.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from attrs import define, field

from emu.control.blocks import BlockPool, Loan
from emu.control.commands import Command, Commit, Lend, Release, Send
from emu.control.messages import Abandon, Acknowledge, Garbled, Grant, Heartbeat, Reserve, Signal, Unknown
from emu.control.request import Move, Phase, Sequence
from emu.control.transfer.chunks import LayerRange, acknowledgement, merge, whole
from emu.control.transfer.leases import Key, Leases, Spans
from emu.control.transfer.states import Destination, DestinationEvent, next_destination


class CommitMismatch(Exception):
    """A signal that does not name exactly what was promised. Nothing was changed."""


MOST_GRANTS: Final = 4  # for one transfer
REMEMBERED: Final = 1 << 14  # commits, for sources that have lost the acknowledgement


@define(eq=False, repr=False)
class Incoming:
    """One transfer at its destination; `blocks` is what it asks for, or has."""

    reserve: Reserve
    blocks: int
    state: Destination = Destination.QUEUED
    loan: Loan | None = None
    said_ps: int = 0  # when it was granted, or the source's right to write was last renewed
    unheard: int = 0  # heartbeats sent since then
    grants: int = 1

    def move(self, event: DestinationEvent) -> None:
        self.state = next_destination(self.state, event)


@define(eq=False, repr=False)
class Receiver:
    """All transfers to machine `here`, of a model with `layers` layers."""

    here: int
    layers: int
    pool: BlockPool
    leases: Leases
    spans: Spans
    open: dict[Key, Incoming] = field(init=False, factory=dict)
    queue: deque[Incoming] = field(init=False, factory=deque)
    queued_blocks: int = field(init=False, default=0)
    granted_blocks: int = field(init=False, default=0)  # and not committed yet, nor fenced
    early: Leases = field(init=False)  # of abandonments that may have overtaken their reservations
    fenced: Leases = field(init=False)  # until when their blocks may still be written
    committed: dict[Key, None] = field(init=False, factory=dict)  # the latest ones
    # by their sources, those that wait for blocks: there may be thousands
    _queued: dict[int, dict[Key, None]] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self.early = Leases(self.leases.duration_ps)
        self.fenced = Leases(self.spans.hold_ps)

    def ask(self, reserve: Reserve, blocks: int) -> None:
        """A reservation of `blocks` blocks waits its turn, unless its source's last word came before it."""
        key = _key(reserve)
        if key in self.early:
            self.early.end(key)
            return
        incoming = Incoming(reserve, blocks)
        self.open[key] = incoming
        self._queued.setdefault(reserve.prefill_machine, {})[key] = None
        self.queue.append(incoming)
        self.queued_blocks += blocks

    def lend_next(self, now: int) -> Command:
        """Lend the head of the queue its blocks, under a lease, and grant them."""
        incoming = self.queue.popleft()
        reserve, key = incoming.reserve, _key(incoming.reserve)
        incoming.move(DestinationEvent.LEND)
        loan = incoming.loan = self.pool.lend(*key, incoming.blocks)
        del self._queued[reserve.prefill_machine][key]
        incoming.said_ps = now
        self.leases.grant(key, now)
        self.queued_blocks -= incoming.blocks
        self.granted_blocks += incoming.blocks
        grant = Grant(*key, self.here, loan.number, tuple(loan.blocks), now)
        return Lend(reserve.prefill_machine, grant, incoming.blocks, reserve.sent_ps)

    def signalled(self, signal: Signal, now: int) -> tuple[Sequence | None, tuple[Command, ...]]:
        """The data is here: the sequence that may decode now; or None where either end had given it up.

        Raises CommitMismatch.
        """
        key = (signal.request_id, signal.attempt)
        incoming = self.open.get(key)
        if incoming is None:
            return None, ()
        loan, request = incoming.loan, incoming.reserve.request
        if incoming.state is Destination.FENCED:
            return None, (self._clear(incoming, DestinationEvent.SIGNAL, "expired", -1),)
        if loan is None:
            raise CommitMismatch(f"request {key}: a signal before any grant")
        prompt_blocks = self.pool.blocks_for(request.prompt_tokens)
        promised = (loan.number, whole(self.layers), tuple(loan.blocks[:prompt_blocks]))
        if (signal.loan, merge(signal.layers), signal.blocks) != promised:
            raise CommitMismatch(f"request {key}: the signal does not name the blocks and layers that were granted")
        incoming.move(DestinationEvent.SIGNAL)
        del self.open[key]
        self.leases.end(key)
        self.granted_blocks -= incoming.blocks
        self.committed[key] = None
        if len(self.committed) > REMEMBERED:
            del self.committed[next(iter(self.committed))]
        sequence = Sequence(request, signal.attempt, Phase.HANDING_OVER, self.here, loan, delivered=1)
        sequence.move(Move.COMMIT)
        below, holes = acknowledgement(signal.layers)
        acknowledge = Acknowledge(*key, self.here, below, holes, now)
        commit = Commit(incoming.reserve.prefill_machine, acknowledge, signal.layers, loan.number, prompt_blocks)
        return sequence, (commit,)

    def garbled(self, signal: Signal, layers: tuple[LayerRange, ...], now: int) -> tuple[Command, ...]:
        """The data is here, and these layers are not what was sent: they are asked for again, if they are wanted."""
        key = (signal.request_id, signal.attempt)
        incoming = self.open.get(key)
        if incoming is None:
            return ()
        if incoming.state is Destination.FENCED:
            return (self._clear(incoming, DestinationEvent.SIGNAL, "expired", -1),)
        return (Send(signal.machine, Garbled(*key, self.here, layers, now, signal.put)),)

    def abandoned(self, message: Abandon, now: int) -> tuple[Command, ...]:
        """The source puts nothing more, and nothing is in flight."""
        key = (message.request_id, message.attempt)
        incoming = self.open.get(key)
        if incoming is None:
            self.early.grant(key, now)
            return ()
        if incoming.state is Destination.QUEUED:
            return (self._dequeue(incoming, DestinationEvent.ABANDON, "abandoned", message.sent_ps),)
        return (self._clear(incoming, DestinationEvent.ABANDON, "abandoned", message.sent_ps),)

    def expired(self, key: Key, now: int) -> tuple[Command, ...]:
        """Its source has been silent for as long as a lease."""
        del now
        self._fence(self.open[key], DestinationEvent.EXPIRE)
        return ()

    def heard(self, message: Heartbeat, now: int) -> tuple[Command, ...]:
        """These are still on their way, and may be put. One that was committed has lost its acknowledgement."""
        if not (self.open or self.committed):
            return ()
        self.leases.renew(message.transfers, now)
        commands: tuple[Command, ...] = ()
        kept: list[Key] = []
        for key in message.transfers:
            if self.leases.holds(key, now):
                incoming = self.open[key]
                incoming.said_ps, incoming.unheard = now, 0
                kept.append(key)
            elif key in self.committed:
                commands += (Send(message.machine, Acknowledge(*key, self.here, self.layers, (), now)),)
        if not kept:
            return commands
        return *commands, Send(message.machine, Heartbeat(self.here, tuple(kept), now, answers_ps=message.sent_ps))

    def unknown(self, message: Unknown, now: int) -> tuple[Command, ...]:
        """Its source is there, and has lost these grants. It has them again, so often."""
        commands: tuple[Command, ...] = ()
        for key in message.transfers:
            if self.leases.holds(key, now) and (incoming := self.open[key]).grants < MOST_GRANTS:
                assert incoming.loan is not None
                self.leases.renew((key,), now)
                incoming.said_ps, incoming.grants = now, incoming.grants + 1
                grant = Grant(
                    *key, self.here, incoming.loan.number, tuple(incoming.loan.blocks[: incoming.blocks]), now
                )
                commands += (Send(message.machine, grant),)
        return commands

    def give_up(self, key: Key, now: int) -> tuple[Command, ...]:
        """The cache is not wanted any more, or will not come. What its source may still write is waited for."""
        del now
        incoming = self.open[key]
        if incoming.state is Destination.QUEUED:
            return (self._dequeue(incoming, DestinationEvent.CANCEL, "cancelled", -1),)
        if incoming.state is Destination.GRANTED:
            self._fence(incoming, DestinationEvent.CANCEL)
        return ()

    def cleared(self, now: int) -> tuple[Command, ...]:
        """Free what was fenced for so long that no write can come."""
        return tuple(
            self._clear(self.open[key], DestinationEvent.CLEAR, "quarantined", -1) for key in self.fenced.sweep(now)
        )

    def stalled(self, stall_ps: int) -> None:
        """Nothing was heard here for so long; what has been granted from here lasts longer than that of others."""

    def caught_up(self) -> None:
        """All that had come while it stalled has been heard."""

    def heartbeats(self, now: int) -> tuple[Command, ...]:
        """One message to each source whose cache waits for our blocks, or which has them and does not say so."""
        unheard: dict[int, list[Key]] = {}
        for key in self.leases:
            incoming = self.open[key]
            incoming.unheard += 1
            if incoming.unheard > 1:
                unheard.setdefault(incoming.reserve.prefill_machine, []).append(key)
        beats: list[Command] = []
        for machine in dict.fromkeys((*self._queued, *unheard)):
            lent = tuple(unheard.get(machine, ()))
            keys = (*self._queued.get(machine, ()), *lent)
            if keys:
                beats.append(Send(machine, Heartbeat(self.here, keys, now, lent)))
        return tuple(beats)

    def _dequeue(self, incoming: Incoming, event: DestinationEvent, reason: str, sent_ps: int) -> Command:
        incoming.move(event)
        key = _key(incoming.reserve)
        self.queue.remove(incoming)
        self.queued_blocks -= incoming.blocks
        self._queued.get(incoming.reserve.prefill_machine, {}).pop(key, None)
        del self.open[key]
        return Release(*key, 0, 0, reason, sent_ps)

    def _fence(self, incoming: Incoming, event: DestinationEvent) -> None:
        """From now on a signal of this attempt means nothing, but that its writes have ended."""
        incoming.move(event)
        key = _key(incoming.reserve)
        self.leases.end(key)
        self.fenced.until(key, self._over_ps(incoming))
        self.granted_blocks -= incoming.blocks

    def _over_ps(self, incoming: Incoming) -> int:
        """When all has ended that may have been put there."""
        return incoming.said_ps + self.fenced.duration_ps

    def _clear(self, incoming: Incoming, event: DestinationEvent, reason: str, sent_ps: int) -> Command:
        """There is evidence that nothing is in flight: the blocks are free."""
        if incoming.state is Destination.GRANTED:
            self.granted_blocks -= incoming.blocks
        incoming.move(event)
        key, loan = _key(incoming.reserve), incoming.loan
        assert loan is not None
        del self.open[key]
        self.leases.end(key)
        self.fenced.end(key)
        self.pool.give_back(loan)
        return Release(*key, loan.number, len(loan.blocks), reason, sent_ps)


def _key(reserve: Reserve) -> Key:
    return reserve.request.request_id, reserve.attempt
