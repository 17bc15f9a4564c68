"""Workloads that need no file: arrivals of a given rate, sizes drawn jointly from a shipped table.

Two streams of draws, one for arrivals and one for sizes, so that request k has the same size at any rate and the same
seed always gives the same workload. Only `Random.random()` is used: Python promises its sequence across versions, but
not those of `expovariate` and `gammavariate`. Gaps are rounded to whole microseconds and summed as integers: the last
bit of a platform's logarithm shows only where a gap lies on a half microsecond.
"""

from array import array
from collections.abc import Callable, Iterator
from itertools import count
from math import log, sqrt
from random import Random

from emu.workload.sizes import size_table
from emu.workload.table import LAST_PS, PS_PER_S, Workload, exact, instant_ps

ARRIVALS = ("poisson", "gamma", "constant")
_US_PER_S = 10**6
_PS_PER_US = 10**6
_LOWEST_RPS, _HIGHEST_RPS = 1e-6, 1e5  # above, rounding gaps to microseconds would change the rate
_BURSTIEST, _EVENEST = 0.01, 1e6  # beyond, the method runs out of the digits of a float


def synthetic(
    shape: str,
    *,
    rate_rps: float,
    duration_s: float,
    arrivals: str = "poisson",
    seed: int = 0,
    burstiness: float = 1.0,
    limit: int | None = None,
) -> Workload:
    """Requests of a `shape` (`sizes.SHAPES`) that arrive before `duration_s`, at most `limit`; there may be none.

    "constant": one every 1 / rate_rps seconds, the first at 0. "poisson": gaps exponential, the first request after the
    first gap. "gamma": gaps gamma of shape `burstiness` with the same mean, as in `vllm bench serve`: below 1 they
    come in bursts, above 1 more evenly, and at 1 they are the Poisson ones. ValueError: arguments that make no sense.
    """
    if not _LOWEST_RPS <= rate_rps <= _HIGHEST_RPS:
        raise ValueError(f"rate_rps: expected a number from {_LOWEST_RPS} to {_HIGHEST_RPS}, got {rate_rps}")
    if not _BURSTIEST <= burstiness <= _EVENEST:
        raise ValueError(f"burstiness: expected a number from {_BURSTIEST} to {_EVENEST}, got {burstiness}")
    if not 0 < duration_s <= LAST_PS // PS_PER_S:
        raise ValueError(f"duration_s: expected a positive number up to {LAST_PS // PS_PER_S}, got {duration_s}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit: expected at least 1, got {limit}")
    if arrivals not in ARRIVALS:
        raise ValueError(f"arrivals: expected one of {', '.join(ARRIVALS)}, got {arrivals!r}")
    table = size_table(shape)
    end_ps = instant_ps(duration_s)
    arrival_draw = Random(f"{seed}/workload/arrivals").random
    size_draw = Random(f"{seed}/workload/sizes").random
    if arrivals == "constant":
        instants = _evenly(rate_rps)
    else:
        instants = _after_gaps(arrival_draw, rate_rps, burstiness if arrivals == "gamma" else 1.0)
    arrivals_ps, prompts, outputs = array("q"), array("i"), array("i")
    for at_ps in instants:
        if at_ps >= end_ps or len(arrivals_ps) == limit:
            break
        prompt_tokens, output_tokens = table.sizes(size_draw(), size_draw())
        arrivals_ps.append(at_ps)
        prompts.append(prompt_tokens)
        outputs.append(output_tokens)
    return Workload(table.name, arrivals_ps, prompts, outputs)


def _evenly(rate_rps: float) -> Iterator[int]:
    """Exact multiples of the gap, each rounded down, so that no error adds up."""
    rate = exact(rate_rps)
    return (index * PS_PER_S * rate.denominator // rate.numerator for index in count())


def _after_gaps(draw: Callable[[], float], rate_rps: float, burstiness: float) -> Iterator[int]:
    mean_gap_us = _US_PER_S / rate_rps
    at_us = 0
    while True:
        gap = -log(1.0 - draw()) if burstiness == 1.0 else gamma_draw(draw, burstiness) / burstiness
        at_us += round(gap * mean_gap_us)
        yield at_us * _PS_PER_US


def gamma_draw(draw: Callable[[], float], shape: float) -> float:
    """A draw of Gamma(shape, 1), made of uniform ones by Marsaglia and Tsang's method (ACM TOMS 26(3), 2000).

    A shape below 1 is drawn as Gamma(shape + 1) * U ** (1 / shape), as they say.
    """
    if shape < 1.0:
        boost: float = (1.0 - draw()) ** (1.0 / shape)
        return gamma_draw(draw, shape + 1.0) * boost
    d = shape - 1.0 / 3.0
    c = 1.0 / sqrt(9.0 * d)
    while True:
        x = _normal_draw(draw)
        v = (1.0 + c * x) ** 3
        if v > 0.0 and log(1.0 - draw()) < 0.5 * x * x + d - d * v + d * log(v):
            return d * v


def _normal_draw(draw: Callable[[], float]) -> float:
    """A standard normal draw by the polar method; its second one is thrown away, so that no state stays behind."""
    while True:
        x, y = 2.0 * draw() - 1.0, 2.0 * draw() - 1.0
        square = x * x + y * y
        if 0.0 < square < 1.0:
            return x * sqrt(-2.0 * log(square) / square)
