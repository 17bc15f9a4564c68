"""A scenario written back as TOML, every key spelt out, so that the text alone repeats the run.

Loading what is written here gives an equal Scenario. Only the writing stands here; nothing is decided.
"""

from pathlib import Path
from typing import Any

from attrs import fields, has

from emu.scenario.overrides import SOURCES, unused_keys
from emu.scenario.schema import Scenario


def resolved_toml(scenario: Scenario) -> str:
    """Every key that has a value and applies; TOML has no way to write that there is none."""
    import tomli_w  # only a run that keeps its output pays for the import

    document = _plain(scenario)
    source = next(name for name in SOURCES if getattr(scenario.workload, name))
    for name in unused_keys(source):
        document["workload"].pop(name, None)  # loading refuses the keys of the source that was not chosen
    return tomli_w.dumps(document)


def _plain(value: Any) -> Any:
    if has(type(value)):
        pairs = ((attribute.name, getattr(value, attribute.name)) for attribute in fields(type(value)))
        return {name: _plain(inner) for name, inner in pairs if inner is not None}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
