"""From a simple table's cells to a profile: the curves of `prefill_fit` and `decode_fit`, and what the table lacks.

Plain arithmetic in a fixed order: the same table gives the same file. What the profile is worth is judged in
`grid_errors.py`, which calls this with cells left out.
"""

import statistics

import attrs

from emu.calibrate.decode_fit import DecodeFit, DecodeStep, Reading, fit_decode
from emu.calibrate.prefill_fit import PrefillFit, PrefillStep, fit_prefill, pair_ps
from emu.calibrate.simple_table import Key, StepCell
from emu.fake.profiles import HardwareProfile, ModelProfile
from emu.fake.step_profiles import StepProfile

PS_PER_MS = 10**9

_PREFILL_SOURCE = "medians of the repeats of a cell, isotonic in tokens: one prompt, and prompts of one length. "
_BY_LENGTHS = "cached_pair_ps: what one prompt takes longer than shorter ones of as many tokens, over its further pairs"
_BY_OPERATIONS = (
    "cached_pair_ps: 4 x layers x heads x head_dim operations, at the rate that the best prefill reaches with 2 "
    "operations a parameter and token; 1 ps where the model is not known"
)
_DECODE_SOURCE = (
    "medians of the repeats of a cell; at each batch size the line in total context of least squares in relative "
    "errors, then a(B) and B * c(B) isotonic. Where a batch size has one context, c is between its neighbours', or the "
    "nearest one's in the shape of emu/calibrate/decode_fit.py"
)


@attrs.frozen(slots=True)
class Subject:
    """What was measured. Model and machine are None where the table does not name known ones."""

    key: Key
    model: ModelProfile | None = None
    hardware: HardwareProfile | None = None

    @property
    def reading(self) -> Reading:
        """What reading the cache may cost."""
        tensor_parallel = self.key[2]
        kv_heads = None if self.model is None else max(1.0, self.model.kv_heads / tensor_parallel)
        if self.model is None or self.hardware is None:
            return Reading(0.0, kv_heads)
        floor = self.model.kv_bytes_per_token * 10**12 / (tensor_parallel * self.hardware.hbm_bytes_per_s)
        return Reading(floor, kv_heads)


@attrs.frozen(slots=True)
class GridFit:
    """The profile, without evidence, and how it came about."""

    profile: StepProfile
    prefill: PrefillFit
    decode: DecodeFit


def fit_grid(cells: tuple[StepCell, ...], subject: Subject, source: str, each: int | None = None) -> GridFit:
    """Step times from prefill and decode cells; mixed ones are never fitted.

    `each` is the prompt length of the second prefill curve, where it is not to be chosen. Raises `Refusal` when the
    cells do not suffice.
    """
    prefills, decodes = prefill_steps(cells), decode_steps(cells)
    measured_pair_ps = pair_ps(prefills)
    pairs, pairs_source = measured_pair_ps or _pair_by_operations(prefills, subject.model), _BY_OPERATIONS
    if measured_pair_ps:
        pairs_source = _BY_LENGTHS
    prefill = fit_prefill(prefills, pairs, _PREFILL_SOURCE + pairs_source, each)
    decode = fit_decode(decodes, subject.reading, _DECODE_SOURCE)
    model, hardware, tensor_parallel = subject.key
    profile = StepProfile(model, hardware, tensor_parallel, source, prefill.curves, decode.curve, None, {})
    return GridFit(profile, prefill, decode)


def prefill_steps(cells: tuple[StepCell, ...]) -> list[PrefillStep]:
    return [
        PrefillStep(cell.batch, cell.context, median_ps(cell), len(cell.ms))
        for cell in cells
        if cell.phase == "prefill"
    ]


def decode_steps(cells: tuple[StepCell, ...]) -> list[DecodeStep]:
    return [
        DecodeStep(cell.batch, cell.total_context, median_ps(cell), len(cell.ms))
        for cell in cells
        if cell.phase == "decode"
    ]


def median_ps(cell: StepCell) -> float:
    """The median of a cell's repeats, in picoseconds."""
    return statistics.median(cell.ms) * PS_PER_MS


def _pair_by_operations(steps: list[PrefillStep], model: ModelProfile | None) -> int:
    """A pair's operations at the rate of the best measured prefill; 1 ps where the model is not known."""
    if model is None or not steps:
        return 1
    best_ps_per_token = min(step.ps / step.tokens for step in steps)
    # 2 operations a parameter and 2 bytes a parameter: operations a token are the bytes of the weights
    return max(1, round(best_ps_per_token * 4 * model.layers * model.heads * model.head_dim / model.weights_bytes))
