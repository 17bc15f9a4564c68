"""The ranges that a scenario's figures must lie in, as attrs validators.

A validator sees one value and knows neither file nor key path: it raises `RangeError`, which loading turns into a
`Refusal`. What compares two keys, or a key with the world outside, belongs in `emu.scenario.checks`.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from attrs import Attribute

Validator: TypeAlias = Callable[[Any, "Attribute[Any]", Any], None]

# Past these a figure is a slip of the pen. Inside them 64 bits hold every instant in picoseconds (they end at 106 days)
# and no duration but 0 rounds to none, so that no timer can fire for ever at one instant.
LONGEST_S = 9e6
SHORTEST_S = 1e-9
SHORTEST_PERIOD_S = 1e-3
MOST_MACHINES = 10_000
MOST_REQUESTS = 100_000_000
MOST_TOKENS = 2**31 - 1
MOST_BLOCKS = 2**27
MOST_BYTES = 2**60


class RangeError(ValueError):
    """A value of the right type that its key cannot take."""

    def __init__(self, key: str, expected: str, got: object) -> None:
        super().__init__(f"{key}: expected {expected}, got {got!r}")
        self.key = key
        self.expected = expected
        self.got = got


def between(low: float, high: float, unit: str = "", *, or_zero: bool = False, below: bool = False) -> Validator:
    """From `low` to `high`, both included (`below`: without `high`); `or_zero` lets 0 through where `low` is more."""
    bounds = f"a number from {_shown(low)} to {'below ' if below else ''}{_shown(high)}"
    expected = ("0 or " if or_zero else "") + bounds + (f" {unit}" if unit else "")

    def check(_instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
        if value is None or isinstance(value, str) or (or_zero and value == 0):  # text: a Literal beside the number
            return
        if not (low <= value < high if below else low <= value <= high):
            raise RangeError(attribute.name, expected, value)

    return check


def _shown(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def seconds() -> Validator:
    """A duration or an instant that may be 0."""
    return between(SHORTEST_S, LONGEST_S, "s", or_zero=True)


def positive_seconds() -> Validator:
    return between(SHORTEST_S, LONGEST_S, "s")


def period_seconds(*, or_zero: bool = False) -> Validator:
    """How often something happens: short periods are refused, since virtual time would hardly advance."""
    return between(SHORTEST_PERIOD_S, LONGEST_S, "s", or_zero=or_zero)


def ratio(low: float = 1e-6, high: float = 1e6) -> Validator:
    return between(low, high)


def at_least(low: int, high: int = MOST_TOKENS) -> Validator:
    return between(low, high)


def bytes_count(low: int = 1) -> Validator:
    return between(low, MOST_BYTES, "bytes")


def text() -> Validator:
    """Text that fits on a line: not empty, nothing unprintable, nothing longer than a path may be."""

    def check(_instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
        if value is not None and not (value.strip() and value.isprintable() and len(value) <= 4096):
            raise RangeError(attribute.name, "printable text that is not empty", value)

    return check
