"""A scenario: one TOML file that decides a run.

Importing this package reads the schema only; `load` and `resolved_toml` stand in `emu.scenario.load` and
`emu.scenario.write`, since whoever merely takes a Scenario needs neither TOML nor profiles.
"""

from emu.scenario.schema import Scenario, machine_names

__all__ = ["Scenario", "machine_names"]
