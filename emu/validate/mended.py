"""Mended: splitwise-sim's step times with one of their faults taken out, so that each can be judged by itself."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import frozen

from emu.fake.costs import Costs, load_costs
from emu.fake.profiles import load_hardware, load_model

Fault: TypeAlias = Literal["prefill", "batch", "context", "mixed"]
"""What follows the measurements: prefills; decode steps by their batch; those by batch and context; mixed steps."""


@frozen
class Mend:
    """Takes a fault out of a machine's step times, `model` on a whole machine of `hardware`."""

    fault: Fault
    model: str
    hardware: str = "dgx-h100"

    def __call__(self, costs: Costs) -> Costs:
        hardware = load_hardware(self.hardware)
        return Mended(costs, load_costs(load_model(self.model), hardware, hardware.gpus), self.fault)


@frozen
class Mended:
    """The step times of `sim`, but for those that `fault` names: they are `ours`."""

    sim: Costs
    ours: Costs
    fault: Fault

    @property
    def identified(self) -> bool:
        return self.ours.identified

    @property
    def closed_form(self) -> bool:
        return self.sim.closed_form and self.ours.closed_form

    def prefill_ps(self, tokens: int, prompts: int, cached_tokens: int = 0) -> int:
        costs = self.ours if self.fault == "prefill" else self.sim
        return costs.prefill_ps(tokens, prompts, cached_tokens)

    def decode_coefficients(self, sequences: int) -> tuple[int, int]:
        if self.fault not in ("batch", "context"):
            return self.sim.decode_coefficients(sequences)
        base_ps, context_ps = self.ours.decode_coefficients(sequences)
        return base_ps, context_ps if self.fault == "context" else 0

    def decode_ps(self, sequences: int, context_tokens: int) -> int:
        base_ps, context_ps = self.decode_coefficients(sequences)
        return base_ps + context_ps * context_tokens

    def mixed_ps(self, tokens: int, prompts: int, cached_tokens: int, sequences: int, context_tokens: int) -> int:
        if not tokens:
            return self.decode_ps(sequences, context_tokens)
        if not sequences:
            return self.prefill_ps(tokens, prompts, cached_tokens)
        costs = self.ours if self.fault == "mixed" else self.sim
        return costs.mixed_ps(tokens, prompts, cached_tokens, sequences, context_tokens)

    def measured(self, sequences: int, context_tokens: int) -> bool:
        return self.ours.measured(sequences, context_tokens)

    def measured_prefill(self, tokens: int, prompts: int) -> bool:
        return self.ours.measured_prefill(tokens, prompts)
