"""Errors of predictions as figures: how far off on average, at the 95th percentile and at worst, and scatter.

Nothing here knows what was predicted.
"""

import math
import statistics
from collections.abc import Iterable

import attrs

Evidence = dict[str, dict[str, float | int | str | list[str]]]


@attrs.frozen(slots=True)
class Miss:
    """One prediction: predicted over measured less one, and whether it lay outside what was fitted."""

    error: float
    outside: bool = False


@attrs.frozen(slots=True)
class Errors:
    """Of absolute relative errors, as fractions. `p95` is by nearest rank: an error that was really made."""

    cells: int
    mape: float
    p95: float
    worst: float


def errors_of(misses: Iterable[Miss]) -> Errors | None:
    """None when nothing was predicted."""
    sizes = sorted(abs(miss.error) for miss in misses)
    if not sizes:
        return None
    return Errors(len(sizes), statistics.fmean(sizes), sizes[math.ceil(0.95 * len(sizes)) - 1], sizes[-1])


def summary(misses: Iterable[Miss]) -> dict[str, float | int | str | list[str]]:
    """Figures in per cent, interpolated and extrapolated apart; the worst is signed."""
    every = list(misses)
    found: dict[str, float | int | str | list[str]] = {}
    for name, outside in (("interpolated", False), ("extrapolated", True)):
        some = [miss for miss in every if miss.outside is outside]
        errors = errors_of(some)
        if errors is not None:
            found[f"{name}_cells"] = errors.cells
            found[f"{name}_mape_pct"] = percent(errors.mape)
            found[f"{name}_p95_pct"] = percent(errors.p95)
            found[f"{name}_worst_pct"] = percent(max((miss.error for miss in some), key=abs))
    return found


def variation(repeats: tuple[float, ...]) -> float:
    """Standard deviation over mean; 0 for one repeat."""
    return statistics.stdev(repeats) / statistics.fmean(repeats) if len(repeats) > 1 else 0.0


def scatter(prefill: list[float], decode: list[float]) -> dict[str, float | int | str | list[str]]:
    """Variations of repeats, in per cent: the floor that no prediction gets below."""
    found: dict[str, float | int | str | list[str]] = {
        "of": "repeats of a cell, standard deviation over mean, per cent"
    }
    for phase, spread in (("prefill", prefill), ("decode", decode)):
        if spread:
            found[f"{phase}_median_pct"] = percent(statistics.median(spread))
            found[f"{phase}_worst_pct"] = percent(max(spread))
    return found


def percent(share: float) -> float:
    return round(100 * share, 1)
