"""What is read off a record's transfers: mode, whether the sender went on, and what stayed visible."""

from emu.real.rows import TransferRow
from emu.real.transfers import transfer_rows
from emu.record.entries import Committed, Entry, PrefillSlice, StepFinished, StepStarted, TransferStarted

MS = 10**9


def step(machine: int, began: int, ended: int, *requests: int) -> list[Entry]:
    """A prefill."""
    slices = tuple(PrefillSlice(request, 0, 0, 100, 0, 1, 7) for request in requests)
    return [
        StepStarted(began * MS, machine, slices, (), (), 0, 0, 0, 0, 9),
        StepFinished(ended * MS, machine, began * MS, 1, 0, 100, (ended - began) * MS, 0, 0, 0, 0),
    ]


def put(request: int, follows: int, *, count: int = 800) -> Entry:
    return TransferStarted(0, 0, 1, request, 0, 0, 3, count, follows)


def committed(request: int, signalled: int) -> Entry:
    return Committed((signalled + 5) * MS, 1, request, 0, 4, 1, 7, signalled * MS)


def test_each_transfer_is_one_row() -> None:
    entries = [put(1, 1), *step(0, 0, 10, 1, 2), put(2, 0), *step(0, 11, 20, 3), committed(1, 11), committed(2, 13)]
    assert transfer_rows(entries, 4) == [
        TransferRow("layer-wise", 0, 800, 200, 1.0),
        TransferRow("serialized", 1, 800, 800, 3.0),
    ]


def test_puts_of_one_request_are_one_transfer() -> None:
    entries = [*step(0, 0, 10, 1), put(1, 0, count=100), put(1, 0, count=200), committed(1, 12)]
    assert [row.bytes for row in transfer_rows(entries, 4)] == [300]


def test_what_another_machine_computes_makes_nobody_busy() -> None:
    entries = [*step(0, 0, 10, 1), put(1, 0), *step(1, 10, 20, 9), committed(1, 12)]
    assert transfer_rows(entries, 4)[0].busy == 0


def test_without_a_prefill_nothing_is_said() -> None:
    assert transfer_rows([put(1, 0), committed(1, 12)], 4) == []
    assert transfer_rows([*step(0, 0, 10, 1), committed(1, 12)], 4) == []
