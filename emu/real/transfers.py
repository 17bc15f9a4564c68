"""What was seen of the transfers of a run: of each, how much of it stayed visible behind its prefill.

A cache in one piece stays visible whole, one that follows its prefill only from its last layer on. Which of the two a
put was, and whether its sender had begun the next prefill before it was over, decide how long that takes beside what
the bytes need. Records are read here; what a link makes of the figures stands in `emu.fake.signals`.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define

from emu.real.rows import TransferRow
from emu.record.entries import Committed, Entry, StepFinished, StepStarted, TransferStarted


@define
class _Put:
    """What is known so far of a request's transfer."""

    source: int
    follows: int
    bytes: int = 0


def transfer_rows(entries: Iterable[Entry], layers: int) -> list[TransferRow]:
    """One row a transfer whose cache was computed before it was there, in the order in which those were committed."""
    running: dict[int, StepStarted] = {}
    began: dict[int, list[int]] = {}  # prefills, by machine
    puts: dict[int, _Put] = {}
    computed: dict[int, int] = {}
    rows: list[TransferRow] = []
    for entry in entries:
        if type(entry) is StepStarted:
            running[entry.machine] = entry
            if entry.prefills:
                began.setdefault(entry.machine, []).append(entry.at_ps)
        elif type(entry) is StepFinished and entry.prompt_tokens:
            computed |= {piece.request: entry.at_ps for piece in running[entry.machine].prefills}
        elif type(entry) is TransferStarted:
            put = puts.setdefault(entry.request, _Put(entry.source, entry.follows))
            put.bytes += entry.bytes
        elif type(entry) is Committed and entry.request in computed and entry.request in puts:
            put, computed_ps = puts[entry.request], computed[entry.request]
            busy = any(computed_ps <= at_ps < entry.signalled_ps for at_ps in began.get(put.source, ()))
            visible = put.bytes // layers if put.follows else put.bytes
            mode = "layer-wise" if put.follows else "serialized"
            rows.append(TransferRow(mode, int(busy), put.bytes, visible, (entry.signalled_ps - computed_ps) / 1e9))
    return rows
