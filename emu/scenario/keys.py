"""The key paths that the schema has, and which of them a misspelt one most likely meant.

Everything is read off the classes of `emu.scenario.schema`: a new key needs no line here.
"""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from attrs import fields, fields_dict, has

from emu.scenario.origin import Key, close, dotted, nearest
from emu.scenario.schema import Scenario


def element_type(kind: Any) -> Any:
    """What a list of this type holds, `None` beside the list or not; nothing if it is no list."""
    for member in (kind, *get_args(kind)):
        if get_origin(member) is tuple:
            return get_args(member)[0]
    return None


def likely_key(table: Key, name: str, kind: Any) -> str:
    """The key of class `kind` (at `table`) that `name` is a slip of, or one of another table that fits far better."""
    own = list(fields_dict(kind))
    elsewhere = {path[-1]: path for path in _paths(Scenario, ())}
    here = close(name, own)
    if here is None and (there := close(name, elsewhere)) is not None:
        return ".".join(elsewhere[there])
    return dotted((*table, here or nearest(name, own)))


def _paths(kind: Any, before: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for attribute in fields(kind):
        path = (*before, attribute.name)
        element = element_type(attribute.type)
        if has(attribute.type):
            yield from _paths(attribute.type, path)
        elif element is not None and has(element):
            yield from _paths(element, path)
        yield path
