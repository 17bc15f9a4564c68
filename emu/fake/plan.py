"""A fault as the emulated world has it: indices and picoseconds, complete, checked before it came here.

What each kind does stands with what it is done to; when it happens is `emu.fake.storm`'s.
"""

from typing import Final, NamedTuple

from attrs import define

from emu.record.entries import FaultCode

ROUTER: Final = -1  # as an end of a wire
ANY: Final = -2  # a machine that a fault does not name
MESSAGE_FAULTS: Final = (FaultCode.LOSE, FaultCode.DUPLICATE, FaultCode.DELAY, FaultCode.REORDER)
PUT_FAULTS: Final = (FaultCode.LATE_WRITE, FaultCode.POST_FAIL, FaultCode.LOSE_COMPLETION, FaultCode.CORRUPT)
SCALE: Final = 1000  # of factors, which are whole thousandths


class Trigger(NamedTuple):
    """The `nth` entry of this kind, by name; of one machine or one request, unless that is ANY; and then `after_ps`.

    `half`: of a transfer that has started, when half of its layers have been sent.
    """

    entry: str
    nth: int
    machine: int
    request: int
    after_ps: int
    half: bool = False


class Strike(NamedTuple):
    """One fault. Machines are indices, ROUTER or ANY. What a kind does not use keeps its default."""

    number: int
    kind: FaultCode
    at_ps: int = 0
    trigger: Trigger | None = None
    machine: int = ANY
    peer: int = ANY
    request: int = ANY
    heal_after_ps: int | None = None
    factor: int = SCALE
    control: bool = True  # which planes
    data: bool = True
    one_way: bool = False
    message: str = ""
    nth: int = 1
    times: int = 1  # in a row
    by_ps: int = 0
    deadline_ps: int | None = None
    drift_ppm: int = 0


@define(eq=False, repr=False)
class Counted:
    """A fault of messages or puts while it holds: it hits those numbered `nth` to `nth + times - 1` of its kind."""

    strike: Strike
    seen: int = 0

    def hits(self, source: int, target: int, request: int) -> bool:
        """Whether it hits this one, of its kind, which is counted if it is between the ends that the fault names."""
        strike = self.strike
        if strike.machine not in (ANY, source) or strike.peer not in (ANY, target):
            return False
        if strike.request not in (ANY, request):
            return False
        self.seen += 1
        return strike.nth <= self.seen < strike.nth + strike.times

    @property
    def spent(self) -> bool:
        return self.seen >= self.strike.nth + self.strike.times - 1
