"""RouterNode: the shell around the router's core. It reads its mail and the load reports, and carries out commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emu.control import commands as c
from emu.control.router import Event, Router
from emu.control.router_events import Claimed, Fenced
from emu.node.codes import POOLS, REASONS
from emu.node.mailbox import Mailbox
from emu.node.ports import Client, Clock, Recorder, Reports, Wire
from emu.record import entries as e


class RouterNode:
    """The router of the cluster."""

    def __init__(
        self, core: Router, clock: Clock, wire: Wire, client: Client, recorder: Recorder, reports: Reports
    ) -> None:
        self.core = core
        self._clock, self._client, self._reports = clock, client, reports
        self._record = recorder.write
        self.inbox: Mailbox[Event] = Mailbox("router", clock.signal("router"))
        self._carry: dict[type, Callable[[Any], None]] = {
            c.Send: lambda send: wire.send(send.machine, send.message),
            c.Reject: client.rejected,
            c.Place: self._placed,
            c.MoveMachine: self._moved,
            c.DeclareDead: self._declared,
            c.Admit: self._admitted,
            c.Fence: self._fence,
            c.Claim: self._claim,
            c.Fail: client.failed,
        }

    def deliver(self, event: Event) -> None:
        """What the network hands in."""
        self.inbox.post(event, wake=not self.core.can_wait(event))

    async def run(self) -> None:
        """The router's loop; ends only when cancelled."""
        handle, clock, carry, recovery = self.core.handle, self._clock, self._carry, self.core.recovery
        while True:
            await self.inbox.signal.wait(recovery.due_ps, periodic=not recovery.retries.waiting)
            now = clock.now()
            due_ps = recovery.due_ps
            audit_only = due_ps is not None and due_ps <= now and not recovery.retries.waiting and not len(self.inbox)
            for events in () if audit_only else (self._reports.collect(), self.inbox.drain()):
                for event in events:
                    for command in handle(event, now):
                        carry[type(command)](command)
            due_ps = recovery.due_ps
            if due_ps is not None and due_ps <= now:
                for command in recovery.due(now):
                    carry[type(command)](command)

    def _placed(self, place: c.Place) -> None:
        self._record(
            e.Assigned(
                self._clock.now(),
                place.request_id,
                place.attempt,
                place.prefill_machine,
                place.decode_machine,
                place.step,
                place.believed_prompt_tokens,
                place.believed_free_blocks,
            )
        )
        if place.resumed:
            self._record(e.Resumed(self._clock.now(), place.request_id, place.attempt, place.resumed))

    def _moved(self, move: c.MoveMachine) -> None:
        self._record(e.MachineMoved(self._clock.now(), move.machine, POOLS[move.pool], POOLS[move.home]))

    def _declared(self, dead: c.DeclareDead) -> None:
        self._record(e.MachineDead(self._clock.now(), dead.machine, dead.incarnation, REASONS[dead.reason]))

    def _admitted(self, admit: c.Admit) -> None:
        self._record(e.MachineBack(self._clock.now(), admit.machine, admit.incarnation))

    def _fence(self, fence: c.Fence) -> None:
        """Close the attempt at its client, and tell the core what the client has."""
        now, key = self._clock.now(), (fence.request_id, fence.attempt)
        delivered = self._client.fence(*key)
        if delivered >= 0:
            self._record(e.AttemptLost(now, *key, REASONS[fence.reason]))
        for command in self.core.handle(Fenced(*key, delivered), now):
            self._carry[type(command)](command)

    def _claim(self, claim: c.Claim) -> None:
        """Have the client listen to this router, and tell the core what it still takes."""
        event = Claimed(claim.request_id, self._client.claim(claim.request_id))
        for command in self.core.handle(event, self._clock.now()):
            self._carry[type(command)](command)
