"""A ClusterState as plain lists of integers, and back: what an index keeps so that a moment is found without the past.

What a state holds is `emu.view.state`'s; where snapshots lie is `emu.view.index`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import astuple, fields

from emu.record.entries import PrefillSlice
from emu.record.start import RunStarted
from emu.view.cluster import EndedView
from emu.view.rows import FaultRow, LoanRow, MachineRow, RequestRow, TransferRow
from emu.view.state import ClusterState

_NESTED = ("queue", "reservations", "loans", "decoding", "prefills")
_PLAIN = tuple(field.name for field in fields(MachineRow) if field.name not in _NESTED)


SHAPE = (
    ";".join(
        f"{kind.__name__}:{','.join(field.name for field in fields(kind))}"
        for kind in (RequestRow, TransferRow, LoanRow, MachineRow, FaultRow)
    )
    + f";{','.join(EndedView._fields)};rate_permille,router"
)
"""What is kept, by name: a snapshot of another shape was made by another version, and is not read."""


def dump(state: ClusterState) -> dict[str, Any]:
    """As JSON can hold it."""
    return {
        "at_ps": state.at_ps,
        "entries": state.entries,
        "over": state.over,
        "arrived": state.arrived,
        "rate_permille": state.rate_permille,
        "router": [state.router_gone_ps, state.term],
        "ended_by": state.ended_by,
        "machines": [_machine(row) for row in state.machines],
        "requests": [astuple(row) for row in state.requests.values()],
        "transfers": [astuple(row) for row in state.transfers.values()],
        "faults": [[number, *astuple(row)] for number, row in state.faults.items()],
        "ended": list(state.ended),
    }


def load(started: RunStarted, kept: Mapping[str, Any]) -> ClusterState:
    """The state that `dump` was given. Raises KeyError or TypeError where it is none of ours."""
    state = ClusterState(started)
    state.at_ps, state.entries, state.over = kept["at_ps"], kept["entries"], kept["over"]
    state.rate_permille = kept["rate_permille"]
    state.router_gone_ps, state.term = kept["router"]
    state.arrived, state.ended_by = kept["arrived"], list(kept["ended_by"])
    for row, values in zip(state.machines, kept["machines"], strict=True):
        _restore(row, values)
    state.requests = {values[0]: RequestRow(*values) for values in kept["requests"]}
    state.transfers = {(values[2], values[3]): TransferRow(*values) for values in kept["transfers"]}
    state.faults = {number: FaultRow(*values) for number, *values in kept["faults"]}
    state.ended.extend(EndedView(*values) for values in kept["ended"])
    return state


def _machine(row: MachineRow) -> dict[str, Any]:
    return {
        "plain": [getattr(row, name) for name in _PLAIN],
        "queue": [[*key, since_ps] for key, since_ps in row.queue.items()],
        "reservations": [[*key, since_ps] for key, since_ps in row.reservations.items()],
        "loans": [[*key, *astuple(loan)] for key, loan in row.loans.items()],
        "decoding": list(row.decoding),
        "prefills": row.prefills,
    }


def _restore(row: MachineRow, values: Mapping[str, Any]) -> None:
    for name, value in zip(_PLAIN, values["plain"], strict=True):
        setattr(row, name, value)
    row.queue = {(request, attempt): since_ps for request, attempt, since_ps in values["queue"]}
    row.reservations = {(request, attempt): since_ps for request, attempt, since_ps in values["reservations"]}
    row.loans = {(request, attempt): LoanRow(*loan) for request, attempt, *loan in values["loans"]}
    row.decoding = dict.fromkeys(values["decoding"])
    row.prefills = tuple(PrefillSlice(*piece) for piece in values["prefills"])
