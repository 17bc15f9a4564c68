"""From a run's summary to a row of a table: every figure under a name of its own, whoever made the run.

What the making of a run cost (wall and CPU time) differs from one making to the next and stands apart, so that the same
runs give the same table. Nothing here reads or writes files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

Cell: TypeAlias = bool | int | float | str | None

MAKING: Final = ("wall_s", "cpu_s", "requests_per_cpu_s")
"""The figures of a summary that tell of the machine that made the run, not of the run."""


def cells(summary: Mapping[str, Any]) -> dict[str, Cell]:
    """Every figure but those of `MAKING`: tables become dotted names, limits are named slo.ttft_p50.value and so on.

    A distribution, a list of [point, share], has a column a point: pools.prefill.batched_tokens.20. Other lists of
    plain values are words set apart by spaces.
    """
    return dict(_flat("", {name: value for name, value in summary.items() if name not in MAKING}))


def making(summary: Mapping[str, Any]) -> dict[str, Cell]:
    return {name: summary[name] for name in MAKING}


def columns(rows: Iterable[Mapping[str, Cell]]) -> list[str]:
    """All names that occur, each where the first row that has it puts it."""
    found: dict[str, None] = {}
    for row in rows:
        found.update(dict.fromkeys(row))
    return list(found)


def _flat(name: str, value: Any) -> Iterator[tuple[str, Cell]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else key, inner)
    elif isinstance(value, list):
        yield from _list(name, value)
    else:
        yield name, value


def _list(name: str, values: list[Any]) -> Iterator[tuple[str, Cell]]:
    if all(isinstance(value, Mapping) for value in values) and values:
        for index, value in enumerate(values):
            if "metric" in value and "percentile" in value:
                limit = {key: inner for key, inner in value.items() if key not in ("metric", "percentile")}
                yield from _flat(f"{name.removesuffix('.limits')}.{value['metric']}_p{value['percentile']}", limit)
            else:
                yield from _flat(f"{name}[{index}]", value)
    elif all(isinstance(value, list) and len(value) == 2 for value in values) and values:
        for point, share in values:
            yield from _flat(f"{name}.{point:g}" if isinstance(point, int | float) else f"{name}.{point}", share)
    elif any(isinstance(value, list | Mapping) for value in values):
        yield name, json.dumps(values)
    else:
        yield name, " ".join(map(str, values))
