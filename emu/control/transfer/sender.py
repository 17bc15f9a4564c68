"""Sender: the source end of KV transfers on one machine.

It holds a prompt's blocks under a lease from the start of the prefill until the destination has acknowledged them, and
knows that a posted put cannot be recalled: blocks that one names are pinned until there is evidence that it ended. It
posts only while the destination is sure to keep the blocks that it has granted: for a while since it asked, by its own
clock, whatever became of the answer on its way.
When a prefill runs and who decodes is decided elsewhere.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from emu.control.blocks import BlockPool, Loan
from emu.control.commands import Command, PostSignal, Put, Release, Send, WatchDrain
from emu.control.messages import Abandon, Acknowledge, Garbled, Grant, Heartbeat, Signal, Unknown
from emu.control.request import Sequence
from emu.control.transfer.chunks import LayerRange, whole
from emu.control.transfer.leases import Key, Leases, Spans
from emu.control.transfer.states import Source, SourceEvent, next_source

MOST_SIGNALS: Final = 4  # for one transfer, before it is given up
MOST_PUTS: Final = 4


@define(eq=False, repr=False)
class Outgoing:
    """One transfer at its source."""

    sequence: Sequence
    state: Source = Source.OPEN
    grant: Grant | None = None
    follow: bool = False  # its prefill is under way, layer by layer
    asked: int = 0  # heartbeats since the signal was posted, by which the destination still waits for it
    signals: int = 1  # or offers
    puts: int = 1
    missing: tuple[LayerRange, ...] = ()  # that were put last, if not all of them were
    failed: bool = False  # the put that follows the prefill under way
    posted_ps: int = 0  # when its latest signal was
    said_ps: int = 0  # where its destination reads: when it was offered, or the right to begin was last renewed

    def move(self, event: SourceEvent) -> None:
        self.state = next_source(self.state, event)

    @property
    def loan(self) -> Loan:
        loan = self.sequence.loan
        assert loan is not None, "a cache that moves has blocks"
        return loan


@define(eq=False, repr=False)
class Sender:
    """All transfers whose cache is computed on machine `here`, of a model with `layers` layers."""

    here: int
    layers: int
    pool: BlockPool
    leases: Leases
    spans: Spans
    completions_lost: bool = False  # so that what was posted is taken for over when it must have ended
    open: dict[Key, Outgoing] = field(init=False, factory=dict)
    early: dict[Key, Grant] = field(init=False, factory=dict)
    rights: Leases = field(init=False)  # to post puts, each since the destination's last word
    draining: Leases = field(init=False)  # how long what was given up may still be in flight, where that is bounded
    stale: bool = field(init=False, default=False)  # what is heard now was said long ago
    unwanted: set[Key] = field(init=False, factory=set)  # their cancellation waits for the end of the step under way
    # of `open`, which may be thousands when prompts wait, those that each tick looks at
    _signalled: dict[Key, Outgoing] = field(init=False, factory=dict)  # all is posted
    _given_up: dict[Key, Outgoing] = field(init=False, factory=dict)  # and posted puts may still be under way

    def __attrs_post_init__(self) -> None:
        self.rights = Leases(self.spans.right_ps)
        self.draining = Leases(self.spans.flight_ps)

    def stalled(self, stall_ps: int) -> None:
        """Nothing was heard here for so long: if a grant may be too old by then, all have to be said again."""
        if stall_ps > self.leases.duration_ps // 8:
            self.stale = True
            self.rights = Leases(self.rights.duration_ps)

    def caught_up(self) -> None:
        """What is granted from now on was granted just now."""
        self.stale = False

    def begin(self, sequence: Sequence) -> None:
        """A sequence was assigned whose cache will leave."""
        key = key_of(sequence)
        self.open[key] = Outgoing(sequence)
        grant = self.early.pop(key, None)
        if grant is not None:
            self.leases.end(key)
            self.granted(grant, 0)  # its right to post is as old as its coming

    def granted(self, grant: Grant, now: int) -> tuple[Command, ...]:
        """The destination says where to put. What is computed goes at once, the rest by layer.

        A grant can overtake its assignment, which waits for a step boundary: it is kept for as long as a lease.
        """
        key = (grant.request_id, grant.attempt)
        transfer = self.open.get(key)
        if key not in self.rights:
            if self.stale:
                return ()  # it is old, and may have been taken back; the destination says it again
            self.rights.grant(key, now)
        if transfer is None:
            self.early[key] = grant
            self.leases.grant(key, now)
            return ()
        if transfer.grant is not None:
            return ()  # the same grant again
        transfer.grant = grant
        if transfer.state is Source.COMPUTED:
            transfer.move(SourceEvent.GRANT)
            return self._put(transfer), self._signal(transfer, now)
        transfer.move(SourceEvent.GRANT)
        if transfer.follow:
            transfer.move(SourceEvent.STREAM)
            return (self._put(transfer),)
        return ()

    def started(self, sequence: Sequence, layer_wise: bool, now: int) -> tuple[Command, ...]:
        """The prefill starts: from now on the blocks are held under a lease."""
        transfer = self.open[key_of(sequence)]
        self.leases.grant(key_of(sequence), now)
        transfer.follow = layer_wise
        if layer_wise and transfer.state is Source.GRANTED and self.rights.holds(key_of(sequence), now):
            transfer.move(SourceEvent.STREAM)
            return (self._put(transfer),)
        return ()

    def computed(self, sequence: Sequence, now: int) -> tuple[Command, ...]:
        """The prefill is done and its first token delivered; the cache is wanted elsewhere."""
        transfer = self.open[key_of(sequence)]
        self.leases.grant(key_of(sequence), now)
        transfer.follow = False
        posted = transfer.state is Source.STREAMING
        transfer.move(SourceEvent.COMPUTE)
        if transfer.grant is None:
            return ()
        if transfer.failed:
            return self.put_again(key_of(sequence), now)
        return (self._signal(transfer, now),) if posted else (self._put(transfer), self._signal(transfer, now))

    def may_put(self, sequence: Sequence, now: int) -> bool:
        """Whether the cache that has just been computed may be posted, or was, or nobody has said where to; none that
        nobody wants any more."""
        key = key_of(sequence)
        if self.unwanted and key in self.unwanted:
            return False
        return self.open[key].state is not Source.GRANTED or self.rights.holds(key, now)

    def heard(self, message: Heartbeat, now: int) -> tuple[Command, ...]:
        """These are still wanted. One that was posted whole, and is still waited for, may have lost its signal, or is
        slow: its completion tells.
        """
        self.leases.renew(message.transfers, now)
        if message.answers_ps >= 0:
            for key in message.transfers:
                if key in self.open:
                    self.rights.until(key, message.answers_ps + self.spans.right_ps)
        commands = self._missing(message, now)
        for key in filter(self._signalled.__contains__, message.transfers):
            transfer = self._signalled[key]
            transfer.asked += 1
            if self.completions_lost and now - transfer.posted_ps >= self.spans.flight_ps:
                commands += self.drained(key, now)  # its completion is lost as well
            elif not transfer.asked % 2:
                commands += (WatchDrain(*key),)
        return commands

    def _missing(self, message: Heartbeat, now: int) -> tuple[Command, ...]:
        """The destination has lent blocks of which nothing has come here."""
        keys = [key for key in message.unheard if (transfer := self.open.get(key)) and transfer.grant is None]
        return (Send(message.machine, Unknown(self.here, tuple(keys), now)),) if keys else ()

    def give_up(self, key: Key, reason: str, now: int) -> tuple[Command, ...]:
        """The cache is not wanted any more. Blocks that posted puts name stay pinned until those have completed."""
        transfer = self.open[key]
        flown_ps = now if transfer.state is Source.STREAMING else transfer.posted_ps
        transfer.move(SourceEvent.GIVE_UP)
        self.leases.end(key)
        self.rights.end(key)
        self._signalled.pop(key, None)
        if transfer.state is Source.DRAINING:
            self._given_up[key] = transfer
            if self.completions_lost:
                self.draining.until(key, flown_ps + self.spans.flight_ps)
            return (WatchDrain(*key),)
        return self._abandon(transfer, reason, now)

    def drained(self, key: Key, now: int) -> tuple[Command, ...]:
        """The last put has completed, of a transfer that was given up, or whose signal may be lost: it goes again."""
        transfer = self.open[key]
        if transfer.state is Source.FLUSHING:
            transfer.asked, transfer.signals = 0, transfer.signals + 1
            return (
                (self._signal(transfer, now),)
                if transfer.signals < MOST_SIGNALS
                else self.give_up(key, "unanswered", now)
            )
        transfer.move(SourceEvent.DRAIN)
        self.draining.end(key)
        self.pool.unpin(transfer.loan)
        return self._abandon(transfer, "given up", now)

    def acknowledged(self, message: Acknowledge, now: int) -> tuple[Command, ...]:
        """The destination has layers `below`, less holes; with all of them the blocks are free."""
        key = (message.request_id, message.attempt)
        transfer = self.open.get(key)
        if transfer is None:
            return ()
        if message.below < self.layers or message.holes:
            self.leases.renew((key,), now)
            return ()
        transfer.move(SourceEvent.ACKNOWLEDGE)
        self.draining.end(key)
        self.leases.end(key)
        self.rights.end(key)
        self._forget(key)
        loan = transfer.loan
        self.pool.unpin(loan)
        self.pool.give_back(loan)
        return (Release(*key, loan.number, len(loan.blocks), "acknowledged", message.sent_ps),)

    def garbled(self, message: Garbled, now: int) -> tuple[Command, ...]:
        """What came is not what was sent; unless it has gone again since, and may be in use there by now."""
        key = (message.request_id, message.attempt)
        transfer = self.open.get(key)
        return () if transfer is None or message.put != transfer.puts else self.put_again(key, now, message.layers)

    def put_again(self, key: Key, now: int, layers: tuple[LayerRange, ...] = ()) -> tuple[Command, ...]:
        """These layers, or all that was put last, did not come as they were sent: they go again, so often, and while
        they may."""
        transfer = self.open.get(key)
        if transfer is None or transfer.state is Source.DRAINING:
            return ()
        transfer.missing = layers or transfer.missing
        if transfer.state is Source.STREAMING:
            transfer.failed = True  # when all is computed
            return ()
        transfer.failed = False
        transfer.puts += 1
        if transfer.puts > MOST_PUTS or not self.rights.holds(key, now):
            return self.give_up(key, "put_failed", now)
        posts = (self._post(transfer, missing) for missing in transfer.missing or whole(self.layers))
        return *posts, self._signal(transfer, now)

    def watches(self) -> tuple[Command, ...]:
        """Ask again for the completions without which blocks stay pinned, since one may be lost."""
        return tuple(WatchDrain(*key) for key in self._given_up)

    def heartbeats(self, now: int) -> tuple[Command, ...]:
        """One message to each destination that keeps blocks for us."""
        wanted: dict[int, list[Key]] = {}
        for key, transfer in self.open.items():
            if transfer.grant is not None and key not in self._given_up:
                wanted.setdefault(transfer.grant.machine, []).append(key)
        return tuple(Send(machine, Heartbeat(self.here, tuple(keys), now)) for machine, keys in wanted.items())

    def _put(self, transfer: Outgoing) -> Put:
        self.pool.pin(transfer.loan)
        return self._post(transfer, whole(self.layers)[0])

    def _post(self, transfer: Outgoing, layers: LayerRange) -> Put:
        grant, loan, request = transfer.grant, transfer.loan, transfer.sequence.request
        assert grant is not None
        return Put(
            request_id=request.request_id,
            attempt=transfer.sequence.attempt,
            target=grant.machine,
            source_blocks=tuple(loan.blocks),
            target_loan=grant.loan,
            target_blocks=grant.blocks[: len(loan.blocks)],
            prompt_tokens=request.prompt_tokens,
            layers=layers,
            follow=transfer.state is Source.STREAMING,
        )

    def _signal(self, transfer: Outgoing, now: int) -> PostSignal:
        grant, loan = transfer.grant, transfer.loan
        assert grant is not None
        transfer.posted_ps = now
        self._signalled[key_of(transfer.sequence)] = transfer
        blocks = grant.blocks[: len(loan.blocks)]
        return PostSignal(
            grant.machine,
            Signal(
                *(grant.request_id, grant.attempt, self.here, grant.loan, whole(self.layers), blocks),
                put=transfer.puts,
            ),
        )

    def _forget(self, key: Key) -> None:
        del self.open[key]
        self._signalled.pop(key, None)
        self._given_up.pop(key, None)

    def _abandon(self, transfer: Outgoing, reason: str, now: int) -> tuple[Command, ...]:
        key = key_of(transfer.sequence)
        self._forget(key)
        message = Send(transfer.sequence.peer, Abandon(*key, self.here, reason, now))
        loan = transfer.sequence.loan
        if loan is None:  # it never started
            return (message,)
        self.pool.give_back(loan)
        return Release(*key, loan.number, len(loan.blocks), "abandoned", -1), message


def key_of(sequence: Sequence) -> Key:
    return sequence.request.request_id, sequence.attempt
