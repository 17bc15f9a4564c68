"""When steps end: a leap of many decode steps in closed form, and the layers of a prefill.

What a step costs, and who is in it, must stay out of here.
"""

from __future__ import annotations

from math import isqrt
from typing import NamedTuple

from attrs import define


class LayerTimes(NamedTuple):
    """When the layers of a prefill step are computed: evenly over its time."""

    started_ps: int
    duration_ps: int
    layers: int

    def ready_ps(self, layer: int) -> int:
        """When layer `layer`, counted from 0, is computed."""
        return self.started_ps + self.duration_ps * (layer + 1) // self.layers


@define(eq=False, repr=False)
class Leap:
    """A run of steps under way: the first takes `first_ps`, each further one `growth_ps` more."""

    started_ps: int
    first_ps: int
    growth_ps: int
    limit: int

    def end_ps(self, steps: int) -> int:
        """When step number `steps` ends, counted from 1."""
        return self.started_ps + steps * self.first_ps + self.growth_ps * (steps * (steps - 1) // 2)

    def steps_until(self, at_ps: int) -> int:
        """The least number of steps that end at or after `at_ps`; 0 at the start."""
        elapsed = at_ps - self.started_ps
        if elapsed <= 0:
            return 0
        if not self.growth_ps:
            return -(-elapsed // self.first_ps)
        slope = 2 * self.first_ps - self.growth_ps
        steps = (isqrt(slope * slope + 8 * self.growth_ps * elapsed) - slope) // (2 * self.growth_ps)
        while self.end_ps(steps) < at_ps:
            steps += 1
        return steps

    def boundary(self, now_ps: int) -> int:
        """The first boundary between steps that is not before `now_ps`."""
        return self.end_ps(min(max(1, self.steps_until(now_ps)), self.limit))
