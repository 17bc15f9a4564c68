"""Broken laws in plain words, for stderr. What a law says, and what breaks it, is decided in `emu.laws`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from emu.laws.verdicts import Law, seconds
from emu.screen.quantities import count, several


def broken_laws(laws: Iterable[Law]) -> Iterator[str]:
    """A heading; then each law with what it says, the violations that it kept, and how many more there were."""
    broken = tuple(laws)
    yield f"emu: {several(len(broken), 'law was', 'laws were')} broken"
    for law in broken:
        times = "once" if law.count == 1 else f"{count(law.count)} times"
        yield f"  {law.name}, {times}: {law.statement}"
        for found in law.kept:
            yield f"    at {seconds(found.at_ps)}: {found.what}"
        if law.count > len(law.kept):
            yield f"    and {count(law.count - len(law.kept))} more"
