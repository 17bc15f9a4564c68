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


@contextmanager
def planted(bug: Planted) -> Iterator[None]:
    """Production with this bug. Raises NotThere."""
    owner, name, function = _find(bug)
    changed = _changed(bug, function)
    if inspect.ismodule(owner):  # others have it by name: what it does is replaced, not what the name stands for
        before = function.__code__
        function.__code__ = changed.__code__
        try:
            yield
        finally:
            function.__code__ = before
        return
    original = owner.__dict__[name]
    setattr(owner, name, property(changed) if isinstance(original, property) else changed)
    try:
        yield
    finally:
        setattr(owner, name, original)


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
