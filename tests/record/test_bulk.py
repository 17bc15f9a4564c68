"""Lines read all at once are those read one by one, and what is no line is refused."""

import pytest

from emu.record.bulk import decode_bulk
from emu.record.entries import KINDS, Entry, PrefillSlice, StepStarted
from emu.record.lines import ENCODERS, decode


def line(kind: type[Entry], first: int) -> bytes:
    values: list[object] = [(-1) ** number * (first + number) * 10**number for number in range(len(kind._fields))]
    if kind is StepStarted:
        slices = tuple(PrefillSlice(first, 0, 0, 20, 0, 3, number) for number in range(first % 3))
        values[2:5] = slices, tuple(range(first % 4)), tuple(range(first % 2))
    entry = kind(*values)  # type: ignore[arg-type]
    return ENCODERS[kind](entry).encode()


def test_every_kind_reads_as_it_does_alone() -> None:
    lines = [line(kind, first) for first in range(6) for kind in KINDS]
    found = decode_bulk(b"".join(lines))
    assert found == [decode(each.decode()) for each in lines]
    assert list(map(type, found)) == [kind for _ in range(6) for kind in KINDS]


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"{}",
        b"3",
        b'{"entry":"Nothing","at_ps":1}',
        b'{"entry":"RunEnded","at_ps":}',
        b'{"entry":"RunEnded","at_ps":1.5}',
        b'{"entry":"RunEnded","at_ps":1,2}',
        b'{"entry":"RunEnded","at_ps":1],[2}',
        b'{"entry":"RunEnded","at_ps":1}{"entry":"RunEnded","at_ps":1}',
        b'{"at_ps":1,"entry":"RunEnded"}',
    ],
)
def test_what_is_no_line_of_a_record_is_refused(wrong: bytes) -> None:
    right = b'{"entry":"RunEnded","at_ps":5}\n'
    with pytest.raises(ValueError, match=r"not an entry|Expecting|shorter|longer"):
        decode_bulk(right + wrong + b"\n" + right)
