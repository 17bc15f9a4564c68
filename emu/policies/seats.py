"""Seats: where policies of one's own sit in a cluster. Found once for a cluster, made anew for every run.

This is where names of a scenario become objects that the control plane can ask; running them is the control plane's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from emu.control.placement import Policy
from emu.policies import find
from emu.policies.contract import Contract

if TYPE_CHECKING:  # a run without policies of one's own pays for no import
    from emu.policies.program import Program
    from emu.policies.scheduling import OwnScheduling, OwnTransfers


@frozen(eq=False, repr=False)
class Seats:
    """What a scenario names of its own: None where production decides."""

    routing: find.Maker | tuple[str, ...] | None = None
    scheduling: find.Maker | None = None
    transfer: find.Maker | None = None
    within_s: float = 5.0

    @classmethod
    def of(
        cls, folder: Path | None, routing: str, scheduling: str | None, transfer: str | None, within_s: float
    ) -> Seats:
        """Find all that is named. Raises Refusal."""
        routes: find.Maker | tuple[str, ...] | None = None
        if routing.startswith(find.EXEC):
            routes = find.command("router.policy", routing)
        elif ":" in routing:
            routes = find.find("router.policy", routing, folder, find.ROUTING)
        schedules = moves = None
        if scheduling is not None:
            schedules = find.find("scheduler.policy", scheduling, folder, find.SCHEDULING, find.SCHEDULING_MAY)
        if transfer is not None:
            moves = find.find("transfer.policy", transfer, folder, find.TRANSFER)
        return cls(routes, schedules, moves, within_s)


@define(eq=False, repr=False)
class Seated:
    """The policies of one run, whose `contract` they keep or break."""

    seats: Seats
    contract: Contract
    _programs: list[Program] = field(init=False, factory=list)

    def routing(self) -> Policy | None:
        maker = self.seats.routing
        if maker is None:
            return None
        from emu.policies.program import Program
        from emu.policies.routing import OwnRouting

        if isinstance(maker, tuple):
            program = Program(maker, self.seats.within_s)
            self._programs.append(program)
            return OwnRouting(program, self.contract)
        return OwnRouting(maker(), self.contract)

    def scheduling(self, machine: int) -> OwnScheduling | None:
        maker = self.seats.scheduling
        if maker is None:
            return None
        from emu.policies.scheduling import OwnScheduling

        return OwnScheduling(maker(), self.contract, machine)

    def transfers(self, machine: int) -> OwnTransfers | None:
        maker = self.seats.transfer
        if maker is None:
            return None
        from emu.policies.scheduling import OwnTransfers

        return OwnTransfers(maker(), self.contract, machine)

    def close(self) -> None:
        """End every process that was started."""
        for program in self._programs:
            program.close()
