"""A ClusterState as one row of integers, and back: what an index keeps so that a moment is found without the past.

What a state holds is `emu.view.state`'s; where snapshots lie is `emu.view.index`'s.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, Final

from attrs import fields

from emu.record.entries import PrefillSlice
from emu.record.start import RunStarted
from emu.view.cluster import EndedView
from emu.view.rows import FaultRow, LoanRow, MachineRow, RequestRow, TransferRow
from emu.view.state import ClusterState

_NESTED: Final = ("queue", "reservations", "loans", "decoding", "prefills")


def _names(kind: type[Any], without: Sequence[str] = ()) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name not in without)


_OF_STATE: Final = ("at_ps", "entries", "over", "arrived", "rate_permille", "router_gone_ps", "term")
_OF_MACHINE: Final = _names(MachineRow, _NESTED)
_state, _machine = attrgetter(*_OF_STATE), attrgetter(*_OF_MACHINE)
_request, _transfer = attrgetter(*_names(RequestRow)), attrgetter(*_names(TransferRow))
_loan, _fault = attrgetter(*_names(LoanRow)), attrgetter(*_names(FaultRow))

SHAPE: Final = (
    ";".join(
        f"{kind.__name__}:{','.join(_names(kind))}" for kind in (RequestRow, TransferRow, LoanRow, MachineRow, FaultRow)
    )
    + f";{','.join(EndedView._fields)};{','.join(PrefillSlice._fields)};{','.join(_OF_STATE)}"
)
"""What is kept, by name: a snapshot of another shape was made by another version, and is not read."""


def dump(state: ClusterState) -> bytes:
    """Tables of integers, each after its number of rows and of columns."""
    machines = list(enumerate(state.machines))
    flat: list[int] = []
    for rows in (
        [_state(state)],
        [state.ended_by],
        list(map(_machine, state.machines)),
        [(n, *key, since_ps) for n, row in machines for key, since_ps in row.queue.items()],
        [(n, *key, since_ps) for n, row in machines for key, since_ps in row.reservations.items()],
        [(n, *key, *_loan(loan)) for n, row in machines for key, loan in row.loans.items()],
        [(n, request) for n, row in machines for request in row.decoding],
        [(n, *piece) for n, row in machines for piece in row.prefills],
        list(map(_request, state.requests.values())),
        list(map(_transfer, state.transfers.values())),
        [(number, *_fault(row)) for number, row in state.faults.items()],
        list(state.ended),
    ):
        flat += len(rows), len(rows[0]) if rows else 0
        flat += chain.from_iterable(rows)
    return struct.pack(f"<{len(flat)}q", *flat)


def load(started: RunStarted, kept: bytes) -> ClusterState:
    """The state that `dump` was given. Raises ValueError, TypeError or struct.error where it is none of ours."""
    state = ClusterState(started)
    (plain,), (ended_by,), machines, queues, reservations, loans, decoding, prefills, *rest = _tables(kept)
    _set(state, _OF_STATE, plain)
    state.over, state.ended_by = bool(state.over), list(ended_by)
    for row, values in zip(state.machines, machines, strict=True):
        _set(row, _OF_MACHINE, values)
        row.busy, row.away = bool(row.busy), bool(row.away)
    for n, request, attempt, since_ps in queues:
        state.machines[n].queue[request, attempt] = since_ps
    for n, request, attempt, since_ps in reservations:
        state.machines[n].reservations[request, attempt] = since_ps
    for n, request, attempt, *loan in loans:
        state.machines[n].loans[request, attempt] = LoanRow(*loan)
    for n, request in decoding:
        state.machines[n].decoding[request] = None
    for n, *piece in prefills:
        state.machines[n].prefills += (PrefillSlice(*piece),)
    requests, transfers, faults, ended = rest
    state.requests = {values[0]: RequestRow(*values) for values in requests}
    state.transfers = {(values[2], values[3]): TransferRow(*values) for values in transfers}
    state.faults = {number: FaultRow(*values) for number, *values in faults}
    state.ended.extend(map(EndedView._make, ended))
    return state


def _set(there: object, names: Iterable[str], values: Iterable[int]) -> None:
    for name, value in zip(names, values, strict=True):
        setattr(there, name, value)


def _tables(kept: bytes) -> Iterator[list[list[int]]]:
    values, at = list(struct.unpack(f"<{len(kept) // 8}q", kept)), 0
    while at < len(values):
        rows, columns = values[at : at + 2]
        first, at = at + 2, at + 2 + rows * columns
        yield [values[start : start + columns] for start in range(first, at, columns)] if rows else []
