"""MachineRules: what a machine is told of itself before it starts. What it decides by them is its core's."""

from __future__ import annotations

from attrs import field, frozen

from emu.control.batch import InStep
from emu.control.mixed import SchedulerRules


@frozen(eq=False, repr=False)
class MachineRules:
    """What a machine is told of itself: its index, its pool of blocks, its model's layers, its limits.

    `incarnation` counts the processes that have had this name; `found` is what the one before has left written down of
    the step that ended it, if one did. A write that was posted lands within `max_flight_ps`.
    """

    index: int
    kv_blocks: int
    layers: int
    lease_ps: int
    scheduler: SchedulerRules = field(factory=SchedulerRules)
    block_tokens: int = 16
    max_flight_ps: int = 10 * 10**12
    clock_error_ppm: int = 0  # by which clocks may run fast or slow
    incarnation: int = 0
    get: bool = False  # caches are read by those who decode, not put by those who prefill
    completions_lost: bool = False  # so that what was given up is taken for over after `max_flight_ps`
    found: InStep = ()
