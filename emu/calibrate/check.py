"""How far a profile is from a table of measurements, of either form: each cell's median against the profile's step.

The profile is taken as it is; whether it was fitted to that very table is for the reader to know.
"""

from pathlib import Path
from typing import NamedTuple

from emu.calibrate import fit
from emu.calibrate.grid_errors import miss_of
from emu.calibrate.making import Choice, is_simple, named
from emu.calibrate.misses import Errors, Miss, errors_of
from emu.calibrate.simple_table import Key, read_steps
from emu.calibrate.table import read_cells
from emu.fake.costs import CalibratedCosts
from emu.fake.step_profiles import StepProfile
from emu.refusal import Refusal

PHASES = ("prefill", "decode", "mixed")


class Checked(NamedTuple):
    """One cell: its phase, its name in words, and predicted over measured less one."""

    phase: str
    cell: str
    error: float


def check(profile: StepProfile, table: Path) -> tuple[Checked, ...]:
    """Every cell of the table against the profile. A table that names what was measured must name the profile's model,
    machine and tensor parallelism; one that does not is taken to be of them. Raises `Refusal`."""
    key = (profile.model, profile.hardware, profile.tensor_parallel)
    costs = CalibratedCosts(profile)
    found = _simple(table, key, costs) if is_simple(table) else _splitwise_sim(table, key, costs)
    if not found:
        raise Refusal(str(table), f"expected rows of {named(key)}")
    return found


def errors_by_phase(checked: tuple[Checked, ...]) -> dict[str, Errors | None]:
    """Errors of prefill, decode and mixed steps; None where the table has none."""
    return {phase: errors_of(Miss(each.error) for each in checked if each.phase == phase) for phase in PHASES}


def worst(checked: tuple[Checked, ...], phase: str) -> Checked:
    """The cell of this phase that the profile is furthest from."""
    return max((each for each in checked if each.phase == phase), key=lambda each: abs(each.error))


def _simple(table: Path, key: Key, costs: CalibratedCosts) -> tuple[Checked, ...]:
    choice = Choice(*key)
    cells = [cell for found, its in read_steps(table, key).items() if choice.takes(found) for cell in its]
    return tuple(Checked(cell.phase, cell.named, miss_of(costs, cell)) for cell in cells)


def _splitwise_sim(table: Path, key: Key, costs: CalibratedCosts) -> tuple[Checked, ...]:
    found = []
    for cell in read_cells(table).get(key, ()):
        if cell.ran_as_one_batch:
            words = f"{cell.batch} prompts of {cell.prompt_tokens}, {cell.output_tokens} tokens each"
            prefill_ps = costs.prefill_ps(cell.batch * cell.prompt_tokens, cell.batch)
            decode_ps = costs.decode_ps(cell.batch, round(cell.mean_context_tokens))
            found.append(Checked("prefill", words, prefill_ps / fit.median_ps(cell.prompt_ms) - 1))
            found.append(Checked("decode", words, decode_ps / fit.median_ps(cell.token_ms) - 1))
    return tuple(found)
