"""Offers: the faults that an operator may choose at a moment, for the machine and the request that are selected.

Each is a fault as a scenario's [[faults]] has it, without its time. What it does is the emulated world's.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from emu.view.rows import NEVER
from tui.scene import Scene

_OF_MACHINE: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("crash {name} for 20 s", {"kind": "crash", "heal_after_s": 20.0}),
    ("crash {name} for good", {"kind": "crash"}),
    ("restart {name}", {"kind": "restart"}),
    ("drain {name}", {"kind": "drain"}),
    ("pause {name} for 10 s", {"kind": "pause", "heal_after_s": 10.0}),
    ("let the worker of {name} hang for 10 s", {"kind": "hang", "heal_after_s": 10.0}),
    ("slow {name} down 4 times, for 20 s", {"kind": "slow", "factor": 4.0, "heal_after_s": 20.0}),
    ("cut all links of {name} for 10 s", {"kind": "link_down", "heal_after_s": 10.0}),
    ("cut the data plane of {name} for 10 s", {"kind": "link_down", "heal_after_s": 10.0, "plane": "data"}),
    ("slow the links of {name} down 10 times, for 20 s", {"kind": "link_slow", "factor": 10.0, "heal_after_s": 20.0}),
    ("let {name} send old reports for 10 s", {"kind": "stale_report", "heal_after_s": 10.0}),
)
_OF_LINK: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("cut {source} to {target} for 10 s", {"kind": "link_down", "heal_after_s": 10.0}),
    ("cut the data plane {source} to {target} for 10 s", {"kind": "link_down", "heal_after_s": 10.0, "plane": "data"}),
    ("slow {source} to {target} down 10 times, for 20 s", {"kind": "link_slow", "factor": 10.0, "heal_after_s": 20.0}),
)
_LOST: Final = ("Grant", "Signal", "Acknowledge", "Reserve", "Assign")


class Offer(NamedTuple):
    """What it does, in words, and the fault."""

    words: str
    fault: dict[str, Any]


def offers(scene: Scene) -> list[Offer]:
    """The selected request first, where one is open; then its link, the machine, and messages of anyone."""
    found: list[Offer] = []
    view = scene.view
    row = view.requests.get(scene.request)
    if row is not None:
        found.append(Offer(f"cancel r{row.request}", {"kind": "cancel", "request": row.request}))
        if NEVER not in (row.prefill_machine, row.decode_machine) and row.prefill_machine != row.decode_machine:
            source, target = view.machine_name(row.prefill_machine), view.machine_name(row.decode_machine)
            found += [
                Offer(words.format(source=source, target=target), {**fault, "machines": [source, target]})
                for words, fault in _OF_LINK
            ]
    name = view.machines[min(scene.machine, len(view.machines) - 1)].name
    found += [Offer(words.format(name=name), {**fault, "machine": name}) for words, fault in _OF_MACHINE]
    found += [Offer(f"lose the next {message} of anyone", {"kind": "lose", "message": message}) for message in _LOST]
    return found
