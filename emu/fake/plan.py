"""A fault as the emulated world has it: indices and picoseconds, complete, checked before it came here.

What each kind does stands with what it is done to; when it happens is `emu.fake.storm`'s.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from emu.record.entries import FaultCode

ROUTER: Final = -1  # as an end of a wire
ANY: Final = -2  # a machine that a fault does not name
MESSAGE_FAULTS: Final = (FaultCode.LOSE, FaultCode.DUPLICATE, FaultCode.DELAY, FaultCode.REORDER)
SCALE: Final = 1000  # of factors, which are whole thousandths


class Trigger(NamedTuple):
    """The `nth` entry of this kind, by name; of one machine or one request, unless that is ANY; and then `after_ps`."""

    entry: str
    nth: int
    machine: int
    request: int
    after_ps: int


class Strike(NamedTuple):
    """One fault. Machines are indices, ROUTER or ANY. What a kind does not use keeps its default."""

    number: int
    kind: FaultCode
    at_ps: int = 0
    trigger: Trigger | None = None
    machine: int = ANY
    peer: int = ANY
    heal_after_ps: int | None = None
    factor: int = SCALE
    control: bool = True  # which planes
    data: bool = True
    one_way: bool = False
    message: str = ""
    nth: int = 1
    times: int = 1  # in a row
    by_ps: int = 0
