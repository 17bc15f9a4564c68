"""From a parsed TOML document to a Scenario, strictly: no unknown key, no coercion but int to float.

cattrs does the walking; the hooks below say what each type takes, since its own would turn "3" into 3 and true into 1.
Keys that depend on other keys belong in `emu.scenario.defaults`, rules that span keys in `emu.scenario.checks`.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from attrs import has
from cattrs import BaseValidationError, ClassValidationError, Converter, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn

from emu.scenario.keys import likely_key
from emu.scenario.origin import Key, Origin, shown
from emu.scenario.ranges import RangeError
from emu.scenario.schema import Scenario

Read = TypeVar("Read")


class MisfitError(ValueError):
    """A value of the wrong type."""

    def __init__(self, expected: str, got: object) -> None:
        super().__init__(f"expected {expected}, got {shown(got)}")


class ElementError(ValueError):
    """What is wrong with one element of a list."""

    def __init__(self, index: int, cause: Exception) -> None:
        super().__init__(f"[{index}]: {cause}")
        self.index = index
        self.cause = cause


def structure(document: dict[str, Any], origin: Origin) -> Scenario:
    """The Scenario that the document spells out, or the first thing wrong with it as a Refusal."""
    return structure_as(Scenario, document, origin)


def structure_as(kind: type[Read], document: dict[str, Any], origin: Origin, at: Key = ()) -> Read:
    """The same for another class of attrs, whose fields have types that scenarios have too; `at` leads to it."""
    try:
        return _CONVERTER.structure(document, kind)
    except BaseValidationError as error:
        key, expected = _first(error, at)
        raise origin.refusal(key, expected) from None


def _first(error: Exception, key: Key) -> tuple[Key, str]:
    """Key and wording of the first mistake: unknown keys first, since a misspelt one often leaves another missing."""
    if isinstance(error, ClassValidationError):
        located, rest = error.group_exceptions()
        for unknown in rest:
            if isinstance(unknown, ForbiddenExtraKeysError):
                name = min(unknown.extra_fields)
                return (*key, name), f"expected a known key (the nearest is {likely_key(key, name, unknown.cl)})"
        if located:
            cause, note = located[0]
            return _first(cause, (*key, note.name))
        return _first(rest[0], key)
    if isinstance(error, ElementError):
        return _first(error.cause, (*key, error.index))
    if isinstance(error, RangeError):
        return (*key, error.key), f"expected {error.expected}, got {shown(error.got)}"
    if isinstance(error, MisfitError):
        return key, str(error)
    if isinstance(error, KeyError):
        return key, "expected a value, since it has no default; got nothing"
    raise error


def _integer(value: object, _type: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise MisfitError("a whole number", value)


def _number(value: object, _type: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            raise MisfitError("a finite number", value) from None
        if math.isfinite(number):
            return number
        raise MisfitError("a finite number", value)
    raise MisfitError("a number", value)


def _boolean(value: object, _type: object) -> bool:
    if isinstance(value, bool):
        return value
    raise MisfitError("true or false", value)


def _text(value: object, _type: object) -> str:
    if isinstance(value, str):
        return value
    raise MisfitError("text in quotes", value)


def _path(value: object, _type: object) -> Path:
    return Path(_text(value, str))


def _literal(value: object, kind: Any) -> str:
    words: tuple[str, ...] = get_args(kind)
    if isinstance(value, str) and value in words:
        return value
    raise MisfitError(" or ".join(f'"{word}"' for word in words), value)


def _integer_or_exact(value: object, _type: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if value == "exact":
        return "exact"
    raise MisfitError('a whole number or "exact"', value)


def _table(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    from_table: Callable[[Any, Any], Any] = make_dict_structure_fn(cls, converter)

    def hook(value: object, kind: Any) -> Any:
        if not isinstance(value, dict):
            raise MisfitError("a table", value)
        return from_table(value, kind)

    return hook


def _sequence(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    element = get_args(kind)[0]

    def hook(value: object, _type: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise MisfitError("a list", value)
        elements: list[Any] = []
        for index, item in enumerate(value):
            try:
                elements.append(converter.structure(item, element))
            except Exception as error:
                raise ElementError(index, error) from error
        return tuple(elements)

    return hook


def _is_literal(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True, detailed_validation=True)
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(bool, _boolean)
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook(Path, _path)
    converter.register_structure_hook_func(_is_literal, _literal)
    converter.register_structure_hook_func(lambda kind: kind == int | Literal["exact"], _integer_or_exact)
    converter.register_structure_hook_factory(has)(_table)
    converter.register_structure_hook_factory(_is_tuple)(_sequence)
    return converter


_CONVERTER = _converter()
