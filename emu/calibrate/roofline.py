"""What a step must at least take on a machine: its operations at the GPU's rate, its bytes at the memory's.

Figures of model and datasheet alone; how near real steps come to them is read off measured profiles in `predict.py`.
"""

import attrs

from emu.calibrate.all_reduce import LATENCY_S, RATE_BYTES_PER_S
from emu.calibrate.architecture import WEIGHT_BYTES
from emu.calibrate.datasheet import Datasheet, load_datasheet
from emu.fake.profiles import HardwareProfile, ModelProfile, load_hardware, load_model

PS_PER_S = 10**12
_MEASURED_LINK_BYTES_PER_S = 450e9  # of the link that RATE_BYTES_PER_S was measured on


@attrs.frozen(slots=True)
class Roofline:
    """One model on `tensor_parallel` GPUs of one machine. All times are picoseconds."""

    model: ModelProfile
    hardware: HardwareProfile
    datasheet: Datasheet
    tensor_parallel: int

    @property
    def weights_ps(self) -> float:
        """Reading a GPU's share of the weights once."""
        return self._read_ps(self.model.weights_bytes)

    @property
    def context_ps(self) -> float:
        """Reading a GPU's share of one token's cache."""
        return self._read_ps(self.model.kv_bytes_per_token)

    @property
    def pair_ps(self) -> float:
        """The operations of one token that attends to one other."""
        return self._compute_ps(4 * self.model.layers * self.model.heads * self.model.head_dim)

    @property
    def pairs_at_one(self) -> float:
        """Key-value heads on a GPU: the (sequence, head) pairs that one sequence gives it."""
        return max(1.0, self.model.kv_heads / self.tensor_parallel)

    def prefill_ps(self, tokens: int, prompts: int) -> float:
        """Two operations a parameter and token, and those of attention; no less than reading the weights."""
        products = 2 * self.model.weights_bytes / WEIGHT_BYTES * tokens
        attention_ps = self.pair_ps * tokens * (tokens / prompts) / 2
        return max(self._compute_ps(products) + attention_ps, self.weights_ps)

    def decode_ps(self, sequences: int) -> float:
        """Without context: the larger of reading the weights and the products."""
        return max(self.weights_ps, self._compute_ps(2 * self.model.weights_bytes / WEIGHT_BYTES * sequences))

    def sums_ps(self, tokens: int) -> float:
        """All-reduces of a step that computes so many tokens: the formula of `all_reduce.py`, with this link's rate."""
        if self.tensor_parallel == 1:
            return 0.0
        rate = RATE_BYTES_PER_S * self.datasheet.gpu_link_bytes_per_s / _MEASURED_LINK_BYTES_PER_S
        moved_bytes = 2 * (1 - 1 / self.tensor_parallel) * WEIGHT_BYTES * self.model.hidden * tokens
        return 2 * self.model.layers * (LATENCY_S + moved_bytes / rate) * PS_PER_S

    def _read_ps(self, size_bytes: float) -> float:
        return size_bytes * PS_PER_S / (self.tensor_parallel * self.hardware.hbm_bytes_per_s)

    def _compute_ps(self, operations: float) -> float:
        return operations * PS_PER_S / (self.tensor_parallel * self.datasheet.flops_per_s)


def roofline(model: str | ModelProfile, hardware: str, tensor_parallel: int) -> Roofline:
    """Raises `Refusal` where model or machine have no profile, or the machine no [roofline]."""
    profile = load_model(model) if isinstance(model, str) else model
    return Roofline(profile, load_hardware(hardware), load_datasheet(hardware), tensor_parallel)
