"""WallWire: control messages between machines of one process, in wall time.

Nothing here needs the time that a network takes, so the wire holds each message for what the scenario says one takes: a
lower bound, kept exactly, which the record's laws can judge. Messages from one sender to one machine keep their order.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from emu.control.messages import Heartbeat, Message
from emu.real.clock import WallClock


@frozen
class WallWire:
    """All wires of a cluster, and every machine's port to them: senders need not be told apart."""

    clock: WallClock
    latency_ps: int
    deliver: Callable[[int, Message], None]
    deliver_to_router: Callable[[Message], None]

    def send(self, machine: int, message: Message) -> None:
        vital = type(message) is not Heartbeat  # two ends that only remind each other get nowhere
        self.clock.call_at(self.clock.now_ps + self.latency_ps, lambda: self.deliver(machine, message), vital=vital)

    def report(self, message: Message) -> None:
        self.clock.call_at(self.clock.now_ps + self.latency_ps, lambda: self.deliver_to_router(message))
