"""How far the answer of a search might lie from itself under other seeds: the levels that its interval reaches over.

A level ends the interval if its point most like the answer is beyond doubt, at the plan's confidence. Only the levels
next to the answer are asked; where these are in doubt, the interval reaches over `MOST_DOUBTED`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping

from emu.plan.ledger import Ledger
from emu.plan.trials import Found, Point, Trial
from emu.plan.verdicts import all_surely_fail, sureness

MOST_DOUBTED = 4


def lowest(ledger: Ledger, best: Point) -> Generator[tuple[Trial, ...], Mapping[Trial, Found], int]:
    """The lowest level at which the same search might end under other seeds."""
    level = ledger.space.level_of(best)
    if ledger.search.seeds < 2 or (yield from _surely_passes(ledger, best, best)):
        return level
    below = max(0, level - 1)
    if (yield from _surely_passes(ledger, nearest(ledger, below, best), best)):
        return below
    return max(0, level - MOST_DOUBTED)


def highest(ledger: Ledger, best: Point) -> Generator[tuple[Trial, ...], Mapping[Trial, Found], int]:
    """The highest level at which the same search might end under other seeds."""
    level, top = ledger.space.level_of(best), ledger.space.levels - 1
    if ledger.search.seeds < 2 or level == top:
        return level
    if (yield from _surely_fails(ledger, nearest(ledger, level + 1, best), best)):
        return level
    return min(level + MOST_DOUBTED, top)


def nearest(ledger: Ledger, level: int, best: Point) -> Point:
    """The point of another level that is most like the answer."""
    return min(ledger.space.points(level), key=lambda point: apart(point, best))


def apart(one: Point, other: Point) -> int:
    """How many machines two clusters differ in."""
    return sum(abs(a - b) for a, b in zip(one.counts, other.counts, strict=True))


def _surely_passes(
    ledger: Ledger, point: Point, best: Point
) -> Generator[tuple[Trial, ...], Mapping[Trial, Found], bool]:
    return (yield from _chance(ledger, point, best)) >= ledger.search.confidence


def _surely_fails(
    ledger: Ledger, point: Point, best: Point
) -> Generator[tuple[Trial, ...], Mapping[Trial, Found], bool]:
    if (yield from all_surely_fail(point, ledger.search)):
        return True
    return (yield from _chance(ledger, point, best)) <= 1 - ledger.search.confidence


def _chance(ledger: Ledger, point: Point, best: Point) -> Generator[tuple[Trial, ...], Mapping[Trial, Found], float]:
    """That as many other seeds would say that the point passes."""
    found = (yield from ledger.fully(point)).found
    return sureness(found, ledger.search.confidence, ledger.full[best].found).chance
