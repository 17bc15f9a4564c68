"""Many canonical lines at once, read at two thirds of what it costs one by one.

A line without its numbers says what kind of entry it is, and that its fields are those of the class in their order;
the numbers, without all the rest, are one JSON list for all lines. What a line looks like is `lines`'s.
"""

from __future__ import annotations

import json
from string import ascii_letters
from typing import Any, Final

from emu.record.entries import KINDS, Entry, PrefillSlice, StepStarted
from emu.record.lines import ENCODERS

_NUMBERS: Final = b"0123456789-,[]"
_WORDS: Final = ascii_letters.encode() + b'_":{}'


def _line(kind: type[Any]) -> bytes:
    """One of that kind, of noughts."""
    values: list[object] = [0] * len(kind._fields)
    if kind is StepStarted:
        values[2:5] = (), (), ()
    line: str = ENCODERS[kind](kind(*values))
    return line.encode()


_KINDS: Final[dict[bytes, type[Any]]] = {_line(kind)[:-1].translate(None, _NUMBERS): kind for kind in KINDS}
_NAMED: Final = tuple(  # fields with a digit in their names, and what they are called here
    (name.encode(), name.encode().translate(None, _NUMBERS))
    for name in sorted({name for kind in KINDS for name in kind._fields})
    if name.encode() != name.encode().translate(None, _NUMBERS)
)


def decode_bulk(lines: bytes) -> list[Entry]:
    """The entries of whole lines, each ended by a line feed, as `lines.decode` gives them one by one.

    Raises ValueError: a line is no entry, or not in its canonical form.
    """
    found = lines.translate(None, _NUMBERS).split(b"\n")[:-1]
    try:
        kinds = [_KINDS[words] for words in found]
    except KeyError as error:
        line = lines.split(b"\n")[found.index(error.args[0])]
        raise ValueError(f"not an entry of a record: {line!r:.80}") from None
    for name, plain in _NAMED:
        lines = lines.replace(name, plain)
    numbers = lines.translate(None, _WORDS)[1:-1].replace(b"\n,", b"],[")
    entries: list[Entry] = []
    made = tuple.__new__  # `_make` is Python of its own, and costs twice as much
    for kind, values in zip(kinds, json.loads(b"[[%b]]" % numbers), strict=True):
        if len(values) != len(kind._fields):
            raise ValueError(f"not an entry of a record: {kind.__name__} with {len(values)} fields")
        if kind is StepStarted:
            values[2] = tuple([PrefillSlice(*piece) for piece in values[2]])
            values[3], values[4] = tuple(values[3]), tuple(values[4])
        entries.append(made(kind, values))
    return entries
