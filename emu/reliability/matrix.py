"""Matrix: every move of the transition tables, under everything that can come between a state and its next move.

A world is a drawn scenario, with one fault or none. Its run says which attempt was in which state from when to when,
and what its next move was. Then a second fault is aimed into that stay: until it strikes, the run is the same, so the
attempt was in that state, and that move would have been its next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from attrs import define, evolve, field, frozen

from emu.control.request import MOVES, Sequence
from emu.control.transfer.receiver import Incoming
from emu.control.transfer.sender import Outgoing
from emu.control.transfer.states import DESTINATION, SOURCE
from emu.execute import go, law_rules
from emu.laws.checker import Checker
from emu.record import entries as e
from emu.reliability.trial import Kept
from emu.run import Cluster, build, load_workload
from emu.scenario.draw import draw_plan, draw_scenario
from emu.scenario.schema import Fault, FaultKind, Scenario, machine_names

COLUMNS: Final = ("crash source", "crash target", "lose", "duplicate", "cancel", "lease expires")
WANTED: Final = 10
TABLES: Final[dict[str, Any]] = {"source": SOURCE, "destination": DESTINATION, "attempt": MOVES}
_PS_PER_S: Final = 10**12
TRIES: Final = 60  # of one cell
_FIRST: Final[tuple[FaultKind, ...]] = (
    *("crash", "restart", "pause", "link_down", "cancel", "cancel", "lose", "late_write", "late_write", "link_slow"),
)
_MESSAGE_OF: Final = {
    "grant": "Grant",
    "acknowledge": "Acknowledge",
    "lend": "Reserve",
    "signal": "Signal",
    "commit": "Signal",
    "start prefill": "Assign",
    "abandon": "Abandon",
    "cancel": "Cancel",
}
Move = tuple[str, str, str]  # table, state, event
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


@define(eq=False)
class Matrix:
    """How often each cell was reached, and what broke on the way."""

    wanted: int = WANTED
    reached: dict[tuple[Move, str], int] = field(factory=dict)
    instant: set[Move] = field(factory=set)  # moves from a state in which no time was ever spent
    tried: dict[tuple[Move, str], int] = field(factory=dict)
    broken: list[str] = field(factory=list)
    runs: int = 0

    def wants(self, move: Move, column: str) -> bool:
        cell = (move, column)
        return self.reached.get(cell, 0) < self.wanted and self.tried.get(cell, 0) < TRIES

    def add(self, other: Matrix) -> None:
        for cell, count in other.reached.items():
            self.reached[cell] = self.reached.get(cell, 0) + count
        self.instant |= other.instant
        self.broken += other.broken
        self.runs += other.runs

    def why_not(self, move: Move, column: str) -> str:
        """Why a cell was reached less often than wanted."""
        if column in ("lose", "duplicate") and move[2] not in _MESSAGE_OF:
            return "no message makes this move"
        if not any(key[0] == move for key in self.reached):
            return "no time passes in this state" if move in self.instant else "not met in the worlds drawn"
        if column == "lease expires":
            return "no lease is out in this state, or its holder renews it itself"
        return "met too seldom in the worlds drawn"


def moves() -> list[Move]:
    """Every move of the three tables."""
    return [(name, state.value, event.value) for name, table in TABLES.items() for state, event in table]


def fill(seeds: range, wanted: int = WANTED) -> Matrix:
    """Draw worlds and aim into their stays until every cell is full or the seeds are spent."""
    matrix = Matrix(wanted)
    for seed in seeds:
        world = _world(seed)
        traced = trace(world)
        for stay in traced.stays:
            for column in COLUMNS:
                if matrix.wants(stay.move, column):
                    _try(matrix, world, traced, stay, column)
    return matrix


def _world(seed: int) -> Scenario:
    """A drawn cluster, two times of three with a fault, one time of three with hardly any blocks."""
    drawn = draw_scenario(seed)
    blocks = 40 if seed % 3 == 1 else None
    machines = tuple(evolve(group, kv_blocks=blocks or group.kv_blocks) for group in drawn.machines)
    rows = tuple(evolve(row, prompt_tokens=min(row.prompt_tokens, 300)) for row in drawn.workload.requests)
    transfer = evolve(drawn.transfer, lease_s=1.0, heartbeat_s=0.2, max_flight_s=1.0)
    workload = evolve(drawn.workload, requests=rows if blocks else drawn.workload.requests)
    network = evolve(drawn.network, bandwidth_factor=(1.0, 0.01, 0.1)[seed % 3])
    world = evolve(drawn, faults=(), machines=machines, transfer=transfer, workload=workload, network=network)
    return evolve(world, faults=draw_plan(seed, world, 1, _FIRST)) if seed % 3 else world


def _try(matrix: Matrix, world: Scenario, traced: Traced, stay: Stay, column: str) -> None:
    fault = _aim(world, traced, stay, column)
    if fault is None:
        if stay.start_ps == stay.end_ps:
            matrix.instant.add(stay.move)
        return
    cell = (stay.move, column)
    matrix.tried[cell] = matrix.tried.get(cell, 0) + 1
    found = trace(evolve(world, faults=(*world.faults, fault)))
    matrix.runs += 1
    struck = [x for x in found.entries if isinstance(x, e.FaultStruck) and x.fault == len(world.faults)]
    if not struck or not struck[0].live:
        return
    if column == "lease expires" and not _expired(found, stay):
        return
    matrix.reached[cell] = matrix.reached.get(cell, 0) + 1
    if found.broken:
        matrix.broken.append(f"{world.name} {fault}: {', '.join(found.broken)}")


def _expired(found: Traced, stay: Stay) -> bool:
    """A lease of the attempt ran out while it was still in that state."""
    table, state, _ = stay.move
    for other in found.stays:
        ran_out = other.move[2] in ("expire", "give up")
        if other.key == stay.key and ran_out and other.end_ps > stay.start_ps:
            return any(
                mine.key == stay.key
                and mine.move[:2] == (table, state)
                and mine.start_ps <= other.end_ps <= mine.end_ps
                for mine in found.stays
            )
    return False


def _aim(world: Scenario, traced: Traced, stay: Stay, column: str) -> Fault | None:
    """The fault of this column that strikes the attempt in that stay, if one can."""
    request = stay.key[0]
    places = [x for x in traced.entries if isinstance(x, e.Assigned) and (x.request, x.attempt) == stay.key]
    if not places:
        return None
    names = machine_names(world)
    source, target = names[places[0].prefill_machine], names[places[0].decode_machine]
    at_s = (stay.start_ps + stay.end_ps) // 2 / _PS_PER_S
    if column in ("lose", "duplicate"):
        message = _MESSAGE_OF.get(stay.move[2])
        from_s = places[0].at_ps / _PS_PER_S
        kind: Any = column
        return None if message is None else Fault(kind=kind, message=message, request=request, at_s=from_s)
    if stay.end_ps - stay.start_ps < 2:
        return None
    if column == "cancel":
        return Fault(kind="cancel", request=request, at_s=at_s)
    if column == "lease expires":
        if source == target:
            return None
        return Fault(kind="link_down", machines=(source, target), plane="both", at_s=at_s, heal_after_s=4.0)
    machine = source if column == "crash source" else target
    return Fault(kind="crash", machine=machine, at_s=at_s, heal_after_s=1.0)


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
