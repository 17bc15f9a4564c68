"""What the host of a machine adds to its steps, where that was measured: the [host] table of a hardware profile.

A profile's step times hold what a turn of the host takes on the mean. Where one process serves all machines a turn
scatters; one thread launches copies and steps, so that a step waits for a copy's launch; and prompts without a pause
take a GPU to the limit of its power. Integers only, since the record's digest hangs on it; what becomes of the figures
stands in `emu.fake.host_worker`.
"""

from typing import Any

from attrs import evolve, field, frozen

from emu.fake.curves import line
from emu.fake.even import WHOLE, first_of, part
from emu.fake.profiles import SHIPPED_HARDWARE, from_table, read_profile
from emu.fake.signals import check_curve, check_shares
from emu.refusal import Refusal


@frozen
class HostFigures:
    """`launch_s`: how many seconds a cache that is sent in one piece keeps the next step from starting. `behind`
    and `paused`: the share of its time in the profile by which a step with prompts takes longer that begins as another
    ends, or later. `over_s`: what a decode step takes beyond its time in the profile, of so large a share of those
    measured at most. All but `launch_s` may be negative.
    """

    shares: tuple[float, ...] = field(metadata={"any_sign": True})
    over_s: tuple[float, ...] = field(metadata={"any_sign": True})
    launch_s: float
    behind: float = field(metadata={"any_sign": True})
    paused: float = field(metadata={"any_sign": True})
    source: str


@frozen
class HostTimes:
    """The same in picoseconds, shares in parts of WHOLE. Draws begin at `first`."""

    shares: tuple[int, ...]
    over: tuple[int, ...]
    launch_ps: int
    behind: int
    paused: int
    first: int = 0

    @classmethod
    def of(cls, figures: HostFigures) -> "HostTimes":
        over = tuple(round(seconds * 10**12) for seconds in figures.over_s)
        shares = tuple(round(share * WHOLE) for share in figures.shares)
        behind, paused = round(figures.behind * WHOLE), round(figures.paused * WHOLE)
        return cls(shares, over, round(figures.launch_s * 10**12), behind, paused)

    def seeded(self, seed: int, machine: str) -> "HostTimes":
        """For that machine in a run of this seed."""
        return evolve(self, first=first_of(f"{seed}/host/{machine}"))

    def over_ps(self, before: int) -> int:
        """What a decode step takes beyond its time, drawn after so many others."""
        return line(part(self.first, before), self.shares, self.over)


def load_host(hardware: str) -> HostTimes:
    """The [host] of a hardware profile that has one (a shipped name or a path). Raises `Refusal`."""
    table, where = read_profile("hardware", SHIPPED_HARDWARE, hardware)
    return HostTimes.of(parse_host(table["host"], f"{where}: host"))


def parse_host(table: Any, where: str) -> HostFigures:
    """Raises `Refusal` for a key that is unknown, missing or mistyped, and for shares or times that are none."""
    if not isinstance(table, dict):
        raise Refusal(where, "expected a table")
    figures = from_table(HostFigures, table, where)
    for key in ("behind", "paused"):
        if not -0.5 < getattr(figures, key) < 10:
            raise Refusal(f"{where}: {key}", "expected a share between -0.5 and 10")
    check_shares(figures.shares, where)
    check_curve(figures.over_s, figures.shares, f"{where}: over_s")
    return figures
