"""A record written by hand: a few requests on four machines, one of them paused; its pictures never change."""

from pathlib import Path

from emu.record import entries as e
from emu.record.lines import ENCODERS
from emu.record.start import MachineFacts, RunStarted

S = 10**12
FACTS = tuple(
    MachineFacts(f"{pool}-{n}", "dgx-h100", pool, 8, 400, 1.0, 1.0) for pool in ("prefill", "decode") for n in (0, 1)
)


def _prefilled(request: int, machine: int, target: int, at_ps: int, blocks: int, free: int) -> list[e.Entry]:
    piece = e.PrefillSlice(request, 0, 0, blocks * 16, 0, request + 1, blocks)
    return [
        e.Arrived(at_ps, request, blocks * 16, 512),
        e.Assigned(at_ps, request, 0, machine, target, 1, 0, 400),
        e.Queued(at_ps, machine, request, 0, at_ps),
        e.StepStarted(at_ps, machine, (piece,), (), (), 0, 0, 1, 0, free),
        e.Reserved(at_ps, target, request, 0, request + 1, blocks, at_ps),
        e.Granted(at_ps, machine, request, 0, at_ps),
        e.TransferStarted(at_ps, machine, target, request, 0, 0, 79, blocks * 5_000_000, 1),
        e.StepFinished(at_ps + S // 2, machine, at_ps, 1, 0, blocks * 16, S // 2, 0, 0, 0, 0),
    ]


def _decoded(request: int, source: int, target: int, at_ps: int, blocks: int, free: int, members: int) -> list[e.Entry]:
    return [
        e.Landed(at_ps, target, request, 0, request + 1, 0, 79, blocks, blocks * 5_000_000),
        e.Committed(at_ps, target, request, 0, 80, request + 1, blocks, at_ps),
        e.StepStarted(at_ps, target, (), (request,), (), members, blocks * 16 * members, 0, 0, free),
        e.Released(at_ps, source, request, 0, request + 1, blocks, int(e.Reason.ACKNOWLEDGED), at_ps),
    ]


def entries() -> list[e.Entry]:
    """In the order of their times; decode-1 is paused from 3 s on."""
    waits = e.PrefillSlice(3, 0, 0, 640, 0, 4, 40)
    found: list[e.Entry] = [
        *_prefilled(0, 0, 2, 0, 60, 340),
        *_decoded(0, 0, 2, S, 60, 340, 1),
        *_prefilled(1, 1, 3, 3 * S // 2, 90, 310),
        e.FaultStruck(3 * S, 0, int(e.FaultCode.PAUSE), 3, -2, -1, 1),
        e.Landed(3 * S, 3, 1, 0, 2, 0, 79, 90, 450_000_000),
        e.Arrived(4 * S, 2, 4800, 512),
        e.Assigned(4 * S, 2, 0, 0, 2, 1, 0, 340),
        e.Queued(4 * S, 0, 2, 0, 4 * S),
        e.Arrived(4 * S, 3, 640, 512),
        e.Assigned(4 * S, 3, 0, 0, 2, 1, 4800, 340),
        e.Queued(4 * S, 0, 3, 0, 4 * S),
        e.StepStarted(4 * S, 0, (e.PrefillSlice(2, 0, 0, 4800, 0, 3, 300),), (), (), 0, 0, 1, 0, 100),
        e.ReserveQueued(4 * S, 2, 2, 0, 301, 4 * S),
        e.StepFinished(5 * S, 0, 4 * S, 1, 0, 4800, S, 0, 0, 0, 0),
        e.StepStarted(5 * S, 0, (waits,), (), (), 0, 0, 1, 0, 60),
        e.Arrived(6 * S, 4, 64, 512),
    ]
    return found


def folder_of(path: Path) -> Path:
    """A folder with that record."""
    path.mkdir()
    started = RunStarted("made-up", "llama2-70b", 16, FACTS, 5, True)
    lines = "".join(ENCODERS[type(entry)](entry) for entry in entries())
    (path / "record.jsonl").write_text(started.line() + lines)
    return path
