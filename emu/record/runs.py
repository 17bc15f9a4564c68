"""Runs: the batches that one machine has run, as far as the gaps between tokens need them.

All sequences of a batch have their tokens at the same moments, so the longest gap of each is a maximum over the runs
since it joined. A stack of falling maxima answers that when a sequence leaves: the cost is that of the change of a
batch, never of its size. Requests and what is said of them must stay out of here.
"""

from __future__ import annotations

from bisect import bisect_right

from attrs import define, field

from emu.record.entries import PrefillSlice
from emu.record.life import NEVER


@define(eq=False, repr=False)
class Runs:
    """One machine. `joined` and `prefills` are those of the batch that runs, until its first step has ended."""

    number: int = 0  # of the latest run that ended
    finished_ps: int = NEVER  # when it ended
    joined: tuple[int, ...] = ()
    prefills: tuple[PrefillSlice, ...] = ()
    _numbers: list[int] = field(factory=list, init=False)  # rising, with
    _longest_ps: list[int] = field(factory=list, init=False)  # falling: each exceeds whatever came later

    def end(self, at_ps: int, longest_ps: int) -> None:
        """A run ended, in which sequences that were there before it waited `longest_ps` at most for a token."""
        self.number += 1
        self.finished_ps = at_ps
        numbers, longest = self._numbers, self._longest_ps
        while longest and longest[-1] <= longest_ps:
            longest.pop()
            numbers.pop()
        longest.append(longest_ps)
        numbers.append(self.number)

    def longest_since(self, run: int) -> int:
        """The longest gap in the runs after `run`; NEVER where there are none."""
        place = bisect_right(self._numbers, run)
        return self._longest_ps[place] if place < len(self._numbers) else NEVER
