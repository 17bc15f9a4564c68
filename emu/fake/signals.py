"""How long a signal takes behind the last byte of a KV transfer, where that was measured: the [signals] table of a
hardware profile, and its strict reader.

A profile's one `signal_s` does where a network card does the work. Where hosts launch copies and look for their ends,
what is left depends on the mode of the transfer and on whether the sender computes meanwhile, and scatters. Integers
only, since the record's digest hangs on it; when a signal is due is decided elsewhere.
"""

from itertools import pairwise
from typing import Any

from attrs import evolve, field, frozen

from emu.fake.curves import line
from emu.fake.even import WHOLE, first_of, part
from emu.fake.profiles import SHIPPED_HARDWARE, from_table, read_profile
from emu.refusal import Refusal


@frozen
class SignalFigures:
    """Seconds from a transfer's last byte to its signal, of so large a share of those measured at most.

    `layer_wise` transfers follow their prefills, `serialized` ones do not; `busy` ones end while their sender computes
    the next prompts.
    """

    shares: tuple[float, ...] = field(metadata={"any_sign": True})
    serialized_s: tuple[float, ...]
    serialized_busy_s: tuple[float, ...]
    layer_wise_s: tuple[float, ...]
    layer_wise_busy_s: tuple[float, ...]
    source: str


@frozen
class SignalTimes:
    """The same in picoseconds, by share of WHOLE; `curves` by (layer-wise, busy). Draws begin at `first`."""

    shares: tuple[int, ...]
    curves: dict[tuple[bool, bool], tuple[int, ...]]
    first: int = 0

    @classmethod
    def of(cls, figures: SignalFigures) -> "SignalTimes":
        names = {
            (False, False): figures.serialized_s,
            (False, True): figures.serialized_busy_s,
            (True, False): figures.layer_wise_s,
            (True, True): figures.layer_wise_busy_s,
        }
        curves = {key: tuple(round(seconds * 10**12) for seconds in curve) for key, curve in names.items()}
        return cls(tuple(round(share * WHOLE) for share in figures.shares), curves)

    def seeded(self, seed: int) -> "SignalTimes":
        """For a run of this seed."""
        return evolve(self, first=first_of(f"{seed}/signals"))

    def ps(self, before: int, *, layer_wise: bool, busy: bool) -> int:
        """The time of a transfer, drawn after so many others from the same curve."""
        return line(part(self.first, before), self.shares, self.curves[layer_wise, busy])


def load_signals(hardware: str) -> SignalTimes:
    """The [signals] of a hardware profile that has them (a shipped name or a path). Raises `Refusal`."""
    table, where = read_profile("hardware", SHIPPED_HARDWARE, hardware)
    return SignalTimes.of(parse_signals(table["signals"], f"{where}: signals"))


def parse_signals(table: Any, where: str) -> SignalFigures:
    """Raises `Refusal` for a key that is unknown, missing or mistyped, and for shares or times that are none."""
    if not isinstance(table, dict):
        raise Refusal(where, "expected a table")
    figures = from_table(SignalFigures, table, where)
    check_shares(figures.shares, where)
    for key in ("serialized_s", "serialized_busy_s", "layer_wise_s", "layer_wise_busy_s"):
        check_curve(getattr(figures, key), figures.shares, f"{where}: {key}")
    return figures


def check_shares(shares: tuple[float, ...], where: str) -> None:
    """Raises `Refusal` unless they go from none to all."""
    if len(shares) < 2 or shares[0] != 0.0 or shares[-1] != 1.0 or any(b <= a for a, b in pairwise(shares)):
        raise Refusal(f"{where}: shares", "expected shares that increase from 0 to 1")


def check_curve(curve: tuple[float, ...], shares: tuple[float, ...], where: str) -> None:
    """Raises `Refusal` unless it is a distribution over these shares."""
    if len(curve) != len(shares) or any(later < earlier for earlier, later in pairwise(curve)):
        raise Refusal(where, "expected a time for each share, none less than the one before")
