"""Matrix: every move of the transition tables, under everything that can come between a state and its next move.

It counts how often each cell was reached, and says of those that were not why. How they are reached stands in `aims`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from attrs import define, field

from emu.control.request import MOVES
from emu.control.transfer.states import DESTINATION, SOURCE

COLUMNS: Final = ("crash source", "crash target", "lose", "duplicate", "cancel", "lease expires")
WANTED: Final = 10
TABLES: Final[dict[str, Any]] = {"source": SOURCE, "destination": DESTINATION, "attempt": MOVES}
TRIES: Final = 15  # of one cell, in one piece
HOPELESS: Final = 120  # tries in vain, after which a cell is left
MESSAGE_OF: Final = {
    "grant": "Grant",
    "acknowledge": "Acknowledge",
    "lend": "Reserve",
    "signal": "Signal",
    "commit": "Signal",
    "start prefill": "Assign",
    "abandon": "Abandon",
    "cancel": "Cancel",
    "give up": "Cancel",
    "withdraw": "Cancel",
    "end": "Cancel",
    "drain": "Abandon",
}
Move = tuple[str, str, str]  # table, state, event
Cell = tuple[Move, str]  # and column
_BY_ITSELF: Final = (
    "the machine makes it itself, in the step of a prompt with one token to come; a Cancel ends who hands over by then"
)
UNREACHABLE: Final[dict[Cell, str]] = {
    (("source", "draining", "acknowledge"), "lease expires"): (
        "its destination has committed, which ends the lease there; that of the source is over when it drains"
    ),
    (("attempt", "prefilling", "prefilled"), "lease expires"): "it decodes where it is: no lease is ever out",
    **{(("attempt", "prefilling", "end"), column): _BY_ITSELF for column in ("lose", "duplicate")},
}


@define(eq=False)
class Matrix:
    """How often each cell was reached, and what broke on the way. `full` ones are not aimed at."""

    full: frozenset[Cell] = frozenset()
    reached: Counter[Cell] = field(factory=Counter)
    tried: Counter[Cell] = field(factory=Counter)
    met: Counter[Move] = field(factory=Counter)  # stays that ended in this move
    instant: set[Move] = field(factory=set)  # moves from a state in which no time was ever spent
    broken: list[str] = field(factory=list)
    runs: int = 0
    worlds: int = 0

    def wants(self, move: Move, column: str) -> bool:
        cell = (move, column)
        return (
            cell not in self.full
            and cell not in UNREACHABLE
            and self.reached[cell] < WANTED
            and self.tried[cell] < TRIES
        )

    def done(self) -> frozenset[Cell]:
        """Cells that are full, or hopeless."""
        hopeless = {cell for cell, count in self.tried.items() if count >= HOPELESS and not self.reached[cell]}
        return frozenset(hopeless | {cell for cell, count in self.reached.items() if count >= WANTED})

    def add(self, other: Matrix) -> None:
        self.reached += other.reached
        self.tried += other.tried
        self.met += other.met
        self.instant |= other.instant
        self.broken += other.broken
        self.runs += other.runs
        self.worlds += other.worlds

    def document(self) -> dict[str, Any]:
        return {
            "reached": [[*move, column, count] for (move, column), count in self.reached.items()],
            "tried": [[*move, column, count] for (move, column), count in self.tried.items()],
            "met": [[*move, count] for move, count in self.met.items()],
            "instant": sorted(self.instant),
            "broken": self.broken,
            "runs": self.runs,
            "worlds": self.worlds,
        }

    @classmethod
    def of(cls, document: dict[str, Any]) -> Matrix:
        """What `document` gave."""
        return cls(
            reached=Counter({((a, b, c), column): count for a, b, c, column, count in document["reached"]}),
            tried=Counter({((a, b, c), column): count for a, b, c, column, count in document["tried"]}),
            met=Counter({(a, b, c): count for a, b, c, count in document["met"]}),
            instant={(a, b, c) for a, b, c in document["instant"]},
            broken=document["broken"],
            runs=document["runs"],
            worlds=document["worlds"],
        )

    def why_not(self, move: Move, column: str) -> str:
        """Why a cell was reached less often than wanted."""
        event = move[2]
        if column in ("lose", "duplicate") and event not in MESSAGE_OF:
            return "no message makes this move"
        if (move, column) in UNREACHABLE:
            return UNREACHABLE[move, column]
        if not self.met[move]:
            return "the move was never met"
        if move in self.instant and not any(self.reached[move, other] for other in COLUMNS):
            return "no time passes between this state and this move"
        tried, reached = self.tried[move, column], self.reached[move, column]
        if column == "lease expires" and not reached:
            return "no lease runs out in this state: none is out, its holder renews it, or another move comes before"
        if column == "cancel" and not reached:
            return "the request is over for its client by then"
        if column in ("lose", "duplicate") and not reached:
            return "another message, or none, made this move in the worlds drawn"
        return f"aimed at {tried} times, and reached less than {WANTED} times"


def moves() -> list[Move]:
    """Every move of the three tables."""
    return [(name, state.value, event.value) for name, table in TABLES.items() for state, event in table]
