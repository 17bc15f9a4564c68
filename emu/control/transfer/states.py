"""The KV-transfer protocol's state machines: one table for each end, as data.

The same tables serve both directions. In a put the source posts its cache and signals; in a get the destination reads
it and notifies: there a source is COMPUTED until the notice, and a destination's SIGNAL is its own read's completion.
What is sent on a move stands in `sender` and `receiver`; nothing but the moves belongs here.
"""

from __future__ import annotations

import enum
from typing import Final


class Source(enum.Enum):
    """The end that computes the cache."""

    __hash__ = object.__hash__  # members are singletons, and Enum's own hash is a Python call

    OPEN = "open"  # assigned; nobody has told where to put it
    GRANTED = "granted"  # the destination's blocks are known, nothing is posted
    COMPUTED = "computed"  # the prefill is done, and the grant has not come
    STREAMING = "streaming"  # puts are posted and follow the layers of a prefill under way
    FLUSHING = "flushing"  # everything is posted, the signal too; waits for the acknowledgement
    DRAINING = "draining"  # given up with puts in flight, which nobody can recall
    RELEASED = "released"
    ABANDONED = "abandoned"


class SourceEvent(enum.Enum):
    __hash__ = object.__hash__  # members are singletons, and Enum's own hash is a Python call

    GRANT = "grant"
    STREAM = "stream"  # a prefill that hands over layer by layer is under way, and the grant is here
    COMPUTE = "compute"
    ACKNOWLEDGE = "acknowledge"
    GIVE_UP = "give up"  # the request ended here, or its lease expired
    DRAIN = "drain"  # the completion of the last posted put; the destination's last word where it reads
    WITHDRAW = "withdraw"  # as give up, of a cache that was offered and may be read


class Destination(enum.Enum):
    """The end that decodes."""

    __hash__ = object.__hash__  # members are singletons, and Enum's own hash is a Python call

    QUEUED = "queued"  # waits for blocks
    GRANTED = "granted"
    FENCED = "fenced"  # given up, or its lease expired; the blocks wait for evidence that no write is in flight
    COMMITTED = "committed"
    ABANDONED = "abandoned"


class DestinationEvent(enum.Enum):
    __hash__ = object.__hash__  # members are singletons, and Enum's own hash is a Python call

    LEND = "lend"
    SIGNAL = "signal"
    ABANDON = "abandon"  # the source says so, and that nothing is in flight
    EXPIRE = "expire"
    CANCEL = "cancel"  # the router says so; the source may be writing still, or be gone
    CLEAR = "clear"  # the source's right to write has ended for so long that nothing can be in flight


SOURCE: Final[dict[tuple[Source, SourceEvent], Source]] = {
    (Source.OPEN, SourceEvent.GRANT): Source.GRANTED,
    (Source.OPEN, SourceEvent.COMPUTE): Source.COMPUTED,
    (Source.OPEN, SourceEvent.GIVE_UP): Source.ABANDONED,
    (Source.GRANTED, SourceEvent.STREAM): Source.STREAMING,
    (Source.GRANTED, SourceEvent.COMPUTE): Source.FLUSHING,
    (Source.GRANTED, SourceEvent.GIVE_UP): Source.ABANDONED,
    (Source.COMPUTED, SourceEvent.GRANT): Source.FLUSHING,
    (Source.COMPUTED, SourceEvent.GIVE_UP): Source.ABANDONED,
    (Source.COMPUTED, SourceEvent.WITHDRAW): Source.DRAINING,
    (Source.COMPUTED, SourceEvent.ACKNOWLEDGE): Source.RELEASED,
    (Source.STREAMING, SourceEvent.COMPUTE): Source.FLUSHING,
    (Source.STREAMING, SourceEvent.GIVE_UP): Source.DRAINING,
    (Source.FLUSHING, SourceEvent.ACKNOWLEDGE): Source.RELEASED,
    (Source.FLUSHING, SourceEvent.GIVE_UP): Source.DRAINING,
    (Source.DRAINING, SourceEvent.DRAIN): Source.ABANDONED,
    (Source.DRAINING, SourceEvent.ACKNOWLEDGE): Source.RELEASED,  # it had arrived; that is evidence too
}

DESTINATION: Final[dict[tuple[Destination, DestinationEvent], Destination]] = {
    (Destination.QUEUED, DestinationEvent.LEND): Destination.GRANTED,
    (Destination.QUEUED, DestinationEvent.ABANDON): Destination.ABANDONED,
    (Destination.QUEUED, DestinationEvent.CANCEL): Destination.ABANDONED,
    (Destination.GRANTED, DestinationEvent.SIGNAL): Destination.COMMITTED,
    (Destination.GRANTED, DestinationEvent.ABANDON): Destination.ABANDONED,
    (Destination.GRANTED, DestinationEvent.EXPIRE): Destination.FENCED,
    (Destination.GRANTED, DestinationEvent.CANCEL): Destination.FENCED,
    (Destination.FENCED, DestinationEvent.SIGNAL): Destination.ABANDONED,  # the signal comes behind the last write
    (Destination.FENCED, DestinationEvent.ABANDON): Destination.ABANDONED,
    (Destination.FENCED, DestinationEvent.CLEAR): Destination.ABANDONED,
}


class IllegalTransition(Exception):
    """An event that the table does not hold in this state: a bug. Nothing was changed."""


def next_source(state: Source, event: SourceEvent) -> Source:
    """Raises IllegalTransition."""
    after = SOURCE.get((state, event))
    if after is None:
        raise IllegalTransition(f"a source that is {state.value} cannot take {event.value!r}")
    return after


def next_destination(state: Destination, event: DestinationEvent) -> Destination:
    """Raises IllegalTransition."""
    after = DESTINATION.get((state, event))
    if after is None:
        raise IllegalTransition(f"a destination that is {state.value} cannot take {event.value!r}")
    return after
