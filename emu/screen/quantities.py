"""How numbers are written for a person: three significant digits, a unit beside each. Only text comes out of here."""

from __future__ import annotations

NOTHING = "-"

_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def digits(value: float | None) -> str:
    """Three significant digits, never an exponent; thousands are set apart."""
    if value is None:
        return NOTHING
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"


def count(value: int) -> str:
    return f"{value:,}"


def several(number: int, one: str, many: str | None = None) -> str:
    """1 row, 2 rows"""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def seconds(value: float | None) -> str:
    """A latency, in the unit that leaves few zeros."""
    if value is None:
        return NOTHING
    size = abs(value)
    if size >= 0.9995:
        return f"{digits(value)} s"
    if size >= 0.000_999_5:
        return f"{digits(value * 1e3)} ms"
    return f"{digits(value * 1e6)} us" if size else "0 ms"


def span(value: float) -> str:
    """A long time: hours and minutes where there are any."""
    whole = round(value)
    if whole < 120:
        return f"{digits(value)} s"
    minutes, left = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {left:02} s"


def share(value: float | None) -> str:
    """A part of 1 in per cent; what is not all, or not nothing, never looks as if it were."""
    if value is None:
        return NOTHING
    percent = value * 100
    if 0 < percent < 0.05:
        return "< 0.1 %"
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %" if percent < 99.95 else f"{percent:.0f} %"


def size(value: float) -> str:
    for unit, name in _BYTES:
        if abs(value) >= unit:
            return f"{digits(value / unit)} {name}"
    return f"{value:.0f} B"


def power(watts: float) -> str:
    if watts >= 1e6:
        return f"{digits(watts / 1e6)} MW"
    return f"{digits(watts / 1e3)} kW" if watts >= 1e3 else f"{digits(watts)} W"


def energy(watt_hours: float) -> str:
    return f"{power(watt_hours)}h"
