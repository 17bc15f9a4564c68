"""Values that may not fall, nearest to measured ones: pooling of adjacent violators, in plain arithmetic."""

import attrs


@attrs.frozen(slots=True)
class Point:
    """A median and how many repeats it stands on."""

    x: int
    ps: float
    weight: int


def isotonic(points: list[Point]) -> list[float]:
    """The non-decreasing values nearest to the points in weighted squares (pool adjacent violators)."""
    pools: list[tuple[float, int, int]] = []  # mean, weight, points pooled
    for point in points:
        pools.append((point.ps, point.weight, 1))
        while len(pools) > 1 and pools[-1][0] < pools[-2][0]:
            (right, right_weight, right_count), (left, left_weight, left_count) = pools.pop(), pools.pop()
            weight = left_weight + right_weight
            pools.append(((left * left_weight + right * right_weight) / weight, weight, left_count + right_count))
    return [mean for mean, _, count in pools for _ in range(count)]
