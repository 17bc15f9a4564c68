"""Mooncake's traces: one JSON object a line, arrivals in milliseconds, and the hash ids that tell shared prefixes.

Apart from `traces`, which reads columns of text: here a cell has a type already.
"""

import json
from array import array
from collections.abc import Iterable
from typing import Any, NoReturn

from emu.refusal import Refusal
from emu.workload.cells import decimal_ps, quoted, within_range
from emu.workload.prefixes import PrefixIds
from emu.workload.table import MOST_TOKENS

KEYS = ("timestamp", "input_length", "output_length", "hash_ids")
_PS_PER_MS = 10**9
_LAST_ID = 2**63 - 1


class _Fractional(str):
    """A JSON number with a point or an exponent, still as its text, so that it can be read exactly."""

    __slots__ = ()


def _no_such_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


_DECODER = json.JSONDecoder(parse_float=_Fractional, parse_constant=_no_such_number)


def _time_ps(value: Any) -> int:
    if type(value) is int and value >= 0:
        return within_range(value * _PS_PER_MS, str(value) if value < 10**30 else "a longer number")
    if type(value) is _Fractional:
        return decimal_ps(str(value), _PS_PER_MS)
    raise ValueError(f"expected milliseconds from 0 up, got {_shown(value)}")


def _count(value: Any) -> int:
    if type(value) is int and 0 < value <= MOST_TOKENS:
        return value
    raise ValueError(f"expected a positive whole number of at most {MOST_TOKENS}, got {_shown(value)}")


def _hash_ids(value: Any) -> list[int]:
    if (
        type(value) is list
        and set(map(type, value)) <= {int}
        and (not value or 0 <= min(value) <= max(value) <= _LAST_ID)
    ):
        return value
    raise ValueError(f"expected a list of whole numbers from 0 up, got {_shown(value)}")


def _shown(value: Any) -> str:
    """The value as the file has it."""
    return quoted(str(value) if type(value) is _Fractional else json.dumps(value))[1:-1]


def _row(where: str, line: str) -> dict[str, Any]:
    try:
        row = _DECODER.decode(line)
    except json.JSONDecodeError as wrong:
        raise Refusal(where, f"expected a JSON object: {wrong.msg} at column {wrong.colno}") from None
    except (ValueError, RecursionError) as wrong:
        raise Refusal(where, f"expected a JSON object: {wrong}") from None
    if type(row) is not dict:
        raise Refusal(where, f"expected a JSON object, got {quoted(line)}")
    return row


def read_rows(
    path: str, lines: Iterable[tuple[int, str]]
) -> tuple["array[int]", "array[int]", "array[int]", PrefixIds]:
    """Arrivals (ps), prompt tokens, output tokens and hash ids in file order. Refusal at the first bad row."""
    arrivals_ps, prompts, outputs = array("q"), array("i"), array("i")
    offsets, ids = array("q", [0]), array("q")
    for number, line in lines:
        row = _row(f"{path}:{number}", line)
        try:
            key = "timestamp"
            arrivals_ps.append(_time_ps(row[key]))
            key = "input_length"
            prompts.append(_count(row[key]))
            key = "output_length"
            outputs.append(_count(row[key]))
            key = "hash_ids"
            ids.extend(_hash_ids(row[key]))
        except KeyError:
            got = quoted(", ".join(row))
            raise Refusal(f"{path}:{number}", f"expected mooncake's keys {', '.join(KEYS)}; got {got}") from None
        except ValueError as wrong:
            raise Refusal(f"{path}:{number}: {key}", str(wrong)) from None
        offsets.append(len(ids))
    return arrivals_ps, prompts, outputs, PrefixIds(offsets, ids)
