"""Finding policies of one's own by the names that a scenario gives them, before anything runs.

"package.module:Name" is imported from the scenario's folder or the working directory and held against its interface;
"exec:PROGRAM ARGUMENTS" must be there to be run. What does not fit is refused in one line.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from emu.refusal import Refusal

Maker = Callable[[], Any]
EXEC: Final = "exec:"
ROUTING: Final = {"place": 2}
SCHEDULING: Final = {"next_prompt": 1}
SCHEDULING_MAY: Final = {"victim": 1}
TRANSFER: Final = {"by_layer": 2}


def find(
    key: str, named: str, folder: Path | None, methods: dict[str, int], may: dict[str, int] | None = None
) -> Maker:
    """What makes a policy: a class without arguments. `methods` gives each one's number of arguments, `may` those that
    can be left out. Refusal: there is no such thing, or it does not fit."""
    made = named_thing(key, named, folder)
    if not callable(made):
        raise Refusal(key, f"expected a class, and {named} is {type(made).__name__}")
    try:
        policy = made()
    except Exception as error:
        raise Refusal(key, f"expected {named} to be made without arguments; {_told(error)}") from None
    for method, arguments in {**methods, **(may or {})}.items():
        found = getattr(policy, method, None)
        if found is None and method not in methods:
            continue
        if not _takes(found, arguments):
            raise Refusal(key, f"expected {named} to have {method}() with {_counted(arguments)}")
    return made  # type: ignore[no-any-return]


def named_thing(key: str, named: str, folder: Path | None) -> Any:
    """What "package.module:Name" names. Refusal: there is no such thing, or importing it failed."""
    module_name, _, name = named.partition(":")
    module = _module(key, named, module_name, folder)
    there = getattr(module, name, None)
    if there is None:
        raise Refusal(key, f"expected {name} in {module.__file__}, where there is none")
    return there


def called(key: str, named: str, folder: Path | None, arguments: int) -> Callable[..., Any]:
    """A function of so many arguments, or an object of a class made without arguments that is called so. Refusal: there
    is no such thing, or it does not fit."""
    there = named_thing(key, named, folder)
    if inspect.isclass(there):
        try:
            there = there()
        except Exception as error:
            raise Refusal(key, f"expected {named} to be made without arguments; {_told(error)}") from None
    if not _takes(there, arguments):
        raise Refusal(key, f"expected {named} to be called with {_counted(arguments)}")
    return there  # type: ignore[no-any-return]


def subclass(key: str, named: str, folder: Path | None, of: type) -> type:
    """The class of that name, which must be a kind of `of`. Refusal: there is no such thing, or it is not."""
    found = named_thing(key, named, folder)
    if not isinstance(found, type) or not issubclass(found, of):
        raise Refusal(key, f"expected a subclass of {of.__module__}.{of.__name__}, and {named} is none")
    return found


def command(key: str, named: str) -> tuple[str, ...]:
    """The command behind "exec:". Refusal: it cannot be run."""
    try:
        words = shlex.split(named.removeprefix(EXEC))
    except ValueError as error:
        raise Refusal(key, f"expected exec:PROGRAM ARGUMENTS; {error}") from None
    if not words:
        raise Refusal(key, 'expected a program after "exec:"')
    if shutil.which(words[0]) is None:
        raise Refusal(key, f"expected a program that can be run, got {words[0]}")
    return tuple(words)


def _module(key: str, named: str, module_name: str, folder: Path | None) -> Any:
    places = [str(place) for place in (folder, os.getcwd()) if place is not None]
    added = [place for place in places if place not in sys.path]
    sys.path[:0] = added
    try:
        importlib.invalidate_caches()
        if importlib.util.find_spec(module_name) is None:
            raise Refusal(key, f"expected a module {module_name} in {' or '.join(dict.fromkeys(places))}")
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            raise Refusal(key, f"expected a module {module_name} in {' or '.join(dict.fromkeys(places))}") from None
        raise Refusal(key, f"expected {named} to be imported; {_told(error)}") from None
    except Refusal:
        raise
    except Exception as error:
        raise Refusal(key, f"expected {named} to be imported; {_told(error)}") from None
    finally:
        for place in added:
            sys.path.remove(place)


def _told(error: Exception) -> str:
    """An exception and where it was raised, on one line."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"


def _takes(method: object, arguments: int) -> bool:
    if not callable(method):
        return False
    try:
        inspect.signature(method).bind(*range(arguments))
    except TypeError:
        return False
    except ValueError:  # a built-in that does not tell
        return True
    return True


def _counted(arguments: int) -> str:
    return "one argument" if arguments == 1 else f"{arguments} arguments"
