"""`python -m emu.calibrate TABLE.csv --out DIR`: make the steps files of `emu/profiles` from a table of measurements.

Remaking is deterministic: the same table gives the same bytes. The model and hardware profiles, which are written by
hand, are read, not made.
"""

import argparse
import sys
from pathlib import Path

import attrs
import tomli_w

from emu.calibrate import fit
from emu.calibrate.errors import derived_evidence, evidence
from emu.calibrate.table import read_cells
from emu.fake.profiles import load_hardware, load_model
from emu.fake.step_profiles import StepProfile
from emu.refusal import Refusal

CAPPED_OF = {"dgx-h100": "dgx-h100-capped"}
"""Machines that are derived from a measured one."""

_HEADER = """\
# Made by `python -m emu.calibrate`; do not edit: a test remakes it and compares.
# Times are picoseconds. Which rule turns these curves into a step's time: emu/fake/costs.py.
"""


def profiles_of(table: Path) -> tuple[StepProfile, ...]:
    """Every profile that the table gives, derived ones included, each with its evidence."""
    profiles: list[StepProfile] = []
    for (model_name, hardware_name, tensor_parallel), cells in read_cells(table).items():
        model, hardware = load_model(model_name), load_hardware(hardware_name)
        fitted = fit.fit(cells, model, hardware, tensor_parallel)
        found = evidence(cells, model, hardware, fitted)
        profiles.append(attrs.evolve(fitted, evidence=found))
        if hardware_name in CAPPED_OF:
            capped = fit.derive_capped(fitted, load_hardware(CAPPED_OF[hardware_name]))
            profiles.append(attrs.evolve(capped, evidence=derived_evidence(found)))
    return tuple(profiles)


def file_name(profile: StepProfile) -> str:
    """The name under which `load_steps` looks for it."""
    return f"{profile.model}.{profile.hardware}.tp{profile.tensor_parallel}.toml"


def as_toml(profile: StepProfile) -> str:
    """The file's text."""
    return _HEADER + tomli_w.dumps(attrs.asdict(profile), multiline_strings=False)


def main(arguments: list[str] | None = None) -> int:
    """Write one file a profile into --out. Status 2 and one line when the table cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m emu.calibrate", description="Make the step-time profiles.")
    parser.add_argument("table", type=Path, metavar="TABLE.csv", help="splitwise-sim's data/perf_model.csv")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write MODEL.HARDWARE.tpN.toml")
    options = parser.parse_args(arguments)
    try:
        profiles = profiles_of(options.table)
    except (Refusal, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    for profile in profiles:
        (options.out / file_name(profile)).write_text(as_toml(profile), encoding="utf-8")
        sys.stdout.write(f"{file_name(profile)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
