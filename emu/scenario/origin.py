"""Where each key of a scenario came from, so that a refusal can say so: the file, `--set` or `--seed`.

Also how keys and values are written in a message. Nothing here knows which keys exist.
"""

import re
from collections.abc import Iterable
from typing import TypeAlias

from attrs import frozen

from emu.refusal import Refusal

Key: TypeAlias = tuple[str | int, ...]

LONGEST_SHOWN = 60
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@frozen(eq=False, repr=False)
class Origin:
    """The file of a scenario and the keys that the command line set over it."""

    file: str
    overridden: tuple[Key, ...] = ()
    seed_given: bool = False

    def refusal(self, key: Key, expected: str) -> Refusal:
        if self.seed_given and key == ("seed",):
            return Refusal("--seed", expected)
        if any(key[: len(over)] == over for over in self.overridden):
            return Refusal(f"--set {dotted(key)}", expected)
        return Refusal(f"{self.file}: {dotted(key)}" if key else self.file, expected)


def dotted(key: Key) -> str:
    """machines[1].count"""
    written = ""
    for part in key:
        if isinstance(part, int):
            written += f"[{part}]"
        else:
            name = part if _BARE.fullmatch(part) and len(part) <= LONGEST_SHOWN else shown(part)
            written += f".{name}" if written else name
    return written


def shown(value: object) -> str:
    """A value on one line, short, as TOML writes it where that is easy."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**LONGEST_SHOWN:
        return "a number of more digits than that"  # Python refuses to write the longest integers at all
    written = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return written if len(written) <= LONGEST_SHOWN else written[: LONGEST_SHOWN - 3] + "..."


def close(name: str, known: Iterable[str]) -> str | None:
    """The known name that this one is a slip of, if it is like one at all."""
    return _match(name, list(known), 0.6)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is least unlike this one."""
    names = list(known)
    return _match(name, names, 0.0) or names[0]


def _match(name: str, known: list[str], cutoff: float) -> str | None:
    from difflib import get_close_matches  # only a mistake pays for the import

    begun = [one for one in known if name and one.startswith(name)]
    if len(begun) == 1:  # a word cut short means this one, however much of it is missing
        return begun[0]
    return next(iter(get_close_matches(name[:100], known, 1, cutoff)), None)
