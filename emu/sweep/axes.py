"""`--vary`: which keys of a scenario a sweep changes, and through which values.

`key=a,b,c` lists values; `key=lo:hi:step` counts from lo to hi, both included, in exact decimal steps. Whether a key
exists and a value fits is judged by `emu.scenario`, as for `--set`; how runs are made of axes is `emu.sweep.grid`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from itertools import product

from attrs import frozen

from emu.refusal import Refusal
from emu.scenario.origin import shown

MOST_RUNS = 1_000_000
_OPENING, _CLOSING = "[{", "]}"


@frozen
class Axis:
    """One key and its values, as a person would write them behind `--set key=`."""

    key: str
    values: tuple[str, ...]


def parse_axes(varied: Sequence[str]) -> tuple[Axis, ...]:
    """The axes in the order given. Refusal: one that cannot be read, a key twice, a value twice."""
    axes = tuple(_parse(text) for text in varied)
    keys = [axis.key for axis in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise Refusal(f"--vary {key}", "expected each key once")
    return axes


def points(axes: Sequence[Axis], seeds: int) -> list[tuple[str, ...]]:
    """Every combination of values, the last axis fastest. Refusal: more runs than anyone has time for."""
    runs = seeds
    for axis in axes:
        runs *= len(axis.values)
    if runs > MOST_RUNS:
        raise Refusal("--vary", f"expected at most {MOST_RUNS:,} runs, got {runs:,}")
    return list(product(*(axis.values for axis in axes)))


def _parse(text: str) -> Axis:
    key, equals, listed = text.partition("=")
    where = f"--vary {shown(text)}"
    if not equals or not key.strip():
        raise Refusal(where, "expected KEY=A,B,C or KEY=LO:HI:STEP")
    values = _span(where, listed) or tuple(part.strip() for part in _split(listed))
    if not all(values):
        raise Refusal(where, "expected a value between the commas")
    for value in values:
        if values.count(value) > 1 and len(values) <= 1000:
            raise Refusal(where, f"expected each value once, got {value} twice")
    return Axis(key.strip(), values)


def _span(where: str, text: str) -> tuple[str, ...]:
    """lo:hi:step as values; none if the text is no such thing, as a policy named PACKAGE:NAME is not."""
    parts = text.split(":")
    if len(parts) not in (2, 3):
        return ()
    try:
        low, high, step = (Decimal(part.strip()) for part in (*parts, "1")[:3])
    except InvalidOperation:
        return ()
    if not (low.is_finite() and high.is_finite() and step.is_finite()):
        raise Refusal(where, "expected finite numbers")
    if step <= 0 or high < low:
        raise Refusal(where, "expected LO:HI:STEP with LO at most HI and STEP above 0")
    many = (high - low) // step + 1
    if many > MOST_RUNS:
        raise Refusal(where, f"expected at most {MOST_RUNS:,} values, got {many:,}")
    return tuple(f"{low + index * step:f}" for index in range(int(many)))


def _split(text: str) -> list[str]:
    """At the commas outside brackets and quotes, so that a list can be a value."""
    parts, depth, quote, start = [], 0, "", 0
    for index, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in _OPENING:
            depth += 1
        elif letter in _CLOSING:
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]
