"""Student's t: how far the mean of a few runs may lie from the truth. The standard library has only the normal law.

The distribution function is the finite series for whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4),
and quantiles are found in it by halving.
"""

from __future__ import annotations

from math import atan2, cos, inf, log, pi, sin, sqrt


def t_below(value: float, freedom: int) -> float:
    """The probability that a t of `freedom` degrees, at least 1, lies below `value`."""
    angle = atan2(abs(value), sqrt(freedom))
    square = cos(angle) ** 2
    term = total = cos(angle) if freedom % 2 else 1.0
    for below in range(3 if freedom % 2 else 2, freedom - 1, 2):
        term *= square * (below - 1) / below
        total += term
    if freedom == 1:
        total = 0.0
    series = sin(angle) * total
    within = 2 / pi * (angle + series) if freedom % 2 else series
    return 0.5 + (within if value > 0 else -within) / 2


def t_quantile(probability: float, freedom: int) -> float:
    """The value that a t of `freedom` degrees lies below with this probability, to 1e-9."""
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    low, high = 0.0, 1.0
    while t_below(high, freedom) < probability:
        low, high = high, 2 * high
    while high - low > 1e-9 * max(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if t_below(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def spread_of_logs(values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation of the logarithms of positive values; one alone says nothing of its spread."""
    logs = [log(value) for value in values]
    mean = sum(logs) / len(logs)
    if len(logs) < 2:
        return mean, inf
    return mean, sqrt(sum((one - mean) ** 2 for one in logs) / (len(logs) - 1))
