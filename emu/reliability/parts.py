"""Parts: all that the page counts, cut into pieces that are made one by one, in any order, and kept as they come.

A piece has a name and gives a plain document, so that a run that was stopped goes on where it was, and several pieces
are made at once. What the page says follows from the pieces alone, however they were made. Only the moves depend on
each other: a round is aimed at the cells that the rounds before it have not filled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import evolve, frozen

from emu.reliability.aims import fill
from emu.reliability.built import BUILT, fill_built
from emu.reliability.cells import Cell, table
from emu.reliability.matrix import Matrix
from emu.reliability.plans import BATCH, Tally, batch
from emu.reliability.rolling import Curve, crash_of_a_tenth, measured, rolling_restart, shipped, surge
from emu.reliability.trial import Trials
from emu.scenario.draw import KINDS
from emu.sweep.version import program_version

DIRECTIONS: Final = ("put", "get")
ROUND: Final = 4  # pieces of moves that are aimed alike
WORLDS: Final = 25  # of one piece
AIMED_AT: Final = 3  # requests in each phase, for each kind
CAPACITY_RPS: Final = 24.0  # where the goodput of overload.toml's machines peaks

BUILT_FOR: Final = "built/"
PLANS: Final = "plans/"

Kept = Mapping[str, dict[str, Any]]


@frozen
class Size:
    """How much is counted: drawn plans, worlds that moves are aimed in, seconds of arrivals in a whole cluster."""

    plans: int
    worlds: int
    seconds: float


def names(size: Size) -> Iterator[tuple[str, ...]]:
    """The names of all pieces, in stages: a stage can begin when the ones before it are made."""
    yield (
        *(f"curve/{name}" for name in CURVES),
        *(f"table/{direction}/{kind}" for direction in DIRECTIONS for kind in KINDS),
    )
    pieces = [f"moves/{first}" for first in range(0, size.worlds, WORLDS)]
    for first in range(0, len(pieces), ROUND):
        yield tuple(pieces[first : first + ROUND])
    yield tuple(f"{BUILT_FOR}{name}" for name in BUILT)
    yield tuple(f"{PLANS}{first}" for first in range(0, size.plans, BATCH))


def made(name: str, size: Size, full: frozenset[tuple[Any, str]]) -> dict[str, Any]:
    """The piece of that name; `full` are the cells of moves that need no more."""
    kind, _, rest = name.partition("/")
    if kind == "table":
        direction, _, fault = rest.partition("/")
        cells = table(Trials(), direction, (fault,), aimed_at=AIMED_AT)
        return {"cells": [[*cell, found.document()] for cell, found in cells.items()]}
    if kind == "moves":
        first = int(rest)
        return fill(range(first, min(first + WORLDS, size.worlds)), full=full).document()
    if kind == "built":
        return {**fill_built(rest, full).document(), "program": program_version()}
    if kind == "plans":
        document = batch(int(rest), min(int(rest) + BATCH, size.plans)).document()
        return {**document, "program": program_version()}
    return CURVES[rest](size).document()


def tables(kept: Kept) -> dict[str, dict[tuple[str, str], Cell]]:
    """By direction, the cells by kind and phase."""
    found: dict[str, dict[tuple[str, str], Cell]] = {}
    for direction in DIRECTIONS:
        cells = found[direction] = {}
        for document in _those(kept, f"table/{direction}/"):
            cells |= {(kind, phase): Cell.of(cell) for kind, phase, cell in document["cells"]}
    return found


def matrix(kept: Kept) -> Matrix:
    total = Matrix()
    for prefix in ("moves/", BUILT_FOR):
        for document in _those(kept, prefix):
            total.add(Matrix.of(document))
    return total


def others(kept: Kept, prefix: str) -> str:
    """The programs that made these pieces, if they are others than that of all the rest."""
    made_by = {document["program"] for document in _those(kept, prefix)}
    return ", ".join(sorted(made_by - {kept.get("program", {}).get("program")}))


def tally(kept: Kept) -> Tally:
    total = Tally()
    for document in _those(kept, PLANS):
        total.add(Tally.of(document))
    return total


def curves(kept: Kept) -> list[Curve]:
    return [Curve.of(kept[f"curve/{name}"]) for name in CURVES if f"curve/{name}" in kept]


def _those(kept: Kept, prefix: str) -> Iterator[dict[str, Any]]:
    """In the order of their numbers, whenever they were made."""
    ordered = sorted((len(name), name) for name in kept if name.startswith(prefix))
    return (kept[name] for _, name in ordered)


def _crash(size: Size) -> Curve:
    whole = shipped("splitwise_hh.toml")
    whole = evolve(whole, workload=evolve(whole.workload, duration_s=size.seconds))
    return measured("A tenth of the machines crash at once (splitwise_hh, 70 RPS)", crash_of_a_tenth(whole, 40.0))


def _rolling(size: Size) -> Curve:
    whole = shipped("splitwise_hh.toml")
    whole = evolve(whole, workload=evolve(whole.workload, duration_s=size.seconds))
    return measured("A rolling restart of all machines (splitwise_hh, 70 RPS)", rolling_restart(whole, 30.0, 1.0))


def _at_rate(title: str, rate_rps: float) -> Callable[[Size], Curve]:
    small = shipped("overload.toml")
    scenario = evolve(small, workload=evolve(small.workload, rate_rps=rate_rps))
    return lambda _: measured(title, scenario)


def _surge(_: Size) -> Curve:
    storm = surge(shipped("overload.toml"), 16.0, 3 * CAPACITY_RPS, 60.0, 90.0, 180.0)
    return measured("Thirty seconds at three times that rate, then 16 again; clients retry", storm, (60, 90))


CURVES: Final[dict[str, Callable[[Size], Curve]]] = {
    "crash": _crash,
    "rolling": _rolling,
    "peak": lambda size: _at_rate(f"At {CAPACITY_RPS:g} requests a second, {_PEAK}", CAPACITY_RPS)(size),
    "twice": lambda size: _at_rate(f"At {2 * CAPACITY_RPS:g} requests a second, twice that", 2 * CAPACITY_RPS)(size),
    "surge": _surge,
}
_PEAK: Final = "where the goodput of overload.toml's machines peaks"
