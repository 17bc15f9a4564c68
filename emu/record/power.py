"""Power: a fold over what the machines draw, by phase and by pool, and what the cluster drew at the most.

A machine draws as its profile says: idle, in a prefill step by the tokens in its batch, in a decode step by its
sequences, and in a mixed step the larger of the two. Integers throughout (milliwatts x picoseconds), so that leaping
and stepping add up to the same. A step that a crash cut short drew what it draws until then. Watts come with
RunStarted; none are known here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import define, field

from emu.record.entries import StepFinished, StepsCut
from emu.record.start import MachineDraw, RunStarted

PEAK_OVER_PS: Final = 10**12
"""The peak is the highest mean over one second of the clock: shorter surges a power supply takes."""

MWPS_PER_WH: Final = 1000 * 10**12 * 3600


@define(eq=False, repr=False)
class PoolDraw:
    """What the machines of one pool drew, in mW x ps."""

    idle_mw: int = 0  # of all its machines together
    prefill_mwps: int = 0
    decode_mwps: int = 0
    mixed_mwps: int = 0
    idle_while_busy_mwps: int = 0  # what its machines would have drawn in that time
    above_idle_mwps: dict[int, int] = field(init=False, factory=dict)  # by second of the clock

    @property
    def busy_mwps(self) -> int:
        return self.prefill_mwps + self.decode_mwps + self.mixed_mwps

    def drawn_mwps(self, until_ps: int) -> int:
        """From time 0 on."""
        return self.idle_mw * until_ps + self.busy_mwps - self.idle_while_busy_mwps

    def idle_mwps(self, until_ps: int) -> int:
        """What its machines drew while they ran no step."""
        return self.drawn_mwps(until_ps) - self.busy_mwps


@define(eq=False, repr=False)
class Curve:
    """Whole milliwatts by a count; linear between the knots, rounded down, and constant outside them."""

    knots: tuple[int, ...]
    knots_mw: tuple[int, ...]
    _known: dict[int, int] = field(init=False, factory=dict)

    @classmethod
    def of(cls, knots: tuple[int, ...], watts: tuple[float, ...]) -> Curve:
        return cls(knots, tuple(round(each * 1000) for each in watts))

    def at_mw(self, count: int) -> int:
        found = self._known.get(count)
        if found is None:
            knots, knots_mw = self.knots, self.knots_mw
            right = bisect_right(knots, count)
            if right in (0, len(knots)):
                found = knots_mw[max(0, right - 1)]
            else:
                rise, run = knots_mw[right] - knots_mw[right - 1], knots[right] - knots[right - 1]
                found = knots_mw[right - 1] + rise * (count - knots[right - 1]) // run
            self._known[count] = found
        return found


@define(eq=False, repr=False)
class MachineMeter:
    """One machine's draw, with the pool that it counts to; `prefill` by tokens in the batch, `decode` by sequences."""

    pool: PoolDraw
    idle_mw: int
    prefill: Curve
    decode: Curve

    @classmethod
    def of(cls, pool: PoolDraw, draw: MachineDraw) -> MachineMeter:
        prefill = Curve.of(draw.prefill_tokens, draw.prefill_w)
        return cls(pool, round(draw.idle_w * 1000), prefill, Curve.of(draw.decode_sequences, draw.decode_w))

    def draw_mw(self, prompt_tokens: int, sequences: int) -> int:
        """In a step of this batch; a mixed one draws the larger of its halves', sequences counting as tokens."""
        if not prompt_tokens:
            return self.decode.at_mw(sequences)
        prefill_mw = self.prefill.at_mw(prompt_tokens + sequences)
        return max(prefill_mw, self.decode.at_mw(sequences)) if sequences else prefill_mw


class Power:
    """One run's draw; `pools` is None where the profile of one of its machines has no power."""

    def __init__(self, started: RunStarted) -> None:
        self.handlers: Mapping[type, Callable[[Any], None]] = {}
        self.pools: dict[str, PoolDraw] | None = None
        pools: dict[str, PoolDraw] = {}
        meters: list[MachineMeter] = []
        for machine in started.machines:
            if machine.draw is None:
                return
            pool = pools.setdefault(machine.pool, PoolDraw())
            meters.append(MachineMeter.of(pool, machine.draw))
            pool.idle_mw += meters[-1].idle_mw
        self.pools, self._meters = pools, tuple(meters)
        self.handlers = {StepFinished: self._step_finished, StepsCut: self._step_finished}

    def _step_finished(self, entry: StepFinished | StepsCut) -> None:
        at_ps, machine, started_ps, _, sequences, prompt_tokens, _, _, _, _, _ = entry
        duration_ps = at_ps - started_ps
        meter = self._meters[machine]
        pool = meter.pool
        draw_mw = meter.draw_mw(prompt_tokens, sequences)
        if not prompt_tokens:
            pool.decode_mwps += draw_mw * duration_ps
        elif not sequences:
            pool.prefill_mwps += draw_mw * duration_ps
        else:
            pool.mixed_mwps += draw_mw * duration_ps
        pool.idle_while_busy_mwps += meter.idle_mw * duration_ps
        above_mw, seconds = draw_mw - meter.idle_mw, pool.above_idle_mwps
        second, last = started_ps // PEAK_OVER_PS, at_ps // PEAK_OVER_PS
        while second < last:
            next_ps = (second + 1) * PEAK_OVER_PS
            seconds[second] = seconds.get(second, 0) + above_mw * (next_ps - started_ps)
            started_ps = next_ps
            second += 1
        seconds[last] = seconds.get(last, 0) + above_mw * (at_ps - started_ps)


def peak_mw(pools: Mapping[str, PoolDraw]) -> int:
    """The most that these pools drew together, as a mean over `PEAK_OVER_PS`."""
    together: dict[int, int] = {}
    for pool in pools.values():
        for second, above_mwps in pool.above_idle_mwps.items():
            together[second] = together.get(second, 0) + above_mwps
    return sum(pool.idle_mw for pool in pools.values()) + max(together.values(), default=0) // PEAK_OVER_PS
