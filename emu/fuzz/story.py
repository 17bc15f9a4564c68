"""The story of a run in words: who did what when, up to what was found, in at most 25 lines.

It is told from the record alone. What it leaves out it counts; what matters is decided by who is named in the finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from emu.fuzz.judge import Finding, Judged
from emu.record import entries as e

LINES: Final = 25
_KEPT_FIRST: Final = 7


def story(run: Judged, finding: Finding) -> list[str]:
    """Lines such as `0.000200 s  prefill-0 has request 3`."""
    names = tuple(machine.name for machine in run.started.machines)
    told = [
        (entry, words)
        for entry in run.entries
        if entry.at_ps <= finding.at_ps and (words := _told(entry, names)) is not None
    ]
    if len(told) > LINES:
        about = {int(number) for number in re.findall(r"requests? (\d+)", finding.what)}
        told = [(entry, words) for entry, words in told if _concerns(entry, about)] or told
    lines = [f"{entry.at_ps / 1e12:.6f} s  {words}" for entry, words in told]
    if len(lines) > LINES:
        left = len(lines) - LINES + 1
        lines = [*lines[:_KEPT_FIRST], f"            ... {left} more ...", *lines[_KEPT_FIRST + left :]]
    return lines


def _concerns(entry: e.Entry, requests: set[int]) -> bool:
    if not requests:
        return True
    if isinstance(entry, e.StepStarted):
        return any(piece.request in requests for piece in entry.prefills) or bool(
            requests & set(entry.joined + entry.left)
        )
    if isinstance(entry, e.StepFinished):
        return False
    return getattr(entry, "request", None) in requests or not hasattr(entry, "request")


def _told(entry: e.Entry, names: tuple[str, ...]) -> str | None:
    tell = _TOLD.get(type(entry))
    if tell is not None:
        return tell(entry, names)
    if type(entry).__name__.endswith("Closed") or type(entry) is e.RunEnded:
        return None
    fields = ", ".join(f"{name} {value}" for name, value in zip(entry._fields[1:], entry[1:], strict=True))
    return f"{_spaced(type(entry).__name__)}: {fields}"


def _spaced(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _assigned(entry: e.Assigned, names: tuple[str, ...]) -> str:
    attempt = f" (attempt {entry.attempt})" if entry.attempt else ""
    if entry.prefill_machine == entry.decode_machine:
        return f"router sends request {entry.request}{attempt} to {names[entry.prefill_machine]} for both phases"
    then = f"{names[entry.prefill_machine]}, then {names[entry.decode_machine]}"
    return f"router sends request {entry.request}{attempt} to {then}"


def _started(entry: e.StepStarted, names: tuple[str, ...]) -> str:
    parts = []
    if entry.prefills:
        parts.append(
            "prefills " + ", ".join(f"{piece.request}" + (" again" if piece.kind else "") for piece in entry.prefills)
        )
    if entry.sequences:
        joined = f" ({', '.join(map(str, entry.joined))} joins)" if entry.joined else ""
        parts.append(f"decodes {entry.sequences}{joined}")
    return f"{names[entry.machine]} {' and '.join(parts)}; {entry.free_blocks} blocks free"


def _ended(entry: e.RequestEnded, names: tuple[str, ...]) -> str:
    where = f" on {names[entry.machine]}" if entry.machine >= 0 else ""
    status = e.Status(entry.status).name.lower()
    why = f", {e.Reason(entry.reason).name.lower()}" if entry.reason else ""
    return f"request {entry.request} ends{where}: {status}{why}, {entry.output_tokens} tokens"


def _policy_broke(entry: e.PolicyBroke, names: tuple[str, ...]) -> str:
    whose = names[entry.machine] if entry.machine >= 0 else "the router"
    fault = e.PolicyFault(entry.fault).name.lower().replace("_", " ")
    return f"the {e.PolicySeat(entry.seat).name.lower()} policy of {whose} breaks its contract: {fault}"


_TOLD: Final[dict[type, Callable[[Any, tuple[str, ...]], str | None]]] = {
    e.Arrived: lambda x, _: f"request {x.request} arrives: {x.prompt_tokens} tokens, at most {x.max_tokens} back",
    e.Assigned: _assigned,
    e.MachineMoved: lambda x, names: f"{names[x.machine]} serves the {e.PoolCode(x.pool).name.lower()} pool",
    e.Queued: lambda x, names: f"{names[x.machine]} has request {x.request} in its queue",
    e.ReserveQueued: lambda x, names: (
        f"{names[x.machine]} has no room yet for the {x.blocks} blocks of request {x.request}"
    ),
    e.Reserved: lambda x, names: f"{names[x.machine]} lends {x.blocks} blocks to request {x.request} (loan {x.loan})",
    e.Granted: lambda x, names: f"{names[x.machine]} is told where the cache of request {x.request} goes",
    e.StepStarted: _started,
    e.StepFinished: lambda x, names: f"{names[x.machine]} has done {x.steps} steps",
    e.TransferStarted: lambda x, names: f"{names[x.source]} puts the cache of request {x.request} to {names[x.target]}",
    e.Landed: lambda x, names: f"the cache of request {x.request} lands on {names[x.target]} (loan {x.loan})",
    e.Committed: lambda x, names: f"{names[x.machine]} commits the cache of request {x.request}",
    e.Released: lambda x, names: (
        f"{names[x.machine]} frees {x.blocks} blocks of request {x.request}: {e.Reason(x.reason).name.lower()}"
    ),
    e.Preempted: lambda x, names: f"{names[x.machine]} preempts request {x.request} after {x.delivered} tokens",
    e.RequestEnded: _ended,
    e.PolicyBroke: _policy_broke,
}
