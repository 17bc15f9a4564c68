"""MachineNode: the shell around one machine's core, with its engine loop and its transfer loop.

The engine loop drains its mail at step boundaries, asks the core for the next batch and has the worker run it. What
only puts something in a queue, or moves blocks between machines, is taken when it comes, beside the step under way; the
transfer loop keeps the leases. What the core commands is carried out by `Hands`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emu.control import commands as c
from emu.control.batch import InStep, StepResult
from emu.control.machine import Machine
from emu.control.machine_events import Drained, Event, PutFailed, Tick, Unwanted
from emu.control.messages import (
    Acknowledge,
    Assign,
    Cancel,
    Grant,
    Heartbeat,
    Inquire,
    LoadReport,
    Message,
    Offer,
    Reserve,
    Signal,
    Unknown,
)
from emu.control.transfer.getting import Wanted
from emu.node.checksums import Checksums
from emu.node.hands import Hands
from emu.node.mailbox import Mailbox
from emu.node.ports import MachinePorts
from emu.node.steps import Steps
from emu.record import entries as e


class MachineNode:
    """One machine of the cluster; `heartbeat_ps` is the period of heartbeats and of the lease sweep."""

    def __init__(self, name: str, core: Machine, ports: MachinePorts, heartbeat_ps: int) -> None:
        self.name = name
        self.core = core
        self._index = core.rules.index
        self._clock, self._worker, self._ports = ports.clock, ports.worker, ports
        self._record = ports.recorder.write
        self._heartbeat_ps = heartbeat_ps
        self.inbox: Mailbox[Event] = Mailbox(f"{name}/engine", ports.clock.signal(f"{name}/engine"))
        self._leases_open = ports.clock.signal(f"{name}/transfers")
        self._ticking = self._asks_clients = False
        self._steps = Steps(self._index, core.pool, ports.clock, ports.recorder.write)
        self._checksums = None if ports.checksum is None else Checksums(core, ports.checksum)
        self._hands = Hands(core, ports, self._steps, self._checksums)
        self._carry_out = self._hands.carry_out
        self._hear: dict[type, Callable[[Any], None]] = {
            Assign: self._assigned,
            Reserve: self._reserve_asked,
            Grant: self._granted,
            Acknowledge: self._acknowledged,
            Heartbeat: self._feed,
            Unknown: self._feed,
            Signal: self._signalled,
            Inquire: self._inquired,
            Drained: self._has_drained,
            Cancel: self._cancel_comes,
        }
        ports.reports.register(self._index, self.load_report)

    def deliver(self, message: Message | Drained | PutFailed) -> None:
        """What the network hands in: taken now, or at the next step boundary."""
        hear = self._hear.get(type(message))
        if hear is not None:
            hear(message)
        else:
            self.inbox.post(message)  # type: ignore[arg-type]  # the router's own kinds never come here

    def load_report(self, at_ps: int) -> LoadReport:
        return self.core.load_report(at_ps, self._worker.steps_done(at_ps) if self._steps.running else 0)

    def halt(self, *, raised: bool = False) -> InStep:
        """The machine crashes at this instant: steps that had ended are written, and nothing more from here.

        Where the step under way has `raised`, and the process ends with that error, it says so. What was in that step,
        as its next process finds it written down.
        """
        steps, now = self._steps, self._clock.now()
        if not steps.running or steps.run is None:
            return self.core.at_death(None, now)[0]
        cut = self._worker.cut()
        found, last_words = self.core.at_death(cut.steps if raised else None, now)
        self.core.settle(cut.steps)  # so that blocks are written down which stepping would have taken
        steps.cut(cut)
        self._carry_out(last_words)
        return found

    def stalled(self, stall_ps: int) -> None:
        """This process has not run for so long. What came meanwhile is old, as the leave is that it gives to write."""
        self.core.sender.stalled(stall_ps)
        self.core.receiver.stalled(stall_ps)

    def caught_up(self) -> None:
        """All that had come while it stalled has been heard."""
        self.core.sender.caught_up()
        self.core.receiver.caught_up()

    def patrol(self) -> None:
        """Words may be lost from now on: clients are asked whether they still take what is made here."""
        self._asks_clients = True
        self._look()

    def _is_busy(self) -> bool:
        return self.core.has_transfers or (self._asks_clients and self.core.has_work)

    async def run_engine(self) -> None:
        """The engine loop; ends only when cancelled."""
        clock, reports, steps, checksums = self._clock, self._ports.reports, self._steps, self._checksums
        while True:
            for message in self.inbox.drain():
                if type(message) is Offer:
                    self._offered(message)
                else:
                    self._feed(message if checksums is None else checksums.checked(message))
                if type(message) is Signal:
                    self._hands.signalled_ps.pop((message.request_id, message.attempt), None)  # one may come twice
                else:
                    self._look()
            plan = self.core.next_batch(clock.now())
            batch = plan.batch
            if batch is None or batch.changed:
                steps.close()
            if plan.gone:
                self._worker.leave(plan.gone, plan.grown)
            if plan.before:
                self._carry_out(plan.before)
            if batch is None:
                await self.inbox.signal.wait()
                reports.changing(self._index)
                continue
            if batch.changed or steps.run is None:
                steps.open(batch)
            self._worker.start(batch)
            steps.running = True
            self._carry_out(plan.after)  # a put may follow the layers of the step that has just started
            ran = await self._worker.finish(self.inbox.signal)
            reports.changing(self._index)
            steps.running = False
            steps.add(ran)
            commands = self.core.handle(StepResult(ran.steps, ran.stopped), clock.now())
            if commands or batch.prefills or ran.closes:
                steps.close()
            self._carry_out(commands)

    async def run_transfers(self) -> None:
        """The transfer loop; ends only when cancelled."""
        clock = self._clock
        tick_ps = 0
        while True:
            if not self._is_busy():
                self._ticking = False
            elif not self._ticking:
                self._ticking = True
                tick_ps = clock.now() + self._heartbeat_ps
            await self._leases_open.wait(tick_ps if self._ticking else None, periodic=True)
            self._leases_open.clear()
            if self._ticking and clock.now() >= tick_ps:
                tick_ps = clock.now() + self._heartbeat_ps
                free = self.core.pool.free_blocks
                self._feed(Tick())
                if self.core.pool.free_blocks != free:
                    self.inbox.signal.set()
                if self._asks_clients and self._ports.wants is not None:
                    self._ask_clients(self._ports.wants)

    def _ask_clients(self, wants: Callable[[int, int], bool]) -> None:
        """Whose tokens nobody takes any more is given up, at the next step boundary."""
        unwanted = tuple(key for key in self.core.attempts.decoding() if not wants(*key))
        if unwanted:
            self.inbox.post(Unwanted(unwanted))

    def _offered(self, offer: Offer) -> None:
        """Its reservation waits from now on, unless it has blocks at once, or waits already."""
        request_id, now = offer.request.request_id, self._clock.now()
        key, waiting = (request_id, offer.attempt), self.core.receiver.open
        before = waiting.get(key)
        again = isinstance(before, Wanted) and before.offer is not None
        self._feed(offer)
        wanted = waiting.get(key)
        if not again and isinstance(wanted, Wanted) and wanted.loan is None and wanted.offer is offer:
            sent_ps = wanted.reserve.sent_ps
            entry = e.ReserveQueued(now, self._index, request_id, offer.attempt, wanted.blocks, sent_ps)
            self._record(entry)

    def _assigned(self, assign: Assign) -> None:
        if not self.core.admits(assign):
            return
        self._ports.reports.changing(self._index)
        now = self._clock.now()
        self._record(e.Queued(now, self._index, assign.request.request_id, assign.attempt, assign.sent_ps))
        self._take(assign)

    def _granted(self, grant: Grant) -> None:
        self._record(e.Granted(self._clock.now(), self._index, grant.request_id, grant.attempt, grant.sent_ps))
        self._feed(grant)

    def _reserve_asked(self, reserve: Reserve) -> None:
        if not self.core.admits(reserve):
            return
        now = self._clock.now()
        self._ports.reports.changing(self._index)
        if self._steps.running:
            self.core.settle(self._worker.steps_done(now))
        commands = self.core.handle(reserve, now)
        if not self.core.rules.get:
            self._note_reservation(reserve, commands, now)
        self._carry_out(commands)
        self._look()

    def _acknowledged(self, acknowledge: Acknowledge) -> None:
        self._ports.reports.changing(self._index)
        self._take(acknowledge)

    def _signalled(self, signal: Signal) -> None:
        self._hands.signalled_ps.setdefault((signal.request_id, signal.attempt), self._clock.now())
        self.inbox.post(signal)

    def _inquired(self, inquire: Inquire) -> None:
        """Answered at once, whatever step is under way."""
        self._ports.reports.changing(self._index)
        now, term = self._clock.now(), self.core.term
        if self._steps.running:
            self.core.settle(self._worker.steps_done(now))
        commands = self.core.handle(inquire, now)
        if self.core.term > term:
            self._record(e.TermTaken(now, self._index, self.core.term))
        self._carry_out(commands)

    def _cancel_comes(self, cancel: Cancel) -> None:
        self.core.announce(cancel)
        self.inbox.post(cancel)

    def _has_drained(self, drained: Drained) -> None:
        """It is taken at the next step boundary, and may be out of date by then."""
        transfer = self.core.sender.open.get((drained.request_id, drained.attempt))
        self.inbox.post(drained if transfer is None else drained._replace(put=transfer.puts))

    def _take(self, event: Event) -> None:
        self._feed(event)
        self._look()

    def _look(self) -> None:
        """Have both loops look where there may be something for them."""
        if self.core.look:
            self.inbox.signal.set()
        if not self._ticking and self._is_busy():
            self._leases_open.set()

    def _feed(self, event: Event) -> None:
        self._carry_out(self.core.handle(event, self._clock.now()))

    def _note_reservation(self, reserve: Reserve, commands: tuple[c.Command, ...], now: int) -> None:
        request = reserve.request
        if any(type(command) is c.Lend and command.message.request_id == request.request_id for command in commands):
            return
        if (request.request_id, reserve.attempt) not in self.core.receiver.open:
            return  # its source's last word came before it, or it is from another time
        blocks = self.core.scheduler.blocks_to_decode(request.prompt_tokens, request.max_tokens)
        self._record(e.ReserveQueued(now, self._index, request.request_id, reserve.attempt, blocks, reserve.sent_ps))
