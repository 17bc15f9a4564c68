"""From a parsed TOML document to a Scenario, strictly: no unknown key, no coercion but int to float.

The classes of the schema are read as they are written: a field's type says what is taken, its default what may be left
out. Keys that depend on other keys belong in `emu.scenario.defaults`, rules that span keys in `emu.scenario.checks`.
"""

import math
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin

from attrs import NOTHING, fields, has, resolve_types

from emu.scenario.keys import likely_key
from emu.scenario.origin import Key, Origin, shown
from emu.scenario.ranges import RangeError
from emu.scenario.schema import Scenario

Read = TypeVar("Read")


class MisfitError(ValueError):
    """A value that its key cannot take, or a key that is not known or not there."""

    def __init__(self, key: Key, expected: str) -> None:
        super().__init__(expected)
        self.key = key
        self.expected = expected


def structure(document: dict[str, Any], origin: Origin) -> Scenario:
    """The Scenario that the document spells out, or the first thing wrong with it as a Refusal."""
    return structure_as(Scenario, document, origin)


def structure_as(kind: type[Read], document: dict[str, Any], origin: Origin, at: Key = ()) -> Read:
    """The same for another class of attrs, whose fields have types that scenarios have too; `at` leads to it."""
    try:
        read: Read = _table(kind, document, at)
    except MisfitError as misfit:
        raise origin.refusal(misfit.key, misfit.expected) from None
    return read


def _table(kind: Any, value: object, at: Key) -> Any:
    """Unknown keys come first, since a misspelt one often leaves another missing."""
    table = _of(dict, value, at, "a table")
    if any(isinstance(field.type, str) for field in fields(kind)):  # of a module that evaluates annotations later
        resolve_types(kind)
    unknown = table.keys() - {field.name for field in fields(kind)}
    if unknown:
        name = min(unknown)
        raise MisfitError((*at, name), f"expected a known key (the nearest is {likely_key(at, name, kind)})")
    found: dict[str, Any] = {}
    for field in fields(kind):
        if field.name in table:
            found[field.name] = _value(field.type, table[field.name], (*at, field.name))
        elif field.default is NOTHING:
            raise MisfitError((*at, field.name), "expected a value, since it has no default; got nothing")
    try:
        return kind(**found)
    except RangeError as error:
        raise MisfitError((*at, error.key), f"expected {error.expected}, got {shown(error.got)}") from None


def _value(kind: Any, value: object, at: Key) -> Any:
    plain = _PLAIN.get(kind)
    if plain is not None:
        return plain(value, at)
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _word(parts, value, at)
    if origin is tuple:
        return tuple(_value(parts[0], item, (*at, index)) for index, item in enumerate(_of(list, value, at, "a list")))
    if origin in (Union, UnionType):
        return _either(parts, value, at)
    if has(kind):
        return _table(kind, value, at)
    raise TypeError(f"no scenario holds a {kind}")


def _either(kinds: tuple[Any, ...], value: object, at: Key) -> Any:
    """One of several types: of these at most one is not a choice of words and not None."""
    if value is None and NoneType in kinds:
        return None
    others = [kind for kind in kinds if kind is not NoneType]
    if len(others) == 1:
        return _value(others[0], value, at)
    words = [word for kind in others for word in get_args(kind)]
    if value in words:
        return value
    (kind,) = (kind for kind in others if get_origin(kind) is not Literal)
    if type(value) is kind:
        return value
    raise MisfitError(at, f"expected {_NAMES[kind]} or {_quoted(words)}, got {shown(value)}")


def _word(words: tuple[str, ...], value: object, at: Key) -> str:
    if isinstance(value, str) and value in words:
        return value
    raise MisfitError(at, f"expected {_quoted(words)}, got {shown(value)}")


def _quoted(words: Any) -> str:
    return " or ".join(f'"{word}"' for word in words)


def _of(kind: type[Read], value: object, at: Key, name: str) -> Read:
    """`value` if it is of exactly this type: to isinstance, a bool is an int."""
    if type(value) is kind:
        return value
    raise MisfitError(at, f"expected {name}, got {shown(value)}")


def _number(value: object, at: Key) -> float:
    if type(value) is int or type(value) is float:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
        raise MisfitError(at, f"expected a finite number, got {shown(value)}")
    raise MisfitError(at, f"expected a number, got {shown(value)}")


_NAMES: Final[dict[Any, str]] = {int: "a whole number", bool: "true or false", str: "text in quotes"}

_PLAIN: Final[dict[Any, Callable[[object, Key], Any]]] = {
    int: lambda value, at: _of(int, value, at, _NAMES[int]),
    bool: lambda value, at: _of(bool, value, at, _NAMES[bool]),
    str: lambda value, at: _of(str, value, at, _NAMES[str]),
    float: _number,
    Path: lambda value, at: Path(_of(str, value, at, _NAMES[str])),
}
