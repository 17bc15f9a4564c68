"""`--set key.path=value`: one key of a scenario changed from the command line, before the document is judged.

A path is checked against the schema here, so that a slip in it is refused by name; whether the value fits is judged
with the rest of the document by `emu.scenario.structure`.
"""

import re
import tomllib
from collections.abc import Sequence
from typing import Any

from attrs import fields_dict, has

from emu.refusal import Refusal
from emu.scenario.keys import element_type, likely_key
from emu.scenario.origin import Key, Origin, dotted, shown
from emu.scenario.schema import Scenario, Slo

_PART = re.compile(r"([A-Za-z0-9_-]+)((?:\[[0-9]{1,9}\])*)")
_INDEX = re.compile(r"[0-9]{1,9}")

SYNTHETIC_KEYS = ("synthetic", "rate_rps", "duration_s", "arrivals", "burstiness")
TRACE_KEYS = ("trace", "until_s", "speedup")
SOURCES: dict[str, tuple[str, ...]] = {
    "trace": TRACE_KEYS,
    "synthetic": SYNTHETIC_KEYS,
    "requests": ("requests",),
}
"""What a workload can come from, and the keys that only apply to it."""
LIMIT_KEYS = tuple(name for name in fields_dict(Slo) if name != "preset")

# Naming one source, or one kind of limits, on the command line replaces the other one that the file names.
_REPLACES: dict[Key, tuple[str, ...]] = {
    ("workload", "trace"): (*SYNTHETIC_KEYS, "requests"),
    ("workload", "synthetic"): (*TRACE_KEYS, "requests"),
    ("slo", "preset"): LIMIT_KEYS,
    **{("slo", name): ("preset",) for name in LIMIT_KEYS},
}


def unused_keys(source: str) -> tuple[str, ...]:
    """The keys that do not apply to a workload from this source."""
    return tuple(key for other, keys in SOURCES.items() if other != source for key in keys)


def parse(override: str) -> tuple[Key, Any]:
    """The path and the value of one KEY=VALUE."""
    path, equals, text = override.partition("=")
    if not equals:
        raise Refusal(f"--set {shown(override)}", "expected KEY=VALUE, got no '='")
    return _parse_path(path.strip()), _parse_value(path, text.strip())


def apply(document: dict[str, Any], overrides: Sequence[tuple[Key, Any]], origin: Origin) -> None:
    """Change the document in place, in the order given: the last one of a key wins."""
    for key, _ in overrides:
        table = document.get(str(key[0]))
        for name in _REPLACES.get(key, ()):
            if isinstance(table, dict):
                table.pop(name, None)
    for key, value in overrides:
        _put(document, key, value, origin)


def _parse_path(path: str) -> Key:
    key: list[str | int] = []
    for part in path.split("."):
        match = _PART.fullmatch(part)
        if match is None:
            raise Refusal(f"--set {shown(path)}", "expected a path such as router.policy or machines[0].count")
        name, indices = match.groups()
        key.append(int(name) if _INDEX.fullmatch(name) else name)
        key.extend(int(index) for index in _INDEX.findall(indices))
    _check_known(tuple(key))
    return tuple(key)


def _check_known(key: Key) -> None:
    """Refuse a path that the schema does not have, naming the nearest one that it has."""
    kind: Any = Scenario
    for depth, part in enumerate(key):
        before = key[:depth]
        if has(kind):
            known = fields_dict(kind)
            if part not in known:
                likely = likely_key(before, str(part), kind)
                raise Refusal(f"--set {dotted(key)}", f"expected a known key (the nearest is {likely})")
            kind = known[str(part)].type
        elif element_type(kind) is not None:
            if not isinstance(part, int):
                raise Refusal(f"--set {dotted(key)}", f"expected an index after {dotted(before)}, got {shown(part)}")
            kind = element_type(kind)
        else:
            raise Refusal(f"--set {dotted(key)}", f"expected nothing after {dotted(before)}, got {shown(part)}")


def _parse_value(path: str, text: str) -> Any:
    """A TOML value; what is none is text, so that names and paths need no quotes."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except RecursionError:
        raise Refusal(f"--set {shown(path)}", "expected a value, got too many brackets") from None
    except ValueError:  # not TOML, or an integer longer than Python reads
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _put(document: dict[str, Any], key: Key, value: Any, origin: Origin) -> None:
    container: Any = document
    for depth, part in enumerate(key):
        last = depth == len(key) - 1
        if isinstance(part, int):
            if not isinstance(container, list):
                raise origin.refusal(key[:depth], f"expected a list, got {shown(container)}")
            if part >= len(container):
                expected = f"expected the index of one of {len(container)} entries, got {part}"
                raise Refusal(f"--set {dotted(key)}", expected)
        elif not isinstance(container, dict):
            raise origin.refusal(key[:depth], f"expected a table, got {shown(container)}")
        if last:
            container[part] = value
        elif isinstance(part, int):
            container = container[part]
        else:
            container = container.setdefault(part, [] if isinstance(key[depth + 1], int) else {})
