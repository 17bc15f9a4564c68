"""The paper's six designs by name (Splitwise, Table V), and those that a plan spells out.

Baseline machines do both phases. Which machines serve a phase is all that a design says; how many is for the search.
"""

from __future__ import annotations

from typing import Any

from emu.plan.schema import Design, Group
from emu.scenario.origin import Origin, nearest, shown
from emu.scenario.structure import structure_as

A100, H100, CAPPED = "dgx-a100", "dgx-h100", "dgx-h100-capped"
MOST_FREE = 2


def _split(prefill: str, decode: str) -> tuple[Group, ...]:
    return Group(pool="prefill", hardware=prefill), Group(pool="decode", hardware=decode)


PAPER = {
    "baseline-a100": Design(name="Baseline-A100", machines=(Group(pool="mixed", hardware=A100),)),
    "baseline-h100": Design(name="Baseline-H100", machines=(Group(pool="mixed", hardware=H100),)),
    "aa": Design(name="AA", machines=_split(A100, A100)),
    "hh": Design(name="HH", machines=_split(H100, H100)),
    "ha": Design(name="HA", machines=_split(H100, A100)),
    "hhcap": Design(name="HHcap", machines=_split(H100, CAPPED)),
}


def read_designs(given: object, origin: Origin) -> tuple[Design, ...]:
    """A list of names and of tables. Refusal: an unknown name, a table that is no design, a name twice."""
    if not isinstance(given, list) or not given:
        raise origin.refusal(("designs",), f"expected a list of designs, got {shown(given)}")
    designs = tuple(_design(entry, index, origin) for index, entry in enumerate(given))
    names = [design.name.lower() for design in designs]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise origin.refusal(("designs", index), f"expected each design once, got {designs[index].name} twice")
    return designs


def _design(entry: Any, index: int, origin: Origin) -> Design:
    if isinstance(entry, str):
        known = PAPER.get(entry.lower())
        if known is None:
            likely = nearest(entry.lower(), PAPER)
            raise origin.refusal(("designs", index), f"expected a known design (the nearest is {likely}), got {entry}")
        return known
    if not isinstance(entry, dict):
        raise origin.refusal(("designs", index), f"expected a name or a table, got {shown(entry)}")
    design = structure_as(Design, entry, origin, ("designs", index))
    if len(design.free) > MOST_FREE:
        expected = f"expected at most two groups without a count, which the plan is to find; got {len(design.free)}"
        raise origin.refusal(("designs", index, "machines"), expected)
    pools = {group.pool for group in design.machines}
    for phase in ("prefill", "decode"):
        if not pools & {phase, "mixed"}:
            raise origin.refusal(("designs", index, "machines"), f"expected a group that can {phase}")
    return design
