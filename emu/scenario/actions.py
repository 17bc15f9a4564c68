"""The rules of [[actions]]: which keys each kind takes, and that what is to be healed can be.

What one value may be stands in the schema, what an action does is the emulated world's.
"""

from __future__ import annotations

from typing import Final

from emu.scenario.faults import lasts
from emu.scenario.origin import Key, Origin, shown
from emu.scenario.schema import Action, Fault, Scenario

_NEEDS: Final = {
    "rate": ("factor", "how many times as densely requests arrive"),
    "heal": ("fault", "the place of a fault in [[faults]], counted from 0"),
}


def check_actions(scenario: Scenario, origin: Origin) -> None:
    """Refuse the first action that does not say what it must, or would heal what cannot be healed."""
    for index, action in enumerate(scenario.actions):
        key = ("actions", index)
        needed, words = _NEEDS[action.kind]
        for name, _ in _NEEDS.values():
            value = getattr(action, name)
            if name == needed and value is None:
                raise origin.refusal((*key, name), f"expected {words}, got nothing")
            if name != needed and value is not None:
                expected = f'expected nothing beside kind = "{action.kind}", got {shown(value)}'
                raise origin.refusal((*key, name), expected)
        if action.fault is not None:
            _check_fault(action, scenario.faults, (*key, "fault"), origin)


def _check_fault(action: Action, faults: tuple[Fault, ...], key: Key, origin: Origin) -> None:
    number = action.fault or 0
    if number >= len(faults):
        there = f"one of the {len(faults)} faults, counted from 0" if faults else "a fault, and there are no [[faults]]"
        raise origin.refusal(key, f"expected {there}; got {number}")
    fault = faults[number]
    if not lasts(fault.kind):
        raise origin.refusal(key, f'expected a fault that lasts until it heals, got one of kind "{fault.kind}"')
    if fault.at_s is not None and fault.at_s >= action.at_s:
        expected = f"expected a fault that strikes before at_s = {action.at_s}, got one at {fault.at_s}"
        raise origin.refusal(key, expected)
