"""Getting: the two ends of a transfer whose destination reads, as vLLM's NixlConnector does and llm-d.

The source offers a cache when it is computed, and holds it under a lease that the destination renews while it waits for
blocks. Each time it asks, the source answers: it may begin to read for a while since it asked. It reads, and its notice
frees the source. A posted read cannot be recalled either: a source that gives a cache up keeps its blocks until the
destination says that it reads nothing more, or has long lost the right to begin. The tables of moves are those of
`states`; what a put does stands in `sender` and `receiver`.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from emu.control.commands import Command, Fetch, MakeOffer, Put, Release, Send
from emu.control.messages import Abandon, Acknowledge, Heartbeat, Offer, Reserve, Signal, Unknown
from emu.control.request import Sequence
from emu.control.transfer.chunks import LayerRange, whole
from emu.control.transfer.leases import Key, Leases
from emu.control.transfer.receiver import Incoming, Receiver
from emu.control.transfer.sender import MOST_SIGNALS, Outgoing, Sender, key_of
from emu.control.transfer.states import Destination, DestinationEvent, Source, SourceEvent

MOST_READS: Final = 4  # of one cache, before it is given up
READ_NO_MORE: Final = "read no more"


@define(eq=False, repr=False)
class Offering(Sender):
    """The source: it offers, and waits for the notice."""

    def begin(self, sequence: Sequence) -> None:
        self.open[key_of(sequence)] = Outgoing(sequence)

    def started(self, sequence: Sequence, layer_wise: bool, now: int) -> tuple[Command, ...]:
        """Nothing leaves under a prefill."""
        del layer_wise
        self.leases.grant(key_of(sequence), now)
        return ()

    def computed(self, sequence: Sequence, now: int) -> tuple[Command, ...]:
        transfer = self.open[key_of(sequence)]
        self.leases.grant(key_of(sequence), now)
        transfer.move(SourceEvent.COMPUTE)
        return (self._offer(transfer, now),)

    def heard(self, message: Heartbeat, now: int) -> tuple[Command, ...]:
        """These wait at their destination, which has the offer."""
        self.leases.renew(message.transfers, now)
        kept: list[Key] = []
        for key in message.transfers:
            if self.leases.holds(key, now) and (transfer := self.open[key]).state is Source.COMPUTED:
                transfer.said_ps, transfer.asked = now, 0
                kept.append(key)
        if not kept:
            return ()
        return (Send(message.machine, Heartbeat(self.here, tuple(kept), now, answers_ps=message.sent_ps)),)

    def unknown(self, message: Unknown, now: int) -> tuple[Command, ...]:
        """Its destination is there, and has lost these offers. They are made again, so often."""
        commands: tuple[Command, ...] = ()
        for key in message.transfers:
            if self.leases.holds(key, now) and (transfer := self.open[key]).state is Source.COMPUTED:
                transfer.signals += 1
                if transfer.signals <= MOST_SIGNALS:
                    self.leases.renew((key,), now)
                    commands += (self._offer(transfer, now),)
        return commands

    def give_up(self, key: Key, reason: str, now: int) -> tuple[Command, ...]:
        """What was offered may be read at this moment, and for as long as an offer gives the right to begin."""
        transfer = self.open[key]
        self.leases.end(key)
        if transfer.state is Source.OPEN:
            transfer.move(SourceEvent.GIVE_UP)
            return self._abandon(transfer, reason, now)
        transfer.move(SourceEvent.WITHDRAW)
        self.draining.until(key, transfer.said_ps + self.spans.hold_ps)
        return (Send(transfer.sequence.peer, Abandon(*key, self.here, reason, now)),)

    def drained(self, key: Key, now: int) -> tuple[Command, ...]:
        """Nobody reads it any more."""
        del now
        transfer = self.open[key]
        transfer.move(SourceEvent.DRAIN)
        self.draining.end(key)
        del self.open[key]
        loan = transfer.loan
        self.pool.give_back(loan)
        return (Release(*key, loan.number, len(loan.blocks), "abandoned", -1),)

    def acknowledged(self, message: Acknowledge, now: int) -> tuple[Command, ...]:
        """The notice: the destination has read it all."""
        del now
        key = (message.request_id, message.attempt)
        transfer = self.open.get(key)
        if transfer is None or transfer.state is Source.OPEN:
            return ()
        transfer.move(SourceEvent.ACKNOWLEDGE)
        self.leases.end(key)
        self.draining.end(key)
        del self.open[key]
        loan = transfer.loan
        self.pool.give_back(loan)
        return (Release(*key, loan.number, len(loan.blocks), "acknowledged", message.sent_ps),)

    def watches(self) -> tuple[Command, ...]:
        """No completion comes to this end."""
        return ()

    def heartbeats(self, now: int) -> tuple[Command, ...]:
        """One message to each destination that waits for our caches, and says which of the offers it does not name."""
        wanted: dict[int, list[Key]] = {}
        unheard: dict[int, list[Key]] = {}
        for key, transfer in self.open.items():
            if transfer.state is not Source.DRAINING:
                wanted.setdefault(transfer.sequence.peer, []).append(key)
            if transfer.state is Source.COMPUTED:
                transfer.asked += 1
                if transfer.asked > 1:
                    unheard.setdefault(transfer.sequence.peer, []).append(key)
        return tuple(
            Send(machine, Heartbeat(self.here, tuple(keys), now, tuple(unheard.get(machine, ()))))
            for machine, keys in wanted.items()
        )

    def _offer(self, transfer: Outgoing, now: int) -> Command:
        transfer.said_ps = now
        sequence, loan = transfer.sequence, transfer.loan
        blocks = tuple(loan.blocks)
        return MakeOffer(sequence.peer, Offer(sequence.request, sequence.attempt, self.here, loan.number, blocks, now))


@define(eq=False, repr=False)
class Wanted(Incoming):
    """A cache that is to be read; nothing can be done before its `offer`."""

    offer: Offer | None = None
    reads: int = 0
    missing: tuple[LayerRange, ...] = ()  # that were read last, if not all of them were
    read_ps: int = 0  # when the latest read was posted


@define(eq=False, repr=False)
class Fetching(Receiver):
    """The destination: it reads what it is offered when it has blocks."""

    rights: Leases = field(init=False)  # to begin reads
    stale: bool = field(init=False, default=False)  # what is heard now was said long ago

    def __attrs_post_init__(self) -> None:
        Receiver.__attrs_post_init__(self)
        self.rights = Leases(self.spans.right_ps)

    def ask(self, reserve: Reserve, blocks: int) -> None:
        """A request will come; its blocks are counted, and asked for when its cache is offered."""
        key = (reserve.request.request_id, reserve.attempt)
        if key in self.early:
            self.early.end(key)
        elif key not in self.open and key not in self.committed:
            self.open[key] = Wanted(reserve, blocks)
            self.queued_blocks += blocks

    def await_offer(self, key: Key, now: int) -> None:
        """From now on its source must be heard of, until it offers the cache."""
        wanted = self.open.get(key)
        if isinstance(wanted, Wanted) and wanted.offer is None:
            self.leases.grant(key, now)

    def expired(self, key: Key, now: int) -> tuple[Command, ...]:
        """Its source, which was to compute it, has been silent for as long as a lease."""
        return self.give_up(key, now)

    def offered(self, offer: Offer, now: int) -> tuple[Command, ...]:
        """A cache is there to be read: it waits its turn for blocks. One that no router has announced here is no matter
        of ours: its offer is older than this process, or the announcement was lost, and others give it up."""
        key = (offer.request.request_id, offer.attempt)
        if key in self.early:
            self.early.end(key)
            return ()
        if key in self.committed:
            return (Send(offer.machine, Acknowledge(*key, self.here, self.layers, (), now)),)
        wanted = self.open.get(key)
        if self.stale or not isinstance(wanted, Wanted) or wanted.offer is not None:
            return ()  # it may have been taken back, and is made again if not; or it is the same again
        self.rights.grant(key, now)
        self.leases.end(key)
        wanted.offer = offer
        wanted.reserve = wanted.reserve._replace(sent_ps=offer.sent_ps)
        self.queue.append(wanted)
        return ()

    def stalled(self, stall_ps: int) -> None:
        """Nothing was heard here for so long: offers may be too old by then."""
        if stall_ps > self.leases.duration_ps // 8:
            self.stale = True
            self.rights = Leases(self.rights.duration_ps)

    def caught_up(self) -> None:
        """What is offered from now on was offered just now."""
        self.stale = False

    def lapsed(self, now: int) -> tuple[Key, ...]:
        """Those whose turn it would be, and whose source may have taken its offer back."""
        keys = ((incoming.reserve.request.request_id, incoming.reserve.attempt) for incoming in self.queue)
        return tuple(key for key in keys if not self.rights.holds(key, now))

    def lend_next(self, now: int) -> Command:
        """Lend the head of the queue its blocks, and read."""
        wanted = self.queue.popleft()
        assert isinstance(wanted, Wanted)
        wanted.move(DestinationEvent.LEND)
        request = wanted.reserve.request
        loan = wanted.loan = self.pool.lend(request.request_id, wanted.reserve.attempt, wanted.blocks)
        self.pool.pin(loan)
        self.queued_blocks -= wanted.blocks
        self.granted_blocks += wanted.blocks
        wanted.reads = 1
        return self._read(wanted, whole(self.layers)[0], now)

    def signalled(self, signal: Signal, now: int) -> tuple[Sequence | None, tuple[Command, ...]]:
        """The read is done."""
        wanted = self.open.get((signal.request_id, signal.attempt))
        if wanted is None or wanted.loan is None:
            return None, ()
        self.pool.unpin(wanted.loan)
        fenced = wanted.state is Destination.FENCED
        sequence, commands = super().signalled(signal, now)
        return sequence, (*commands, self._last_word(wanted, now)) if fenced else commands

    def garbled(self, signal: Signal, layers: tuple[LayerRange, ...], now: int) -> tuple[Command, ...]:
        return self.read_again((signal.request_id, signal.attempt), now, layers)

    def read_again(self, key: Key, now: int, layers: tuple[LayerRange, ...] = ()) -> tuple[Command, ...]:
        """These layers, or all that was read last, did not come as they were offered. So often, and then the cache is
        given up, for good."""
        wanted = self.open.get(key)
        if not isinstance(wanted, Wanted) or wanted.loan is None:
            return ()
        if wanted.state is Destination.GRANTED and wanted.reads < MOST_READS and self.rights.holds(key, now):
            wanted.missing = layers or wanted.missing
            wanted.reads += 1
            return tuple(self._read(wanted, missing, now) for missing in wanted.missing or whole(self.layers))
        self.pool.unpin(wanted.loan)
        event = DestinationEvent.SIGNAL if wanted.state is Destination.FENCED else DestinationEvent.ABANDON
        return self._clear(wanted, event, "abandoned", -1), self._last_word(wanted, now)

    def overdue(self, now: int) -> tuple[Key, ...]:
        """Reads that must have ended by now, whose completions are lost."""
        flight_ps = self.spans.flight_ps
        return tuple(
            key
            for key, wanted in self.open.items()
            if wanted.state is Destination.GRANTED and isinstance(wanted, Wanted) and now - wanted.read_ps >= flight_ps
        )

    def abandoned(self, message: Abandon, now: int) -> tuple[Command, ...]:
        """The source takes its offer back. A read under way goes on until it ends."""
        key = (message.request_id, message.attempt)
        if key not in self.open:
            self.early.grant(key, now)
            return ()
        return self.give_up(key, now)

    def give_up(self, key: Key, now: int) -> tuple[Command, ...]:
        wanted = self.open[key]
        if wanted.state is not Destination.QUEUED:
            return super().give_up(key, now)
        assert isinstance(wanted, Wanted)
        if wanted.offer is None:
            self.leases.end(key)
            self.queue.append(wanted)  # only to leave it at once
        return (*super().give_up(key, now), self._last_word(wanted, now))

    def cleared(self, now: int) -> tuple[Command, ...]:
        commands: tuple[Command, ...] = ()
        for key in self.fenced.sweep(now):
            wanted = self.open[key]
            assert wanted.loan is not None
            self.pool.unpin(wanted.loan)
            commands += (self._clear(wanted, DestinationEvent.CLEAR, "quarantined", -1), self._last_word(wanted, now))
        return commands

    def heard(self, message: Heartbeat, now: int) -> tuple[Command, ...]:
        """The source goes on, or keeps what it has offered, or says which offers may have been lost."""
        self.leases.renew(message.transfers, now)
        if message.answers_ps >= 0:
            for key in message.transfers:
                if key in self.open:
                    self.rights.until(key, message.answers_ps + self.spans.right_ps)
            return ()
        lost = (key for key in message.transfers if key not in self.open and key in self.committed)
        again = tuple(Send(message.machine, Acknowledge(*key, self.here, self.layers, (), now)) for key in lost)
        keys = tuple(key for key in message.unheard if self._lacks(key))
        return (*again, Send(message.machine, Unknown(self.here, keys, now))) if keys else again

    def _lacks(self, key: Key) -> bool:
        wanted = self.open.get(key)
        return isinstance(wanted, Wanted) and wanted.offer is None

    def _over_ps(self, incoming: Incoming) -> int:
        """What is read here was begun here."""
        assert isinstance(incoming, Wanted)
        return incoming.read_ps + self.spans.flight_ps

    def heartbeats(self, now: int) -> tuple[Command, ...]:
        """One message to each source whose offers wait here, or are being read."""
        wanted: dict[int, list[Key]] = {}
        for key, incoming in self.open.items():
            if incoming.state is not Destination.FENCED and isinstance(incoming, Wanted) and incoming.offer is not None:
                wanted.setdefault(incoming.reserve.prefill_machine, []).append(key)
        return tuple(Send(machine, Heartbeat(self.here, tuple(keys), now)) for machine, keys in wanted.items())

    def _read(self, wanted: Wanted, layers: LayerRange, now: int) -> Command:
        wanted.read_ps = now
        offer, loan = wanted.offer, wanted.loan
        assert offer is not None
        assert loan is not None
        request = offer.request
        blocks = tuple(loan.blocks[: len(offer.blocks)])
        key = (request.request_id, offer.attempt)
        put = Put(*key, self.here, offer.blocks, loan.number, blocks, request.prompt_tokens, layers, follow=False)
        done = Signal(*key, offer.machine, loan.number, whole(self.layers), blocks, offer.checksums)
        return Fetch(offer.machine, put, done, len(loan.blocks), wanted.reads == 1, wanted.reserve.sent_ps)

    def _last_word(self, wanted: Incoming, now: int) -> Command:
        """To the source: nothing of it will be read from here any more."""
        reserve = wanted.reserve
        key = (reserve.request.request_id, reserve.attempt)
        return Send(reserve.prefill_machine, Abandon(*key, self.here, READ_NO_MORE, now))
