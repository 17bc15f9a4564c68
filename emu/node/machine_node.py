"""MachineNode: the shell around one machine's core, with its engine loop and its transfer loop.

The engine loop drains its mail at step boundaries, asks the core for the next batch and has the worker run it. What
only puts something in a queue, or moves blocks between machines, is taken when it comes, beside the step under way; the
transfer loop keeps the leases. All only carry out what the core commands, and write down what happened. Steps of an
unchanged batch are written as one entry, however often the worker was interrupted between them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, frozen

from emu.control import commands as c
from emu.control.batch import Batch, InStep, StepResult
from emu.control.machine import Machine
from emu.control.machine_events import Drained, Event, Mismatch, PutFailed, Tick
from emu.control.messages import (
    Acknowledge,
    Assign,
    Grant,
    Heartbeat,
    Inquire,
    LoadReport,
    Message,
    Offer,
    Reserve,
    Signal,
)
from emu.control.transfer.chunks import LayerRange, groups, merge
from emu.control.transfer.getting import Wanted
from emu.node.codes import REASONS
from emu.node.mailbox import Mailbox
from emu.node.ports import Client, Clock, KvLink, Ran, Recorder, Reports, Wire, Worker
from emu.record import entries as e


@frozen(eq=False, repr=False)
class MachinePorts:
    """The world around one machine."""

    clock: Clock
    worker: Worker
    link: KvLink
    wire: Wire
    client: Client
    recorder: Recorder
    reports: Reports
    # of what stands in these blocks, for each of these ranges of layers; None: nothing is ever garbled
    checksums: Callable[[tuple[int, ...], tuple[LayerRange, ...]], tuple[int, ...]] | None = None


@define(eq=False, repr=False)
class _OpenRun:
    """Steps of one batch that are done and not written yet."""

    started_ps: int
    sequences: int
    prompt_tokens: int
    steps: int = 0
    first_step_ps: int = 0
    growth_ps: int = 0
    context_ps: int = 0
    unmeasured_steps: int = 0

    def add(self, ran: Ran) -> None:
        if not self.steps:
            self.first_step_ps, self.growth_ps = ran.first_step_ps, ran.growth_ps
        self.steps += ran.steps
        self.context_ps += ran.context_ps
        self.unmeasured_steps += ran.unmeasured_steps


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
        self._run: _OpenRun | None = None
        self._running = False  # steps are under way that the core has not counted
        self._ticking = False
        self._signalled_ps: dict[tuple[int, int], int] = {}  # when signals came that the core has not seen yet
        self._grown = 0
        self._carry: dict[type, Callable[[Any], None]] = {
            c.Send: lambda send: ports.wire.send(send.machine, send.message),
            c.Report: lambda report: ports.wire.report(report.message),
            c.Lend: self._lend,
            c.Put: self._put,
            c.MakeOffer: self._make_offer,
            c.Fetch: self._fetch,
            c.PostSignal: ports.link.signal if ports.checksums is None else self._post_signal,
            c.WatchDrain: lambda watch: ports.link.watch(watch.request_id, watch.attempt),
            c.Commit: self._commit,
            c.Release: self._release,
            c.Preempt: self._preempt,
            c.End: lambda end: ports.client.ended(self._index, end),
            c.AttemptOver: self._attempt_over,
        }
        self._hear: dict[type, Callable[[Any], None]] = {
            Assign: self._assigned,
            Reserve: self._reserve_asked,
            Grant: self._granted,
            Acknowledge: self._acknowledged,
            Heartbeat: self._feed,
            Signal: self._signalled,
            Inquire: self._inquired,
            Drained: self._has_drained,
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
        return self.core.load_report(at_ps, self._worker.steps_done(at_ps) if self._running else 0)

    def halt(self) -> InStep:
        """The machine crashes at this instant: steps that had ended are written, and nothing more from here.

        What it was at, as it wrote down where its next process finds it.
        """
        if not self._running or self._run is None:
            return self.core.at_death(None)
        run, cut = self._run, self._worker.cut()
        found = self.core.at_death(cut.steps)
        self.core.settle(cut.steps)  # so that blocks are written down which stepping would have taken
        run.add(cut)
        self._record(e.StepsCut(*self._run_entry(run)))
        self._run = None
        return found

    def stalled(self, stall_ps: int) -> None:
        """This process has not run for so long. What came meanwhile is old, as the leave is that it gives to write."""
        self.core.sender.stalled(stall_ps)
        self.core.receiver.stalled(stall_ps)

    def caught_up(self) -> None:
        """All that had come while it stalled has been heard."""
        self.core.sender.caught_up()

    async def run_engine(self) -> None:
        """The engine loop; ends only when cancelled."""
        clock, ports = self._clock, self._ports
        reports = ports.reports
        while True:
            for message in self.inbox.drain():
                if type(message) is Offer:
                    self._offered(message)
                else:
                    self._feed(message if ports.checksums is None else self._checked(message))
                if type(message) is Signal:
                    self._signalled_ps.pop((message.request_id, message.attempt), None)  # the same one may come twice
                else:
                    self._look()
            plan = self.core.next_batch(clock.now())
            batch = plan.batch
            if batch is None or batch.changed:
                self._close_run()
            if plan.gone:
                self._worker.leave(plan.gone, plan.grown)
            if plan.before:
                self._carry_out(plan.before)
            if batch is None:
                await self.inbox.signal.wait()
                reports.changing(self._index)
                continue
            if batch.changed or self._run is None:
                self._open_run(batch)
            self._worker.start(batch)
            self._running = True
            self._carry_out(plan.after)  # a put may follow the layers of the step that has just started
            ran = await self._worker.finish(self.inbox.signal)
            reports.changing(self._index)
            self._running = False
            assert self._run is not None
            self._run.add(ran)
            commands = self.core.handle(StepResult(ran.steps, ran.stopped), clock.now())
            if commands or batch.prefills or ran.closes:
                self._close_run()
            self._carry_out(commands)

    async def run_transfers(self) -> None:
        """The transfer loop; ends only when cancelled."""
        clock = self._clock
        tick_ps = 0
        while True:
            if not self.core.has_transfers:
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

    def _make_offer(self, make: c.MakeOffer) -> None:
        """With the checksums of what stands in its blocks."""
        offer = make.message
        if self._ports.checksums is not None:
            offer = offer._replace(checksums=self._checksums(offer.blocks))
        self._ports.wire.send(make.machine, offer)

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

    def _fetch(self, fetch: c.Fetch) -> None:
        put, now = fetch.put, self._clock.now()
        key = (put.request_id, put.attempt)
        if fetch.first:
            self._record(e.Reserved(now, self._index, *key, put.target_loan, fetch.blocks, fetch.asked_ps))
        moved = self._ports.link.get(fetch.source, put, fetch.done)
        self._record(e.TransferStarted(now, fetch.source, self._index, *key, *put.layers, moved, 0))

    def _post_signal(self, post: c.PostSignal) -> None:
        """With the checksums of what stands here behind it."""
        signal = post.signal
        blocks = self.core.sender.open[signal.request_id, signal.attempt].loan.blocks
        checksums = self._checksums(tuple(blocks))
        self._ports.link.signal(post._replace(signal=signal._replace(checksums=checksums)))

    def _checked(self, message: Event) -> Event:
        """A signal only if its data is here as it was sent."""
        if type(message) is not Signal:
            return message
        ranges = zip(groups(self.core.rules.layers), message.checksums, self._checksums(message.blocks), strict=True)
        wrong = merge(layers for layers, sent, here in ranges if sent != here)
        return Mismatch(message, wrong) if wrong else message

    def _checksums(self, blocks: tuple[int, ...]) -> tuple[int, ...]:
        checksums = self._ports.checksums
        assert checksums is not None
        return checksums(blocks, groups(self.core.rules.layers))

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
        if self._running:
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
        self._signalled_ps.setdefault((signal.request_id, signal.attempt), self._clock.now())
        self.inbox.post(signal)

    def _inquired(self, inquire: Inquire) -> None:
        """Answered at once, whatever step is under way."""
        self._ports.reports.changing(self._index)
        now, term = self._clock.now(), self.core.term
        if self._running:
            self.core.settle(self._worker.steps_done(now))
        commands = self.core.handle(inquire, now)
        if self.core.term > term:
            self._record(e.TermTaken(now, self._index, self.core.term))
        self._carry_out(commands)

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
        if not self._ticking and self.core.has_transfers:
            self._leases_open.set()

    def _feed(self, event: Event) -> None:
        self._carry_out(self.core.handle(event, self._clock.now()))

    def _carry_out(self, commands: tuple[c.Command, ...]) -> None:
        for command in commands:
            self._carry[type(command)](command)

    def _open_run(self, batch: Batch) -> None:
        now, pool = self._clock.now(), self.core.pool
        prefills = tuple(
            e.PrefillSlice(p.request_id, p.attempt, p.first, p.count, p.kind.value, p.loan, len(p.blocks))
            for p in batch.prefills
        )
        joined = tuple(piece.request_id for piece in batch.joined)
        self._run = _OpenRun(now, batch.sequences, batch.prompt_tokens)
        self._record(
            e.StepStarted(
                now,
                self._index,
                prefills,
                joined,
                batch.left,
                batch.sequences,
                batch.context_tokens,
                int(batch.layer_wise),
                self._take_grown(),
                pool.free_blocks,
            )
        )

    def _close_run(self) -> None:
        run, self._run = self._run, None
        if run is None or not run.steps:
            return
        self._record(e.StepFinished(*self._run_entry(run)))

    def _run_entry(self, run: _OpenRun) -> tuple[int, int, int, int, int, int, int, int, int, int, int]:
        """The fields of the entry that tells of these steps."""
        return (
            self._clock.now(),
            self._index,
            run.started_ps,
            run.steps,
            run.sequences,
            run.prompt_tokens,
            run.first_step_ps,
            run.growth_ps,
            run.context_ps,
            run.unmeasured_steps,
            self._take_grown(),
        )

    def _take_grown(self) -> int:
        grown = self.core.pool.grown - self._grown
        self._grown += grown
        return grown

    def _note_reservation(self, reserve: Reserve, commands: tuple[c.Command, ...], now: int) -> None:
        request = reserve.request
        if any(type(command) is c.Lend and command.message.request_id == request.request_id for command in commands):
            return
        if (request.request_id, reserve.attempt) not in self.core.receiver.open:
            return  # its source's last word came before it, or it is from another time
        blocks = self.core.scheduler.blocks_to_decode(request.prompt_tokens, request.max_tokens)
        self._record(e.ReserveQueued(now, self._index, request.request_id, reserve.attempt, blocks, reserve.sent_ps))

    def _lend(self, lend: c.Lend) -> None:
        grant = lend.message
        self._record(
            e.Reserved(
                self._clock.now(),
                self._index,
                grant.request_id,
                grant.attempt,
                grant.loan,
                lend.blocks,
                lend.reserve_sent_ps,
            )
        )
        self._ports.wire.send(lend.machine, grant)

    def _put(self, put: c.Put) -> None:
        first, last = put.layers
        moved = self._ports.link.put(put)
        now = self._clock.now()
        self._record(
            e.TransferStarted(
                now, self._index, put.target, put.request_id, put.attempt, first, last, moved, int(put.follow)
            )
        )

    def _commit(self, commit: c.Commit) -> None:
        message = commit.message
        layers = sum(last - first + 1 for first, last in commit.layers)
        now = self._clock.now()
        self._record(
            e.Committed(
                now,
                self._index,
                message.request_id,
                message.attempt,
                layers,
                commit.loan,
                commit.blocks,
                self._signalled_ps[message.request_id, message.attempt],
            )
        )
        self._ports.wire.send(commit.machine, message)

    def _release(self, release: c.Release) -> None:
        self._record(
            e.Released(
                self._clock.now(),
                self._index,
                release.request_id,
                release.attempt,
                release.loan,
                release.blocks,
                REASONS[release.reason],
                release.sent_ps,
            )
        )

    def _preempt(self, p: c.Preempt) -> None:
        now = self._clock.now()
        self._record(e.Preempted(now, self._index, p.request_id, p.attempt, p.delivered, p.loan, p.blocks))

    def _attempt_over(self, over: c.AttemptOver) -> None:
        if not self._running:
            self._close_run()  # what it has delivered is told before
        now, reason = self._clock.now(), REASONS[over.reason]
        key = (over.request_id, over.attempt)
        self._record(e.AttemptEnded(now, self._index, *key, reason, over.delivered, over.loan, over.blocks))
