"""Reading a scenario: the file, then what the command line changes, then every judgement of it.

The steps stand elsewhere, one a module; this file gives their order. Reading a trace and running belong to others.
"""

import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emu.refusal import Refusal
from emu.scenario import overrides as command_line
from emu.scenario.checks import EXEC, PLUGIN, check
from emu.scenario.defaults import fill
from emu.scenario.origin import Origin
from emu.scenario.profiles import settle
from emu.scenario.schema import Scenario
from emu.scenario.structure import structure

_PLACE = re.compile(r" ?\(at line (\d+), column (\d+)\)$")


def load(path: Path, overrides: Sequence[str] = (), seed: int | None = None) -> Scenario:
    """The scenario in a file, with `--set` overrides and `--seed` over it; complete, checked, its paths absolute.

    Refusal: whatever is wrong with the file, an override or what they name, as one line.
    """
    document = read_document(path)
    changes = [command_line.parse(override) for override in overrides]
    origin = Origin(str(path), tuple(key for key, _ in changes), seed is not None)
    folder = os.path.dirname(os.path.abspath(path))
    _make_absolute(document, folder)
    command_line.apply(document, changes, origin)
    _make_absolute(document, os.getcwd())  # what is still relative came from an override
    if _names_own(document):
        document.setdefault("policies_from", folder)
    if seed is not None:
        document["seed"] = seed
    return _judged(document, origin)


def from_document(document: dict[str, Any], path: Path) -> Scenario:
    """The scenario that a document parsed elsewhere spells out, as if `path` held it; the document is changed."""
    folder = os.path.dirname(os.path.abspath(path))
    _make_absolute(document, folder)
    if _names_own(document):
        document.setdefault("policies_from", folder)
    return _judged(document, Origin(str(path)))


def _judged(document: dict[str, Any], origin: Origin) -> Scenario:
    fill(document)
    scenario = structure(document, origin)
    check(scenario, document, origin)
    return settle(scenario, origin)


def read_document(path: Path, expected: str = "a scenario") -> dict[str, Any]:
    """The TOML in a file, which ought to hold `expected`. Refusal: it cannot be read, or is no TOML."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        raise Refusal(str(path), f"expected {expected} in TOML, got a file that is not UTF-8 text") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte in it
        reason = error.strerror if isinstance(error, OSError) else error
        raise Refusal(str(path), f"expected {expected} file; {reason}") from None
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise Refusal(str(path), f"expected {expected}, got brackets nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        reason = _PLACE.sub("", str(error))
        if place is None:
            raise Refusal(str(path), f"expected TOML; {reason}") from None
        raise Refusal(f"{path}:{place[1]}", f"expected TOML; {reason} (column {place[2]})") from None
    except ValueError:  # an integer longer than Python reads
        raise Refusal(str(path), f"expected {expected}, got a number of thousands of digits") from None


def _make_absolute(document: dict[str, Any], folder: str) -> None:
    """Rewrite, in place, every relative path in the document as one below `folder`."""
    _make_one_absolute(document, "model", folder)
    _make_one_absolute(document.get("workload"), "trace", folder, always=True)
    _make_one_absolute(document, "policies_from", folder, always=True)
    _make_all_absolute(document.get("costs"), "profiles", folder)
    _make_program_absolute(document.get("router"), folder)
    groups = document.get("machines")
    for group in groups if isinstance(groups, list) else ():
        _make_one_absolute(group, "hardware", folder)


def _make_one_absolute(table: object, key: str, folder: str, *, always: bool = False) -> None:
    """A model or a hardware is a path where it looks like one, and else the name of a shipped profile."""
    value = table.get(key) if isinstance(table, dict) else None
    if not isinstance(table, dict) or not isinstance(value, str) or not value or not value.isprintable():
        return
    if always or "/" in value or value.endswith(".toml"):
        table[key] = os.path.realpath(os.path.join(folder, value))


def _make_all_absolute(table: object, key: str, folder: str) -> None:
    values = table.get(key) if isinstance(table, dict) else None
    if isinstance(table, dict) and isinstance(values, list):
        paths = [{"path": value} for value in values]
        for path in paths:
            _make_one_absolute(path, "path", folder, always=True)
        table[key] = [path["path"] for path in paths]


def _make_program_absolute(router: object, folder: str) -> None:
    """The program of policy = "exec:./program arguments", where it is a path."""
    policy = router.get("policy") if isinstance(router, dict) else None
    if isinstance(router, dict) and isinstance(policy, str) and policy.startswith(EXEC) and policy.isprintable():
        program, space, arguments = policy.removeprefix(EXEC).partition(" ")
        if "/" in program:
            router["policy"] = EXEC + os.path.realpath(os.path.join(folder, program)) + space + arguments


def _names_own(document: dict[str, Any]) -> bool:
    """Whether something is named that must be found in a folder: a policy, a part, or step times."""
    sections = [document.get(name) for name in ("router", "scheduler", "transfer")]
    named = [section.get("policy") for section in sections if isinstance(section, dict)]
    costs, parts = document.get("costs"), document.get("parts")
    named += [costs.get("model")] if isinstance(costs, dict) else []
    named += parts.values() if isinstance(parts, dict) else []
    return any(isinstance(own, str) and PLUGIN.fullmatch(own) for own in named)
