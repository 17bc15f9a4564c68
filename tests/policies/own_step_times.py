"""Step times of one's own, for tests: some keep to the interface, some do not."""

from collections.abc import Sequence

from emu.fake.costs import load_costs
from emu.fake.own_costs import Hardware, Slice

NUMBER = 3


def as_calibrated(slices: Sequence[Slice], hardware: Hardware) -> float:
    """What the shipped profile says, from the slices alone."""
    costs = load_costs(hardware.model, hardware.machine, hardware.tensor_parallel)
    prefills = [piece for piece in slices if piece.kind == "prefill"]
    decodes = [piece for piece in slices if piece.kind == "decode"]
    tokens, cached = sum(piece.count for piece in prefills), sum(piece.first for piece in prefills)
    context = sum(piece.first + 1 for piece in decodes)
    assert all(piece.count == 1 for piece in decodes)
    return costs.mixed_ps(tokens, len(prefills), cached, len(decodes), context) / 1e12


class Constant:
    """Ten milliseconds, whatever the step."""

    def __call__(self, slices: Sequence[Slice], hardware: Hardware) -> float:
        assert slices
        assert hardware.tensor_parallel >= 1
        return 0.01


class NeedsAnArgument:
    def __init__(self, speed: float) -> None:
        self.speed = speed


class NeverCalled:
    """Its objects are not called."""


def one_argument(slices: Sequence[Slice]) -> float:
    return float(len(slices))


def raises(slices: Sequence[Slice], hardware: Hardware) -> float:
    raise KeyError(f"{len(slices)} on {hardware.machine.name}")


def nothing(slices: Sequence[Slice], hardware: Hardware) -> float:
    return 0.0 * len(slices) * hardware.tensor_parallel


def words(slices: Sequence[Slice], hardware: Hardware) -> str:
    return f"{len(slices)} on {hardware.tensor_parallel}"


def not_for_long_prompts(slices: Sequence[Slice], hardware: Hardware) -> float:
    """Keeps to the interface until a prompt of more than 800 tokens comes."""
    longest = max(piece.count for piece in slices)
    return -1.0 if longest > 800 else 0.001 * hardware.tensor_parallel
