"""Trace: a run under all laws, and every stay of every attempt in a state of the transition tables.

Moves are noted where cores make them. What is aimed into a stay stands in `aims`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, evolve, frozen

from emu.arrivals import load_workload
from emu.cluster import Cluster
from emu.control.request import Sequence
from emu.control.transfer.receiver import Incoming
from emu.control.transfer.sender import Outgoing
from emu.execute import go, law_rules
from emu.laws.checker import Checker
from emu.record import entries as e
from emu.reliability.matrix import Move
from emu.reliability.trial import Kept
from emu.run import build
from emu.scenario.schema import Scenario

Key = tuple[int, int]  # request, attempt


@frozen
class Stay:
    """An attempt was in a state of a table until its next move."""

    key: Key
    move: Move
    start_ps: int
    end_ps: int


@define(eq=False)
class Traced:
    """What a world did: its entries, and every stay in a state."""

    entries: list[e.Entry]
    stays: list[Stay]
    broken: tuple[str, ...]


def trace(scenario: Scenario) -> Traced:
    """Run a scenario under all laws, and note every move of every attempt."""
    cluster, workload = Cluster.of(scenario), load_workload(scenario)
    checker, kept = Checker(cluster.started(workload), law_rules(cluster)), Kept()
    run = build(cluster, workload, (*checker.laws, kept))
    since: dict[tuple[str, int], int] = {}
    found: list[Stay] = []

    def note(table: str, thing: Any, key: Key, state: str, event: str) -> None:
        now = run.clock.now_ps
        place = (table, id(thing))
        found.append(Stay(key, (table, state, event), since.get(place, born.get(key, now)), now))
        since[place] = now

    born: dict[Key, int] = {}
    with _noted(note):
        go(run)
    for entry in kept.entries:
        if isinstance(entry, e.Assigned):
            born[entry.request, entry.attempt] = entry.at_ps
    stays = [_from_birth(stay, born) for stay in found]
    return Traced(kept.entries, stays, tuple(sorted({verdict.law for verdict in checker.finish()})))


def _from_birth(stay: Stay, born: dict[Key, int]) -> Stay:
    """An attempt's first stay begins with its assignment."""
    first = stay.move[1] in ("open", "queued")
    return evolve(stay, start_ps=born.get(stay.key, stay.start_ps)) if first and stay.start_ps == stay.end_ps else stay


@contextmanager
def _noted(note: Callable[[str, Any, Key, str, str], None]) -> Iterator[None]:
    """While this lasts, `note` hears of every move that a core makes, before it is made."""
    classes: tuple[tuple[str, type, Callable[[Any], tuple[Key, str]]], ...] = (
        ("source", Outgoing, lambda o: ((o.sequence.request.request_id, o.sequence.attempt), o.state.value)),
        ("destination", Incoming, lambda i: ((i.reserve.request.request_id, i.reserve.attempt), i.state.value)),
        ("attempt", Sequence, lambda s: ((s.request.request_id, s.attempt), s.phase.value)),
    )
    originals = []
    for table, owner, read in classes:
        original = owner.__dict__["move"]
        originals.append((owner, original))

        def move(self: Any, event: Any, *, table: str = table, read: Any = read, original: Any = original) -> None:
            key, state = read(self)
            note(table, self, key, state, event.value)
            original(self, event)

        setattr(owner, "move", move)  # noqa: B010
    try:
        yield
    finally:
        for owner, original in originals:
            setattr(owner, "move", original)  # noqa: B010
