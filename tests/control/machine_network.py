"""Two or more Machine cores, joined by a network in memory that delays what it likes and keeps order per pair."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from attrs import define, field, frozen

from emu.control import commands as c
from emu.control.batch import Batch, StepResult
from emu.control.machine import Machine
from emu.control.machine_events import Drained, Event, Tick
from emu.control.machine_rules import MachineRules
from emu.control.messages import Assign, Grant, Heartbeat, Reserve
from emu.control.mixed import SchedulerRules
from emu.control.request import Request

STEP, TICK, LEASE = 1000, 20_000, 200_000
ROUTER = -1


@frozen
class Job:
    """A request: where it is prefilled and decoded, what it asks for and what it gets."""

    gap: int  # since the job before
    prompt_tokens: int
    max_tokens: int
    output: int
    prefill: int
    decode: int


@define(eq=False)
class Host:
    """One machine: its core, its mail, and the batch that it runs."""

    core: Machine
    mail: list[Event] = field(factory=list)
    batch: Batch | None = None
    started: int = 0
    due: int = 0  # when its batch ends; -1 while it has none
    ticking: bool = False


@define(eq=False)
class Network:
    """Time, the machines, and everything under way. `delays` are used in turn."""

    kv_blocks: int
    block_tokens: int
    rules: SchedulerRules
    delays: list[int]
    get: bool = False  # caches are read by those who decode
    hosts: list[Host] = field(init=False)
    outputs: dict[int, int] = field(factory=dict)
    ends: dict[int, c.End] = field(factory=dict)
    puts: int = 0
    preemptions: int = 0
    now: int = 0
    _drawn: int = 0
    _events: list[tuple[int, int, Callable[[], None]]] = field(factory=list)
    _sequence: int = 0
    _last: dict[tuple[int, int], int] = field(factory=dict)  # pair -> when its latest message arrives
    _landing: dict[tuple[int, int, int], int] = field(factory=dict)  # sender, request, attempt -> last landing

    def __attrs_post_init__(self) -> None:
        machines = (
            MachineRules(index, self.kv_blocks, 4, LEASE, self.rules, block_tokens=self.block_tokens, get=self.get)
            for index in range(2)
        )
        self.hosts = [Host(Machine(rules)) for rules in machines]

    def submit(self, jobs: list[Job]) -> None:
        """What a router would send; its messages take less than a step."""
        at, numbers = 0, [0, 0]
        for number, job in enumerate(jobs):
            at += job.gap
            request = Request(number, job.prompt_tokens, job.max_tokens, at)
            self.outputs[number] = job.output
            numbers[job.prefill] += 1
            assign = Assign(request, 0, numbers[job.prefill], job.decode, at)
            self._post(ROUTER, job.prefill, assign, at, limit=STEP - 1)
            if job.decode != job.prefill:
                numbers[job.decode] += 1
                reserve = Reserve(request, 0, numbers[job.decode], job.prefill, at)
                self._post(ROUTER, job.decode, reserve, at, limit=STEP - 1)

    def run(self) -> None:
        """Until nothing is left to happen."""
        for _ in range(100_000):
            if not self._events:
                return
            self.now, _, act = heapq.heappop(self._events)
            act()
        raise AssertionError("only ticks are left")

    def _at(self, time: int, act: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (time, self._sequence, act))

    def _post(self, source: int, target: int, event: Event, sent: int, limit: int = 10**9) -> None:
        """It arrives after the next delay, behind whatever went the same way."""
        self._drawn += 1
        delay = self.delays[self._drawn % len(self.delays)]
        arrives = max(sent + min(delay, limit), self._last.get((source, target), 0))
        self._last[source, target] = arrives
        self._at(arrives, lambda: self._deliver(target, event))

    def _deliver(self, target: int, event: Event) -> None:
        host = self.hosts[target]
        if isinstance(event, Grant | Heartbeat):
            self._feed(host, event)
            return
        host.mail.append(event)
        if host.batch is None:
            self._boundary(host)
        elif host.batch.prefills == () and host.due > self.now:
            steps = max(1, -(-(self.now - host.started) // STEP))
            self._end_at(host, min(host.due, host.started + steps * STEP))

    def _end_at(self, host: Host, due: int) -> None:
        host.due = due
        self._at(due, lambda: self._step_end(host, due))

    def _step_end(self, host: Host, due: int) -> None:
        if host.due == due and host.batch is not None:
            made = self._outlooks(host)
            steps, host.batch = (due - host.started) // STEP, None
            stopped = tuple(request for request, left in made.items() if left == steps)
            self._feed(host, StepResult(steps, stopped))
            self._boundary(host)

    def _outlooks(self, host: Host) -> dict[int, int]:
        """Tokens that each request of the running batch has still to get."""
        scheduler = host.core.scheduler
        had = {s.request.request_id: s.delivered for s in scheduler.prefilling}
        had |= {request: scheduler.decoder.delivered(s) for request, s in scheduler.decoder.running.items()}
        return {request: self.outputs[request] - delivered for request, delivered in had.items()}

    def _boundary(self, host: Host) -> None:
        mail, host.mail = host.mail, []
        for event in mail:
            self._feed(host, event)
        plan = host.core.next_batch(self.now)
        self._carry_out(host, plan.before)
        self._carry_out(host, plan.after)
        host.batch, host.started = plan.batch, self.now
        if plan.batch is not None:
            steps = min(plan.batch.max_steps, *self._outlooks(host).values())
            self._end_at(host, self.now + steps * STEP)
        self._tick_on(host)

    def _tick_on(self, host: Host) -> None:
        if host.core.has_transfers and not host.ticking:
            host.ticking = True
            self._at(self.now + TICK, lambda: self._tick(host))

    def _tick(self, host: Host) -> None:
        host.ticking = False
        free = host.core.pool.free_blocks
        self._carry_out(host, host.core.handle(Tick(), self.now))
        if host.batch is None and host.core.pool.free_blocks != free:
            self._boundary(host)
        self._tick_on(host)

    def _feed(self, host: Host, event: Event) -> None:
        self._carry_out(host, host.core.handle(event, self.now))
        self._tick_on(host)

    def _carry_out(self, host: Host, commands: tuple[c.Command, ...]) -> None:
        here = host.core.rules.index
        for command in commands:
            match command:
                case c.Send(machine, message) | c.Lend(machine, message) | c.Commit(machine, message):
                    self._post(here, machine, message, self.now)  # type: ignore[arg-type]  # none is the router's
                case c.Put():
                    self._put(host, command)
                case c.MakeOffer(machine, offer):
                    self._post(here, machine, offer, self.now)
                case c.Fetch():
                    self._get(host, command)
                case c.PostSignal(target, signal):
                    landed = self._landing[here, signal.request_id, signal.attempt]
                    self._post(here, target, signal, max(self.now, landed))
                case c.WatchDrain(request_id, attempt):
                    landed = max(self.now, self._landing[here, request_id, attempt])
                    self._at(landed, lambda key=(request_id, attempt): self._deliver(here, Drained(*key)))  # type: ignore[misc]
                case c.End():
                    assert command.request.request_id not in self.ends, "it ended twice"
                    self.ends[command.request.request_id] = command
                case c.Preempt():
                    self.preemptions += 1

    def _put(self, host: Host, put: c.Put) -> None:
        """A put lands whatever happens; both ends must have the blocks until then."""
        here, target = host.core.rules.index, self.hosts[put.target].core.pool
        loan = host.core.sender.open[put.request_id, put.attempt].loan.number
        self.puts += 1
        self._drawn += 1
        lands = self.now + self.delays[self._drawn % len(self.delays)]
        self._landing[here, put.request_id, put.attempt] = lands

        def land() -> None:
            assert target.is_current(put.target_loan, put.target_blocks), "a write after free"
            assert host.core.pool.is_current(loan, put.source_blocks), "a read after free"

        self._at(lands, land)

    def _get(self, host: Host, fetch: c.Fetch) -> None:
        """A read ends whatever happens; both ends must have the blocks until then."""
        here, put = host.core.rules.index, fetch.put
        source = self.hosts[fetch.source].core
        loan = source.sender.open[put.request_id, put.attempt].loan.number
        self.puts += 1
        self._drawn += 1

        def land() -> None:
            assert host.core.pool.is_current(put.target_loan, put.target_blocks), "a write after free"
            assert source.pool.is_current(loan, put.source_blocks), "a read after free"
            self._deliver(here, fetch.done)

        self._at(self.now + self.delays[self._drawn % len(self.delays)], land)
