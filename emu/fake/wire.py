"""FakeWire: the control plane's network. A message takes a fixed time, and two from one sender keep their order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import define, field, frozen

from emu.control.messages import Audit, Heartbeat, Message
from emu.fake.clock import HeapClock


@define(eq=False, repr=False)
class FakeWire:
    """All wires of a cluster. `deliver(machine, message)` and `deliver_to_router(message)` hand messages in."""

    clock: HeapClock
    latency_ps: int
    deliver: Callable[[int, Message], None]
    deliver_to_router: Callable[[Message], None]

    def port(self, name: str) -> WirePort:
        """The Wire of the machine or router of that name."""
        return WirePort(self, self.clock.salt(f"{name}/wire"))


@frozen(eq=False, repr=False)
class WirePort:
    """One sender's end of its wires."""

    wire: FakeWire
    salt: int = field()

    def send(self, machine: int, message: Message) -> None:
        wire = self.wire
        at_ps = wire.clock.now_ps + wire.latency_ps
        vital = type(message) not in (Audit, Heartbeat)  # two ends that only remind each other get nowhere
        wire.clock.call_at(at_ps, self.salt, partial(wire.deliver, machine, message), vital=vital)

    def report(self, message: Message) -> None:
        wire = self.wire
        at_ps = wire.clock.now_ps + wire.latency_ps
        wire.clock.call_at(at_ps, self.salt, partial(wire.deliver_to_router, message))
