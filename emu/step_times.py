"""Which step times a scenario's machines have: shipped profiles, the user's own, or a callable of the user's own.

This is where names of a scenario become costs. What costs mean is `emu.fake.costs`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from emu.fake.costs import COST_KINDS, Costs, load_costs
from emu.fake.profiles import HardwareProfile, ModelProfile, load_hardware
from emu.fake.step_profiles import StepProfile, read_steps_file
from emu.policies.find import called
from emu.refusal import Refusal
from emu.scenario.schema import Scenario

if TYPE_CHECKING:
    from emu.fake.own_costs import StepTime

YARDSTICK = "dgx-a100"
"""The machine that requests are compared with alone."""


@frozen(eq=False, repr=False)
class StepTimes:
    """What a scenario says of step times, looked up: `own` are the user's profiles, `step_s` the user's callable."""

    kind: str
    own: tuple[StepProfile, ...] = ()
    step_s: StepTime | None = None

    @classmethod
    def of(cls, scenario: Scenario) -> StepTimes:
        """Raises Refusal where a profile cannot be read, or the callable not be found or called as it must be."""
        choice = scenario.costs
        own = tuple(read_steps_file(path) for path in choice.profiles)
        if choice.model in COST_KINDS:
            return cls(choice.model, own)
        step_s = called("costs.model", choice.model, scenario.policies_from, 2)
        return cls(choice.model, own, step_s)

    def on(self, model: ModelProfile, machine: HardwareProfile, tensor_parallel: int) -> Costs:
        """The costs on so many GPUs of a machine. Raises Refusal where there are none, or where the callable fails."""
        if self.step_s is None:
            return load_costs(model, machine, tensor_parallel, self.kind, self.own)
        from emu.fake.own_costs import Hardware, OwnCosts

        costs = OwnCosts(self.kind, self.step_s, Hardware(model, machine, tensor_parallel))
        costs.try_out()
        return costs

    def alone(self, model: ModelProfile) -> Costs:
        """The costs on a DGX-A100: as many of its GPUs as there are step times for, all of them where it can be."""
        machine = load_hardware(YARDSTICK)
        first: Refusal | None = None
        for gpus in range(machine.gpus, 0, -1):
            try:
                return self.on(model, machine, gpus)
            except Refusal as refusal:
                if self.step_s is not None:
                    raise
                first = first or refusal
        assert first is not None
        make = (
            f"emu calibrate predict --model-config CONFIG --hardware {YARDSTICK} makes them, costs.profiles names them"
        )
        raise Refusal(f"requests are compared with themselves alone on a {YARDSTICK}", f"{first}; {make}")
