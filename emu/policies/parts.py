"""Classes of one's own in the place of production's: found by the names that a scenario gives them.

Each is a subclass of the class that it stands for, so that whatever asks that one can ask it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from emu.control.attempts import Attempts
from emu.control.blocks import BlockPool
from emu.control.machine import Machine
from emu.control.mixed import Scheduler
from emu.control.parts import MachineParts
from emu.control.recovery import Recovery
from emu.control.router import Router
from emu.control.transfer.getting import Fetching, Offering
from emu.control.transfer.leases import Leases
from emu.control.transfer.receiver import Receiver
from emu.control.transfer.sender import Sender
from emu.policies.find import subclass

_PRODUCTION: Final[dict[str, type]] = {
    "pool": BlockPool,
    "leases": Leases,
    "scheduler": Scheduler,
    "sender": Sender,
    "receiver": Receiver,
    "offering": Offering,
    "fetching": Fetching,
    "attempts": Attempts,
    "machine": Machine,
    "router": Router,
    "recovery": Recovery,
}


@frozen(eq=False, repr=False)
class Classes:
    """What cores are made of in one cluster."""

    machine: type[Machine] = Machine
    of_machine: MachineParts = field(factory=MachineParts)
    router: type[Router] = Router
    recovery: type[Recovery] = Recovery

    @classmethod
    def of(cls, parts: Mapping[str, str | None], folder: Path | None) -> Classes:
        """Find what is named, by the part that it stands for. Raises Refusal."""
        found: dict[str, Any] = {}
        for part, named in parts.items():
            if named is not None:
                found[part] = subclass(f"parts.{part}", named, folder, _PRODUCTION[part])
        whole = {name: found.pop(name) for name in ("machine", "router", "recovery") if name in found}
        return cls(**whole, of_machine=MachineParts(**found))
