"""Which situations a run reached: pairs of a state and an event, read from its record.

The state of a request is the last thing that happened to it; that of a machine is whether it runs, and whether prompts
are in its batch, with the last thing that befell the machine itself. A fuzzer that stops finding new pairs has stopped
exploring. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from emu.record import entries as e

Pair = tuple[str, str]

_REQUEST = {kind: kind._fields.index("request") for kind in e.KINDS if "request" in kind._fields}
_MACHINE = {
    kind: kind._fields.index("machine" if "machine" in kind._fields else "target")
    for kind in e.KINDS
    if {"machine", "target"} & set(kind._fields)
}
_REASON = {kind: kind._fields.index("reason") for kind in e.KINDS if "reason" in kind._fields}


def pairs(entries: Iterable[e.Entry]) -> Iterator[Pair]:
    """Every pair, as often as it came."""
    requests: dict[int, str] = {}
    machines: dict[int, str] = {}
    for entry in entries:
        if isinstance(entry, e.StepStarted):
            yield from _started(entry, requests, machines)
            continue
        kind, values = type(entry), tuple[Any, ...](entry)
        name = kind.__name__
        if kind in _REASON:
            name = f"{name} {values[_REASON[kind]]}"
        if kind in _REQUEST:
            request = values[_REQUEST[kind]]
            yield f"request {requests.get(request, 'new')}", name
            requests[request] = name
        if kind in _MACHINE:
            machine = values[_MACHINE[kind]]
            yield f"machine {machines.get(machine, 'idle')}", name
            if kind not in _REQUEST:
                machines[machine] = name


def _started(entry: e.StepStarted, requests: dict[int, str], machines: dict[int, str]) -> Iterator[Pair]:
    event = f"StepStarted{'+prompts' if entry.prefills else ''}{'+decodes' if entry.sequences else ''}"
    yield f"machine {machines.get(entry.machine, 'idle')}", event
    machines[entry.machine] = event
    for piece in entry.prefills:
        yield f"request {requests.get(piece.request, 'new')}", "Recompute" if piece.kind else "Prefill"
        requests[piece.request] = "Prefill"
    for request in entry.joined:
        yield f"request {requests.get(request, 'new')}", "Joined"
        requests[request] = "Joined"
