"""What went wrong elsewhere: each class stands in the place of one of production's, and makes one mistake on purpose.

`emu run scenarios/museum/NAME.toml --set parts.PART=wrong:CLASS`, as the scenario says. None of them shows where
nothing fails.
"""

from __future__ import annotations

from attrs import define, field

from emu.control.batch import Batch
from emu.control.commands import Command, Put
from emu.control.machine import Machine
from emu.control.machine_events import Mismatch, PutFailed
from emu.control.messages import Acknowledge, Assign, Grant, Reserve
from emu.control.mixed import Scheduler
from emu.control.request import Sequence
from emu.control.transfer.chunks import LayerRange
from emu.control.transfer.leases import Key, Leases
from emu.control.transfer.receiver import Receiver
from emu.control.transfer.sender import Outgoing, Sender
from emu.control.transfer.states import Destination, DestinationEvent, Source


@define
class FreesAtOnce(Receiver):
    """An aborted request's blocks are free for others at once, whoever may still be writing into them."""

    def give_up(self, key: Key, now: int) -> tuple[Command, ...]:
        commands = super().give_up(key, now)
        incoming = self.open.get(key)
        if incoming is None or incoming.state is not Destination.FENCED:
            return commands
        return *commands, self._clear(incoming, DestinationEvent.CLEAR, "cancelled", -1)


@define
class TakesDeathForSilence(Receiver):
    """A producer that has ended writes no more, so its blocks need no quarantine."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.fenced = Leases(0)


@define
class WaitsForTheOtherLeg(Sender):
    """What its decode machine will fetch is kept until that one says so, whatever has become of it."""

    def give_up(self, key: Key, reason: str, now: int) -> tuple[Command, ...]:
        return super().give_up(key, reason, now) if reason == "completed" else ()


@define
class WaitsForTheHandshake(Sender):
    """Before the other end has said where to put, there is nobody to give up on."""

    def give_up(self, key: Key, reason: str, now: int) -> tuple[Command, ...]:
        if reason == "completed" or self.open[key].grant is not None:
            return super().give_up(key, reason, now)
        return ()


@define
class HoldsUntilTold(Sender):
    """A cache that was sent is held until the notice of its reader, who may be gone."""

    def give_up(self, key: Key, reason: str, now: int) -> tuple[Command, ...]:
        return () if self.open[key].state is Source.FLUSHING else super().give_up(key, reason, now)


@define
class WaitsForAConsumedTransfer(Scheduler):
    """A preempted sequence came by a transfer, and so waits for that transfer to come again."""

    awaited: list[Sequence] = field(factory=list)

    def next_batch(self) -> Batch | None:
        batch = super().next_batch()
        self.awaited += self.prefills.preempted
        self.prefills.preempted.clear()
        return batch


@define
class KeepsItsOldPeer(Sender):
    """Where a request's cache goes was agreed once; a new attempt needs no new agreement."""

    agreed: dict[int, Put] = field(factory=dict)

    def _post(self, transfer: Outgoing, layers: LayerRange) -> Put:
        put = super()._post(transfer, layers)
        first = self.agreed.setdefault(put.request_id, put)
        return put._replace(target_loan=first.target_loan, target_blocks=first.target_blocks)


@define
class PromotesBehindTheQueue(Scheduler):
    """A cache that has come joins the batch behind the prompts that waited before it, and those wait for memory."""

    def _join(self) -> list:  # type: ignore[type-arg]
        head = self.prefills.head()
        return [] if head is not None and not self.has_room(self.blocks_wanted(head)) else super()._join()


@define
class AsksOnce(Sender):
    """The completion of the last put is asked for once; it will come."""

    def watches(self) -> tuple[Command, ...]:
        return ()


@define
class CountsCompletions(Machine):
    """A put that failed has completed too; as many have completed as there were, so the cache is whole."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._handlers[PutFailed] = self._completed
        self._handlers[Mismatch] = lambda event, now: self.handover.signalled(event.signal, now)

    def _completed(self, failed: PutFailed, now: int) -> tuple[Command, ...]:
        transfer = self.sender.open.get((failed.request_id, failed.attempt))
        posted = transfer is not None and transfer.state is not Source.STREAMING
        return (self.sender._signal(transfer, now),) if transfer is not None and posted else ()


@define
class TakesAnyAcknowledgement(Sender):
    """An acknowledgement names a request, and that is enough: of which attempt it is does not matter."""

    def acknowledged(self, message: Acknowledge, now: int) -> tuple[Command, ...]:
        latest = max((attempt for request, attempt in self.open if request == message.request_id), default=0)
        return super().acknowledged(message._replace(attempt=latest), now)


@define
class ReadsAnothersClock(Sender):
    """Until when it may write is taken from the time that stands on the grant, which is that of another clock."""

    def granted(self, grant: Grant, now: int) -> tuple[Command, ...]:
        del now
        return super().granted(grant, grant.sent_ps)


@define
class TakesWhateverComes(Machine):
    """Who assigns knows what he does: nothing comes twice, late, or from a router that was replaced."""

    def admits(self, message: Assign | Reserve) -> bool:
        del message
        return True


@define
class PutsWhatStoodThere(Machine):
    """A put that is posted again names the first blocks of the pool: the reference was never renewed, nor the sum."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._handlers[PutFailed] = self._again
        self._handlers[Mismatch] = lambda event, now: self.handover.signalled(event.signal, now)

    def _again(self, failed: PutFailed, now: int) -> tuple[Command, ...]:
        commands = self.sender.put_again((failed.request_id, failed.attempt), now)
        return tuple(self._stale(command) if isinstance(command, Put) else command for command in commands)

    def _stale(self, put: Put) -> Put:
        return put._replace(source_blocks=tuple(range(len(put.source_blocks))))
