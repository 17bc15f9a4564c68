"""Parts: which classes a machine and the router are made of; production's own, unless one is put in their place.

A part that behaves otherwise shows what a mistake would do, and which law tells: scenarios/museum lives by that. What
a part is must stay out of here.
"""

from __future__ import annotations

from attrs import frozen

from emu.control.attempts import Attempts
from emu.control.blocks import BlockPool
from emu.control.mixed import Scheduler
from emu.control.transfer.getting import Fetching, Offering
from emu.control.transfer.leases import Leases
from emu.control.transfer.receiver import Receiver
from emu.control.transfer.sender import Sender


@frozen(eq=False, repr=False)
class MachineParts:
    """The classes of one machine's core; offering and fetching where caches are read, sender and receiver elsewhere."""

    pool: type[BlockPool] = BlockPool
    leases: type[Leases] = Leases
    scheduler: type[Scheduler] = Scheduler
    sender: type[Sender] = Sender
    receiver: type[Receiver] = Receiver
    offering: type[Offering] = Offering
    fetching: type[Fetching] = Fetching
    attempts: type[Attempts] = Attempts
