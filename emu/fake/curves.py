"""Looking up measured curves: integer arithmetic, so that a record's digest does not hang on how a machine rounds."""

from bisect import bisect_right


def line(x: int, knots: tuple[int, ...], times: tuple[int, ...]) -> int:
    """Linear through the knots, and on with the first and the last slope; rounded down."""
    right = min(max(bisect_right(knots, x), 1), len(knots) - 1)
    left = right - 1
    return times[left] + (times[right] - times[left]) * (x - knots[left]) // (knots[right] - knots[left])


def prefill_at(tokens: int, knots: tuple[int, ...], times: tuple[int, ...], pair_ps: int, prompts: int) -> int:
    """Linear through the knots and constant before the first. Past the last, proportional to tokens, and the pairs that
    the longer prompts have beyond that: T * T / 2n at T tokens of n prompts, less T * last / 2n."""
    if tokens <= knots[0]:
        return times[0]
    last = knots[-1]
    if tokens <= last:
        return line(tokens, knots, times)
    return times[-1] * tokens // last + pair_ps * tokens * (tokens - last) // (2 * prompts)
