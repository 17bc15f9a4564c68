"""Entries as canonical JSON lines, and back.

One line an entry, its kind and its fields in the order of the class, integers only. The digest is over these lines, so
nothing here may change what a line looks like without a reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from emu.record.entries import KINDS, Entry, PrefillSlice, StepStarted


def _template(kind: type[Entry]) -> str:
    fields = ",".join(f'"{name}":%s' for name in kind._fields)
    return f'{{"entry":"{kind.__name__}",{fields}}}\n'


_encode_slice = f"[{','.join(['%d'] * len(PrefillSlice._fields))}]".__mod__


def _encode_step_started(entry: StepStarted, template: str = _template(StepStarted)) -> str:
    """As `json` would, at a third of its cost: most of these lists are empty or have one item."""
    at_ps, machine, prefills, joined, left, *rest = entry
    slices, joins, leaves = map(_encode_slice, prefills), map(str, joined), map(str, left)
    lists = (f"[{','.join(slices)}]", f"[{','.join(joins)}]", f"[{','.join(leaves)}]")
    return template % (at_ps, machine, *lists, *rest)


ENCODERS: Final[dict[type, Callable[[Any], str]]] = {
    **{kind: _template(kind).__mod__ for kind in KINDS},
    StepStarted: _encode_step_started,
}


_BY_NAME: Final[dict[str, type[Entry]]] = {kind.__name__: kind for kind in KINDS}


def decode(line: str) -> Entry:
    """The entry of a canonical line. Raises ValueError."""
    values = json.loads(line)
    try:
        kind = _BY_NAME[values.pop("entry")]
        if kind is StepStarted:
            values["prefills"] = tuple(PrefillSlice(*piece) for piece in values["prefills"])
            values["joined"], values["left"] = tuple(values["joined"]), tuple(values["left"])
        return kind(**values)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an entry of a record: {line[:80]!r}") from error
