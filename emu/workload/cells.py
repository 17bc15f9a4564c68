"""One cell of a trace, as text, to the integer it means: exactly, or ValueError with what was expected.

`int()` and `float()` are not enough: they take ' 1_0', '٣' and 'nan', and binary seconds are off by picoseconds.
Files, lines and columns are the business of `traces`.
"""

import re
from datetime import date
from fractions import Fraction

from emu.workload.table import LAST_PS, MOST_TOKENS, PS_PER_S

_DECIMAL = re.compile(r"([0-9]{1,18})(?:\.([0-9]{0,400}))?(?:[eE]([+-]?[0-9]{1,3}))?")
_DATE_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[ T]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,12}))?(?:Z|\+00:00)?"
)
_LONGEST_COUNT = len(str(MOST_TOKENS))


def quoted(text: str) -> str:
    """The text as it stands in a message: one line, quoted, never longer than a line of a terminal."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def count(text: str) -> int:
    """A whole number from 0 to 2**31 - 1."""
    text = text.strip()
    if text.isdecimal() and text.isascii():
        digits = text.lstrip("0") or "0"
        if len(digits) <= _LONGEST_COUNT and (value := int(digits)) <= MOST_TOKENS:
            return value
        raise ValueError(f"expected a count of at most {MOST_TOKENS}, got {quoted(text)}")
    raise ValueError(f"expected a positive whole number, got {quoted(text)}")


def positive_count(text: str) -> int:
    """A whole number from 1 to 2**31 - 1."""
    value = count(text)
    if value == 0:
        raise ValueError(f"expected a positive whole number, got {quoted(text)}")
    return value


def decimal_ps(text: str, ps_per_unit: int = PS_PER_S) -> int:
    """A time from 0 up, written in decimal (an exponent may follow), in picoseconds: what is finer is cut off."""
    found = _DECIMAL.fullmatch(text) or _DECIMAL.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"expected a time from 0 up as a decimal number, got {quoted(text)}")
    whole, fraction, exponent = found.groups()
    if exponent is None and ps_per_unit == PS_PER_S:
        time_ps = int(whole) * PS_PER_S + int(f"{fraction or '':0<12.12}")
    else:
        time_ps = int(Fraction(found.group().replace(".e", "e").replace(".E", "E")) * ps_per_unit)
    return within_range(time_ps, text)


def within_range(time_ps: int, text: str) -> int:
    """The same time, or ValueError when 64 bits of picoseconds cannot hold it."""
    if time_ps > LAST_PS:
        raise ValueError(f"expected a time within {LAST_PS // PS_PER_S} s (106 days), got {quoted(text)}")
    return time_ps


class DateTimes:
    """Absolute times ('2023-11-16 18:15:46.6805900', UTC) in picoseconds since midnight of the first one's day.

    Counting from the first day keeps them within 64 bits; the reader then subtracts the earliest.
    Years before 1 and the 61st second do not exist here, as in `datetime`.
    """

    def __init__(self) -> None:
        self._first_day: int | None = None
        self._minutes_ps: dict[tuple[str, ...], int] = {}

    def ps(self, text: str) -> int:
        found = _DATE_TIME.fullmatch(text) or _DATE_TIME.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"expected a time such as '2023-11-16 18:15:46.6805900', got {quoted(text)}")
        *minute, second, fraction = found.groups()
        key = tuple(minute)
        minute_ps = self._minutes_ps.get(key)
        if minute_ps is None:
            minute_ps = self._minutes_ps[key] = self._minute_ps(key, text)
        if second > "59":
            raise ValueError(f"expected a time of day, got {quoted(text)}")
        time_ps = minute_ps + int(second) * PS_PER_S + int(f"{fraction or '':0<12}")
        within_range(abs(time_ps), text)
        return time_ps

    def _minute_ps(self, minute: tuple[str, ...], text: str) -> int:
        year, month, day, hour, minutes = map(int, minute)
        try:
            ordinal = date(year, month, day).toordinal()
        except ValueError as wrong:
            raise ValueError(f"expected a date of the calendar ({wrong}), got {quoted(text)}") from None
        if hour > 23 or minutes > 59:
            raise ValueError(f"expected a time of day, got {quoted(text)}")
        if self._first_day is None:
            self._first_day = ordinal
        return (((ordinal - self._first_day) * 24 + hour) * 60 + minutes) * 60 * PS_PER_S
