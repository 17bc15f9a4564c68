"""Aims: faults that are aimed at every move of the transition tables.

A world is a drawn scenario, with one fault or none. Its run says which attempt was in which state from when to when,
and what its next move was. Then a second fault is aimed into that stay: until it strikes, the run is the same, so the
attempt was in that state, and that move would have been its next. Where a move is still wanted, its first fault is
aimed too: into a stay in that state, since what ends attempts there most often makes the rarer moves.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import evolve

from emu.record import entries as e
from emu.reliability.matrix import COLUMNS, MESSAGE_OF, TABLES, Cell, Matrix, Move, moves
from emu.reliability.trace import Stay, Traced, trace
from emu.scenario.draw import draw_plan, draw_scenario
from emu.scenario.schema import Fault, FaultKind, Scenario, machine_names

_PS_PER_S: Final = 10**12
_FIRST: Final[tuple[FaultKind, ...]] = (
    *("crash", "restart", "pause", "link_down", "cancel", "cancel", "lose", "late_write", "late_write", "link_slow"),
)
_LEADS: Final = ("cancel", "crash source", "crash target", "cut", "deaf", "mute")
"""First faults that are aimed: the last three cut all ways between two ends, or only the messages, or only those to the
source, which does not hear of its completion either."""


def fill(seeds: range, full: frozenset[Cell] = frozenset()) -> Matrix:
    """Draw worlds and aim into their stays until every cell is full or the seeds are spent."""
    matrix = Matrix(full)
    for seed in seeds:
        matrix.worlds += 1
        plain = _world(seed)
        traced = aim_all(matrix, plain)
        most_s = plain.transfer.max_flight_s  # no write is later than that
        plan = (evolve(x, by_s=min(x.by_s or 0.0, most_s) or None) for x in draw_plan(seed, plain, 1, _FIRST))
        aim_all(matrix, evolve(plain, faults=tuple(plan)))
        for number, move in enumerate(moves()):
            if any(matrix.wants(move, column) for column in COLUMNS):
                lead = _LEADS[(seed + number) % len(_LEADS)]
                world = _led(plain, traced, move, lead, seed)
                if world is not None:
                    aim_all(matrix, world, move)
    return matrix


def aim_all(matrix: Matrix, world: Scenario, only: Move | None = None) -> Traced:
    """Aim into every stay of a world, or into those that end in this move."""
    traced = trace(world)
    matrix.runs += 1
    if traced.broken:
        matrix.broken.append(f"{world.name} {world.faults}: {', '.join(traced.broken)}")
    for stay in traced.stays:
        if only is None or stay.move == only:
            matrix.met[stay.move] += 1
            for column in COLUMNS:
                if matrix.wants(stay.move, column):
                    _try(matrix, world, traced, stay, column)
    return traced


def _led(plain: Scenario, traced: Traced, move: Move, lead: str, seed: int) -> Scenario | None:
    """The world in which that first fault strikes early in a stay in the move's state, if there is one."""
    table, state, _ = move
    before = {state, *(old.value for (old, _), new in TABLES[table].items() if new.value == state)}
    there = [x for x in traced.stays if x.move[0] == table and x.move[1] in before and x.end_ps - x.start_ps > 3]
    if not there:
        return None
    stay = there[seed % len(there)]
    early = evolve(stay, end_ps=stay.start_ps + (stay.end_ps - stay.start_ps) // 3)
    fault = _aim(plain, traced, early, lead if lead in COLUMNS else "lease expires")
    if fault is None:
        return None
    if lead in ("deaf", "mute"):
        fault = evolve(fault, plane="control")
    if lead == "mute" and fault.machines is not None:
        deaf = evolve(fault, machines=fault.machines[::-1], one_way=True, heal_after_s=1.3)
        return evolve(plain, faults=(deaf, Fault(kind="lose_completion", request=stay.key[0], count=4)))
    return evolve(plain, faults=(fault,))


def _world(seed: int) -> Scenario:
    """A drawn cluster without a fault: two thirds of them put, one third has hardly any blocks, some slow cards."""
    drawn = draw_scenario(seed)
    blocks = 40 if seed % 3 == 1 else None
    machines = tuple(evolve(group, kv_blocks=blocks or group.kv_blocks) for group in drawn.machines)
    rows = tuple(evolve(row, prompt_tokens=min(row.prompt_tokens, 300)) for row in drawn.workload.requests)
    direction: Any = "get" if seed % 5 in (1, 3) else "put"
    transfer = evolve(drawn.transfer, direction=direction, lease_s=1.0, heartbeat_s=0.2, max_flight_s=1.0)
    workload = evolve(drawn.workload, requests=rows if blocks else drawn.workload.requests)
    network = evolve(drawn.network, bandwidth_factor=(1.0, 0.01, 0.1, 0.02)[seed % 4])
    scheduler = evolve(drawn.scheduler, prefill_batch_tokens=(2048, 2048, 64)[seed % 3])
    world = evolve(drawn, faults=(), machines=machines, transfer=transfer, workload=workload)
    return evolve(world, scheduler=scheduler, network=network)


def _try(matrix: Matrix, world: Scenario, traced: Traced, stay: Stay, column: str) -> None:
    fault = _aim(world, traced, stay, column)
    if fault is None:
        if stay.start_ps == stay.end_ps:
            matrix.instant.add(stay.move)
        return
    cell = (stay.move, column)
    matrix.tried[cell] += 1
    found = trace(evolve(world, faults=(*world.faults, fault)))
    matrix.runs += 1
    struck = [x for x in found.entries if isinstance(x, e.FaultStruck) and x.fault == len(world.faults)]
    if not struck or (column == "cancel" and not struck[0].live):
        return
    if column == "lease expires" and not _expired(found, stay):
        return
    matrix.reached[cell] += 1
    if found.broken:
        matrix.broken.append(f"{world.name} {fault}: {', '.join(found.broken)}")


def _expired(found: Traced, stay: Stay) -> bool:
    """A lease of the attempt ran out while it was still in that state."""
    table, state, _ = stay.move
    for other in found.stays:
        ran_out = other.move[2] in ("expire", "give up", "withdraw")
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
        message = MESSAGE_OF.get(stay.move[2])
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
