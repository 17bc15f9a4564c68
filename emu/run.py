"""The composition root: a scenario becomes a running cluster, and its record.

The one place where control, node and fake meet. Every machine gets its core, its two loops and the ports of an
emulated world; the run ends when nothing is left to happen. What a record means is read elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import IO, TYPE_CHECKING

import trio
from attrs import define, evolve

from emu.cluster import Cluster, is_faulty, to_ps
from emu.control.batch import InStep
from emu.fake.client import FakeClient
from emu.fake.clock import HeapClock
from emu.fake.link import FakeLink
from emu.fake.model import FakeModel
from emu.node.codes import POOLS
from emu.node.machine_node import MachineNode
from emu.node.ports import Client, Clock, MachinePorts, Recorder, Reports
from emu.node.router_node import RouterNode
from emu.policies.contract import Contract
from emu.policies.seats import Seated
from emu.record.entries import BeliefClosed, Entry, MachineClosed, RunEnded
from emu.record.log import Fold, Log
from emu.rules import machine_rules, members, router_rules
from emu.scenario.schema import Action, Fault, Scenario
from emu.site import Site, in_own_time
from emu.workload.table import Workload

if TYPE_CHECKING:
    from emu.fake.witness import Witness
    from emu.strikes import Strikes


@define(eq=False, repr=False)
class Run:
    """One run: wired up by `build`, done by `go`."""

    cluster: Cluster
    clock: HeapClock
    log: Log
    client: FakeClient
    link: FakeLink
    routers: Sequence[RouterNode]  # the latest one last
    nodes: Sequence[MachineNode]
    seated: Seated
    strikes: Strikes | None  # of a run that faults may strike

    def inject(self, fault: Fault, at_ps: int) -> None:
        """Let a fault strike at that time, exactly as if it had been planned. `build` must have been told to expect it.

        Raises ValueError where the run expects none, that time has passed, or clocks were to be right.
        """
        clocks_right = self.strikes is None or self.strikes.places[0].process.skew is None
        if self.strikes is None or at_ps < self.clock.now_ps or (fault.kind == "clock" and clocks_right):
            raise ValueError(f"no fault can be injected at {at_ps} ps")
        from emu.planned import strike_of

        names = {machine.name: index for index, machine in enumerate(self.cluster.machines)}
        self.strikes.plan(strike_of(fault, names)._replace(at_ps=at_ps))

    def act(self, action: Action, at_ps: int) -> None:
        """Let an action be done at that time, as `inject` does with a fault. Raises ValueError as that does."""
        if self.strikes is None or at_ps < self.clock.now_ps:
            raise ValueError(f"nothing can be done at {at_ps} ps")
        self.strikes.plan_action(action, at_ps)

    def go(self) -> None:
        """Run to the end of everything. Raises what a bug raises."""
        try:
            trio.run(self._main, clock=self.clock, strict_exception_groups=True)
        finally:
            self.seated.close()

    @property
    def router(self) -> RouterNode:
        return self.routers[-1]

    @property
    def open_requests(self) -> int:
        """Requests that arrived and have not ended."""
        return self.client.arrived - self.client.over

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            if self.strikes is not None:
                self.strikes.start(nursery)
            else:
                nursery.start_soon(self.router.run, name="router")
                for node in self.nodes:
                    nursery.start_soon(node.run_engine, name=f"{node.name}/engine")
                    nursery.start_soon(node.run_transfers, name=f"{node.name}/transfers")
            self.client.start()
            await self.clock.starved()
            await self._last_reports()
            nursery.cancel_scope.cancel()
        standing = [
            node for machine, node in enumerate(self.nodes) if self.strikes is None or self.strikes.is_up(machine)
        ]
        close(self.clock.now_ps, self.log.write, standing, self.router, self.link.open)

    async def _last_reports(self) -> None:
        """Let every machine's last report reach the router, as it would within a period."""
        scenario = self.cluster.scenario
        wait_ps = to_ps(scenario.router.report_every_s) + 2 * to_ps(scenario.network.control_latency_s)
        self.clock.call_at(self.clock.now_ps + wait_ps, 0, self.router.inbox.signal.set)
        await self.clock.starved()


def build(
    cluster: Cluster,
    workload: Workload,
    folds: Sequence[Fold] = (),
    file: IO[bytes] | None = None,
    *,
    injectable: bool = False,
    clock: HeapClock | None = None,
) -> Run:
    """The whole cluster, wired up, at time 0. `folds` read the record as it is written, `file` gets its lines.

    `injectable`: faults may be injected while it runs. Without that and a plan of faults, nothing of theirs is there.
    `clock`: one that somebody holds back, made for this scenario.
    """
    scenario = cluster.scenario
    faulty = injectable or is_faulty(scenario)
    if clock is None:
        clock = _clock(scenario)
    witness = _witness() if faulty else None
    first_line = cluster.started(workload).line() if file is not None else ""
    log = Log(folds if witness is None else (*folds, witness), file, first_line)
    seated = Seated(cluster.seats, Contract(log.write, clock.now))
    max_tokens = None if scenario.workload.max_tokens == "exact" else scenario.workload.max_tokens
    model = FakeModel(workload.prompt_tokens, workload.output_tokens)
    site = Site(cluster, clock, log, model, seated)
    strikes = None if witness is None else site.with_faults(witness)
    wire, link, reports = (strikes.wire, strikes.link, strikes.reports) if strikes is not None else site.world()
    client = _client(site, workload, max_tokens, strikes)
    heartbeat_ps, classes = to_ps(scenario.transfer.heartbeat_s), cluster.classes

    def node_of(index: int, incarnation: int, own: Clock, found: InStep = ()) -> MachineNode:
        machine = cluster.machines[index]
        rules = machine_rules(cluster, machine, index, incarnation, seated, found)
        core = classes.machine(rules, classes.of_machine)
        worker = site.workers[index]
        checksums = worker.memory.checksums if is_faulty(scenario) else None
        wants = None if strikes is None else strikes.client.wants
        around = (own, worker, site.link_port(link, index), wire.port(machine.name), client, log, reports)
        ports = MachinePorts(*around, checksums, wants)
        if site.stamps is not None:
            ports = in_own_time(ports, clock, site.skews[index], site.stamps)
        node = MachineNode(machine.name, core, ports, heartbeat_ps)
        if incarnation:  # something has struck
            node.patrol()
        return node

    site.node_of = node_of
    for index in range(len(cluster.machines)):
        site.nodes.append(node_of(index, 0, clock if strikes is None else strikes.places[index].process))

    def router_of(term: int, clients: Client, recorder: Recorder, heard: Reports) -> RouterNode:
        rules = router_rules(scenario, seated)
        if term:  # something has struck
            patrol_ps = to_ps(scenario.router.patrol_s)
            rules = evolve(rules, recovery=evolve(rules.recovery, audit_ps=patrol_ps))
        core = classes.router(members(cluster), rules, classes.recovery, term)
        router = RouterNode(core, clock, wire.port("router"), clients, recorder, heard)
        site.routers.append(router)
        return router

    if strikes is None:
        router_of(0, client, log, reports)
    else:
        site.router_of = router_of
        strikes.succession.seat(0)
        strikes.plan_all(scenario)
    return Run(cluster, clock, log, client, link, site.routers, site.nodes, seated, strikes)


def _client(site: Site, workload: Workload, max_tokens: int | None, strikes: Strikes | None) -> FakeClient:
    """All clients; where faults may strike, those that lose patience and ask again."""
    scenario = site.cluster.scenario
    submit = site.submit if strikes is None else strikes.succession.hear_client
    parts = (
        *(site.clock, workload, site.model, site.cluster.alone, site.log, max_tokens),
        *(scenario.seed, submit, site.tokens_so_far),
    )
    if strikes is None:
        return FakeClient(*parts)
    from emu.fake.fickle_client import FickleClient

    source, witness = scenario.workload, strikes.witness
    client = strikes.client = strikes.succession.client = FickleClient(
        *parts,
        resend=strikes.succession.hear_again,
        has_attempt=witness.has_attempt,
        patience_ps=None if source.client_timeout_s is None else to_ps(source.client_timeout_s),
        retries=source.client_retries,
        backoff_ps=to_ps(source.retry_backoff_s),
        latest_attempt=witness.attempt,
    )
    return client


def _witness() -> Witness:
    """Of what faults strike. A run without any imports nothing of theirs."""
    from emu.fake.witness import Witness

    return Witness()


def _clock(scenario: Scenario) -> HeapClock:
    liveness_ps = to_ps(scenario.run.liveness_s)
    if scenario.goes_first:
        from emu.fake.ordered_clock import OrderedClock

        return OrderedClock(scenario.interleaving, liveness_ps, scenario.goes_first)
    return HeapClock(scenario.interleaving, liveness_ps)


def close(
    now: int, write: Callable[[Entry], None], nodes: Iterable[MachineNode], router: RouterNode, transfers: int
) -> None:
    """Write down what is left when a run is over; `transfers` are those still under way on the links."""
    for node in nodes:
        core, pool = node.core, node.core.pool
        write(
            MachineClosed(
                now,
                core.rules.index,
                pool.capacity,
                pool.free_blocks,
                pool.loans,
                pool.pinned_loans,
                len(core.scheduler.prefills),
                core.scheduler.decoding,
                len(core.sender.open),
                len(core.receiver.open),
            )
        )
    for load in router.core.pools.loads:
        pool_code, home = POOLS[load.pool.value], POOLS[load.home.value]
        write(BeliefClosed(now, load.machine, load.pending_tokens, load.sequences, load.free_blocks, pool_code, home))
    write(RunEnded(now, len(router.core.open), transfers))
