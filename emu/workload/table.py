"""What arrives, as compact columns: 16 bytes a request, so that a million-row trace costs megabytes.

Here stand the value types and what can be done to them without a file or a random draw. Reading belongs to `traces`,
drawing to `synthetic`, and everything that knows of clusters to other packages.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import chain
from math import ceil, isfinite
from typing import TYPE_CHECKING, Self

from attrs import evolve, frozen

if TYPE_CHECKING:
    from fractions import Fraction

    from emu.workload.prefixes import PrefixReuse

PS_PER_S = 10**12
LAST_PS = 2**63 - 1
"""The last instant an array('q') holds: about 9,223,372 s, 106 days."""
MOST_TOKENS = 2**31 - 1


def exact(number: float) -> "Fraction":
    """The decimal number that a person wrote: `exact(1.2)` is 6/5, not the binary fraction beside it."""
    from fractions import Fraction  # with decimal behind it, a hundredth of a small run

    return Fraction(repr(number))


@frozen
class Workload:
    """Requests in order of arrival; those that arrive together stand in the order of their file. The index is the id.

    `arrivals_ps` are picoseconds from the start of the trace; `prompt_tokens` and `output_tokens` are at least 1.
    `left_out` rows of the trace were not requests that could be served, and `left_out_reason` says why.
    """

    name: str
    arrivals_ps: "array[int]"
    prompt_tokens: "array[int]"
    output_tokens: "array[int]"
    left_out: int = 0
    left_out_reason: str = ""
    prefix: "PrefixReuse | None" = None

    def __attrs_post_init__(self) -> None:
        if not len(self.arrivals_ps) == len(self.prompt_tokens) == len(self.output_tokens):
            raise ValueError("a workload needs as many prompts and outputs as arrivals")

    def __len__(self) -> int:
        return len(self.arrivals_ps)

    def rows(self, order: Sequence[int]) -> Self:
        """The requests named in `order`, which must be in order of arrival."""
        if len(order) == len(self) and all(map(int.__eq__, order, range(len(self)))):
            return self
        prompts = array("i", map(self.prompt_tokens.__getitem__, order))
        return evolve(
            self,
            arrivals_ps=array("q", map(self.arrivals_ps.__getitem__, order)),
            prompt_tokens=prompts,
            output_tokens=array("i", map(self.output_tokens.__getitem__, order)),
            prefix=None if self.prefix is None else self.prefix.of(self.prefix.ids.rows(order), prompts),
        )

    def cut(self, longest_prompt_tokens: int) -> Self:
        """The same requests, none with more prompt tokens than that."""
        prompts = array("i", (min(tokens, longest_prompt_tokens) for tokens in self.prompt_tokens))
        prefix = None if self.prefix is None else self.prefix.of(self.prefix.ids, prompts)
        return evolve(self, prompt_tokens=prompts, prefix=prefix)

    def take(self, limit: int | None = None, until_s: float | None = None, speedup: float = 1.0) -> Self:
        """The first `limit` requests that arrive before `until_s` of trace time, `speedup` times as fast.

        Division is exact and rounded down to a picosecond. ValueError: a limit below 1, a negative or infinite
        `until_s`, a speedup that is not positive and finite. OverflowError: so slow that arrivals pass `LAST_PS`.
        """
        check_take(limit, until_s, speedup)
        count = len(self) if limit is None else min(limit, len(self))
        if until_s is not None:
            count = min(count, bisect_left(self.arrivals_ps, instant_ps(until_s)))
        taken = self.rows(range(count))
        if speedup == 1:
            return taken
        factor = exact(speedup)
        top, bottom = factor.numerator, factor.denominator
        return evolve(taken, arrivals_ps=array("q", [at_ps * bottom // top for at_ps in taken.arrivals_ps]))


def instant_ps(seconds: float) -> int:
    """The first picosecond that is not before this many seconds, as a person wrote them."""
    return int(seconds) * PS_PER_S if seconds == int(seconds) else ceil(exact(seconds) * PS_PER_S)


def check_take(limit: int | None, until_s: float | None, speedup: float) -> None:
    """ValueError unless these are arguments that `Workload.take` can follow."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit: expected at least 1, got {limit}")
    if until_s is not None and not (isfinite(until_s) and until_s >= 0):
        raise ValueError(f"until_s: expected seconds from 0 up, got {until_s}")
    if not (isfinite(speedup) and speedup > 0):
        raise ValueError(f"speedup: expected a positive number, got {speedup}")


def by_arrival(arrivals_ps: "array[int]") -> Sequence[int]:
    """The order that sorts these arrivals, equal ones as they stand; a range when they are sorted already."""
    later = chain(arrivals_ps[1:], (LAST_PS,))
    if all(map(int.__le__, arrivals_ps, later)):
        return range(len(arrivals_ps))
    return sorted(range(len(arrivals_ps)), key=arrivals_ps.__getitem__)
