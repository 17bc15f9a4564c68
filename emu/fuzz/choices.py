"""Choices: what draws are made of, so that one description of situations serves twice.

Drawn by Hypothesis they shrink, in a test of one's own; rolled from one number they cost next to nothing, and
each is as far from the last as it can be. A hunt rolls: it shrinks scenarios by itself, and Hypothesis's own mutations
would make five of six examples copies of another. What is chosen from stands in `strategies`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from attrs import field, frozen
from hypothesis import strategies as st

T = TypeVar("T")

SEEDS: Final = 2**24  # more and Hypothesis prefers small ones


class Choices(Protocol):
    """One choice after another; the first of what is offered, or the least, is the plainest."""

    def number(self, least: int, most: int) -> int: ...

    def one(self, among: Sequence[T]) -> T: ...

    def few(self, least: int, most: int, at_most: int) -> tuple[int, ...]:
        """At most so many different numbers, maybe none."""
        ...


@frozen(eq=False)
class Drawn:
    """Choices that Hypothesis makes, one draw each."""

    draw: st.DrawFn

    def number(self, least: int, most: int) -> int:
        return self.draw(st.integers(least, most))

    def one(self, among: Sequence[T]) -> T:
        return among[self.number(0, len(among) - 1)]

    def few(self, least: int, most: int, at_most: int) -> tuple[int, ...]:
        return tuple(self.draw(st.lists(st.integers(least, most), max_size=at_most, unique=True)))


@frozen(eq=False)
class Rolled:
    """Choices that follow from a seed, the same in any process."""

    seed: int
    _random: random.Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_random", random.Random(f"situation {self.seed}"))

    def number(self, least: int, most: int) -> int:
        return self._random.randint(least, most)

    def one(self, among: Sequence[T]) -> T:
        return among[self._random.randrange(len(among))]

    def few(self, least: int, most: int, at_most: int) -> tuple[int, ...]:
        return tuple(self._random.sample(range(least, most + 1), self.number(0, at_most)))


def drawn(make: Callable[[Choices], T]) -> st.SearchStrategy[T]:
    """What `make` makes of choices that Hypothesis draws and shrinks."""
    return st.composite(lambda draw: make(Drawn(draw)))()


def rolled(make: Callable[[Choices], T]) -> st.SearchStrategy[T]:
    """What `make` makes of choices that follow from one number."""
    return st.integers(0, SEEDS - 1).map(lambda seed: make(Rolled(seed)))
