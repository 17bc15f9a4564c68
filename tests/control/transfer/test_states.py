"""The two tables of the transfer protocol: what they allow happens, what they do not raises."""

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

import pytest

from emu.control.transfer.states import (
    DESTINATION,
    SOURCE,
    Destination,
    DestinationEvent,
    IllegalTransition,
    Source,
    SourceEvent,
    next_destination,
    next_source,
)

State = TypeVar("State", bound=Enum)
Event = TypeVar("Event", bound=Enum)


def reached(table: Mapping[tuple[State, Event], State], start: State) -> set[State]:
    found, frontier = {start}, [start]
    while frontier:
        state = frontier.pop()
        after = {to for (before, _), to in table.items() if before is state}
        frontier += after - found
        found |= after
    return found


@pytest.mark.parametrize("event", SourceEvent)
@pytest.mark.parametrize("state", Source)
def test_every_event_at_every_source(state: Source, event: SourceEvent) -> None:
    if (state, event) in SOURCE:
        assert next_source(state, event) is SOURCE[state, event]
    else:
        with pytest.raises(IllegalTransition, match=f"a source that is {state.value} cannot take '{event.value}'"):
            next_source(state, event)


@pytest.mark.parametrize("event", DestinationEvent)
@pytest.mark.parametrize("state", Destination)
def test_every_event_at_every_destination(state: Destination, event: DestinationEvent) -> None:
    if (state, event) in DESTINATION:
        assert next_destination(state, event) is DESTINATION[state, event]
    else:
        with pytest.raises(IllegalTransition, match=f"a destination that is {state.value} cannot take '{event.value}'"):
            next_destination(state, event)


def test_every_state_can_be_reached_and_only_the_last_ones_have_no_way_out() -> None:
    assert reached(SOURCE, Source.OPEN) == set(Source)
    assert reached(DESTINATION, Destination.QUEUED) == set(Destination)
    assert set(Source) - {before for before, _ in SOURCE} == {Source.RELEASED, Source.ABANDONED}
    assert set(Destination) - {before for before, _ in DESTINATION} == {Destination.COMMITTED, Destination.ABANDONED}


def test_every_state_can_still_come_to_an_end() -> None:
    """No state is a trap: from each there is a way to the last ones."""
    for source in Source:
        assert reached(SOURCE, source) & {Source.RELEASED, Source.ABANDONED}
    for destination in Destination:
        assert reached(DESTINATION, destination) & {Destination.COMMITTED, Destination.ABANDONED}


def test_posted_puts_are_never_forgotten() -> None:
    """Who has posted puts leaves only by an acknowledgement or by their completion."""
    posted = {Source.STREAMING, Source.FLUSHING, Source.DRAINING}
    ways_out = {event for (before, event), after in SOURCE.items() if before in posted and after not in posted}
    assert ways_out == {SourceEvent.ACKNOWLEDGE, SourceEvent.DRAIN}


def test_a_fenced_destination_is_freed_only_on_evidence() -> None:
    """Its source's last word, which comes behind the writes, or a quarantine that outlasts them."""
    fenced = {event for before, event in DESTINATION if before is Destination.FENCED}
    assert fenced == {DestinationEvent.SIGNAL, DestinationEvent.ABANDON, DestinationEvent.CLEAR}
    assert Destination.COMMITTED not in reached(DESTINATION, Destination.FENCED)
