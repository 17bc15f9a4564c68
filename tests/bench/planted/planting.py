"""Planting a bug: one line of production code reads otherwise, for as long as the bug is planted.

A planted bug names a function of the control plane and the text in it that changes, so that it is as readable as a
patch and stops being applicable, loudly, when that code changes.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import frozen


@frozen
class Planted:
    """A small, realistic bug. `where` is module:Class.method or module:function; there `old` reads `new`.

    `window`: it shows only when two events fall into one window. `wastes`: it breaks no safety, and only wastes time.
    """

    name: str
    where: str
    old: str
    new: str
    what: str
    window: bool = False
    wastes: bool = False


class NotThere(Exception):
    """The text that a planted bug changes is not in its function, or is there more than once."""


class Planting:
    """A bug that can be planted and lifted, again and again. Raises NotThere."""

    def __init__(self, bug: Planted) -> None:
        self._owner, self._name, function = _find(bug)
        changed = _changed(bug, function)
        self._function = function if inspect.ismodule(self._owner) else None
        if self._function is not None:  # others have it by name: what it does is replaced, not what the name stands for
            self._ways = function.__code__, changed.__code__
        else:
            original = self._owner.__dict__[self._name]
            self._ways = original, property(changed) if isinstance(original, property) else changed

    def plant(self, planted: bool = True) -> None:
        way = self._ways[planted]
        if self._function is not None:
            self._function.__code__ = way
        else:
            setattr(self._owner, self._name, way)

    def lift(self) -> None:
        self.plant(False)


@contextmanager
def planted(bug: Planted) -> Iterator[Planting]:
    """Production with this bug. Raises NotThere."""
    planting = Planting(bug)
    planting.plant()
    try:
        yield planting
    finally:
        planting.lift()


def _find(bug: Planted) -> tuple[Any, str, Any]:
    module_name, _, path = bug.where.partition(":")
    owner: Any = importlib.import_module(module_name)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    if name not in owner.__dict__:
        raise NotThere(f"{bug.name}: there is no {bug.where}")
    function = owner.__dict__[name]
    return owner, name, function.fget if isinstance(function, property) else function


def _changed(bug: Planted, function: Any) -> Any:
    source = inspect.getsource(function)
    if source.count(bug.old) != 1:
        raise NotThere(f"{bug.name}: {bug.old!r} is {source.count(bug.old)} times in {bug.where}, expected once")
    lines = textwrap.dedent(source.replace(bug.old, bug.new)).splitlines()
    while not lines[0].startswith(("def ", "async def ")):
        del lines[0]  # decorators
    names: dict[str, Any] = {}
    module = sys.modules[function.__module__]
    exec(compile("from __future__ import annotations\n" + "\n".join(lines), bug.where, "exec"), module.__dict__, names)
    return names[function.__name__]
