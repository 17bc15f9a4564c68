"""Recovery: what the router does about machines that have gone silent, and about the requests that were there.

A silent machine is declared dead, and its requests get a new attempt elsewhere; their old attempts are fenced at the
clients and given up on the machines that still hold a part of them. A machine that reports again is told that it was
declared dead, and is admitted under a new epoch once it has dropped what it had. When the next attempt comes is decided
in `retries`, and which machines it gets in `router`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from emu.control.commands import Admit, Command, DeclareDead, Fence, MoveMachine, Send
from emu.control.docket import Docket
from emu.control.messages import (
    Audit,
    Cancel,
    Doubt,
    Drain,
    Ended,
    LoadReport,
    Lost,
    Silent,
    SourceGone,
    Submit,
    Welcome,
    Withdraw,
    Wreck,
)
from emu.control.pools import GONE, Load, Pools
from emu.control.recovery_rules import RecoveryRules
from emu.control.retries import Place, Retries
from emu.control.router_events import NOWHERE, Open
from emu.control.terms import first_attempt

if TYPE_CHECKING:
    from emu.control.takeover import Takeover


@define(eq=False, repr=False)
class Recovery:
    """`open` and `pools` are the router's; `place(submit, attempt, now)` gives an attempt its machines."""

    rules: RecoveryRules
    pools: Pools
    open: dict[int, Open]
    place: Place
    term: int = 0  # of the router
    takeover: Takeover | None = field(init=False, default=None)  # while a router takes over from another
    gone: int = field(init=False, default=0)  # machines that are taken for dead
    retries: Retries = field(init=False)
    docket: Docket = field(init=False)
    audit_ps: int = field(init=False)
    audited_ps: int = field(init=False, default=0)  # on a grid of `audit_ps`

    def __attrs_post_init__(self) -> None:
        self.audit_ps = self.rules.audit_ps
        self.docket = Docket(self.rules.poison_limit, self.rules.suspects_apart_ps)
        self.retries = Retries(self.rules, self.open, self.place, self.docket, self.term)

    def patrol(self, every_ps: int, now: int) -> None:
        """Messages may be lost from now on: ask machines, every so often, for what they know of open attempts."""
        if not self.audit_ps:
            self.audit_ps, self.audited_ps = every_ps, now

    @property
    def due_ps(self) -> int | None:
        """When `due` is to be called next."""
        due_ps = self.retries.due_ps
        if self.takeover is not None:
            return self.takeover.due_ps  # nothing waits before it is over
        if not self.audit_ps or not (self.open or any(load.unsure for load in self.pools.loads)):
            return due_ps
        next_ps = self.audited_ps + self.audit_ps
        return next_ps if due_ps is None else min(due_ps, next_ps)

    def dead(self, machine: int) -> bool:
        """Whether this machine is taken for dead."""
        return self.pools.loads[machine].epoch == GONE

    def silent(self, event: Silent, now: int) -> tuple[Command, ...]:
        load = self.pools.loads[event.machine]
        return () if load.epoch == GONE else self._dead(load, "silent", now)

    def reported(self, load: Load, report: LoadReport, now: int) -> tuple[Command, ...]:
        """A report under an epoch that is not the machine's: of one that is taken for dead, or was started again."""
        commands: tuple[Command, ...] = ()
        if self.takeover is not None and load.machine in self.takeover.awaited:
            return ()  # it is to say more than that
        if load.epoch != GONE:
            if report.incarnation <= load.incarnation:
                return ()  # from before it was admitted the last time
            commands = self._dead(load, "restarted", now)
        elif report.incarnation == load.incarnation:
            self.docket.survived(load.machine, load.incarnation)
        load.incarnation = max(load.incarnation, report.incarnation)
        if report.epoch != load.next_epoch or report.incarnation < load.incarnation:
            return *commands, Send(load.machine, Welcome(load.next_epoch, load.assigned, now))
        load.epoch = report.epoch
        load.report(report)
        load.leaving = False
        self.pools.changed(load)
        self.gone -= 1
        self.retries.look_again(now)
        return (Admit(load.machine, load.incarnation),)

    def drain(self, event: Drain, now: int) -> tuple[Command, ...]:
        """A machine is to leave: it gets nothing new, and goes on with what it has."""
        load = self.pools.loads[event.machine]
        commands: tuple[Command, ...] = ()
        if load.epoch != GONE and not load.leaving:
            commands = self._home(load, now)
            self.pools.leave(load)
        return commands

    def ended(self, message: Ended, now: int) -> tuple[Command, ...]:
        """A request is over, unless it was an attempt that had been given up that ended."""
        del now
        entry = self.open.get(message.request_id)
        if entry is not None and entry.attempt == message.attempt and entry.prefill != NOWHERE:
            self.retries.close(message.request_id)
        return ()

    def withdrawn(self, event: Withdraw, now: int) -> tuple[Command, ...]:
        """Its client wants a request no more: give back all that its attempt holds, wherever."""
        return self.over(event.request_id, now)

    def over(self, request_id: int, now: int) -> tuple[Command, ...]:
        """A request is over for its client."""
        entry = self.open.get(request_id)
        if entry is not None:
            self.retries.close(request_id)
        if entry is None or entry.prefill == NOWHERE:
            return ()
        return self._cancel({request_id: entry}, now, besides=NOWHERE)

    def begin_anew(self, request_id: int, now: int) -> tuple[Command, ...]:
        """Whatever older routers have made of a request that is open here is over; it starts again under this one."""
        entry, last = self.open[request_id], first_attempt(self.term) - 1
        self.open[request_id] = Open(entry.submit, last, NOWHERE, NOWHERE, now)
        cancels = () if entry.prefill == NOWHERE else self._cancel({request_id: entry}, now, besides=NOWHERE)
        return Fence(request_id, last, "router_gone"), *cancels

    def again(self, submit: Submit, now: int) -> tuple[Command, ...]:
        """A client sends again what another router had placed, and this one knows nothing of."""
        request_id, last = submit.request.request_id, max(submit.attempt, first_attempt(self.term) - 1)
        self.open[request_id] = Open(submit, last, NOWHERE, NOWHERE, now)
        return (Fence(request_id, last, "router_gone"),)

    def lost(self, message: Lost, now: int) -> tuple[Command, ...]:
        """A machine says that an attempt cannot go on there."""
        entry = self._current(message.request_id, message.attempt)
        if entry is None:
            return ()
        if message.reason == "gave_way":
            self.retries.gave_way[message.request_id] += 1
        # also where it is not known, since its assignment may still come
        return self._give_up({message.request_id: entry}, message.reason, now, besides=NOWHERE)

    def found(self, message: Wreck, now: int) -> tuple[Command, ...]:
        """Word of what was in the step that has ended a process."""
        del now
        self.docket.found(message.machine, message.incarnation, message.attempts, self.open)
        return ()

    def doubted(self, message: Doubt, now: int) -> tuple[Command, ...]:
        """The decode machine knows whether it has that cache; a dead one's attempts were given up with it."""
        entry = self._current(message.request_id, message.attempt)
        if entry is None:
            return ()
        return (Send(entry.decode, SourceGone(((message.request_id, message.attempt),), now, self.term)),)

    def due(self, now: int) -> tuple[Command, ...]:
        """Attempts whose time has come, and audits."""
        if self.takeover is not None:
            return self.takeover.due(now)
        commands: tuple[Command, ...] = ()
        if self.audit_ps and now >= self.audited_ps + self.audit_ps:
            self.audited_ps = now - now % self.audit_ps
            commands = self._audit(now)
        return commands + self.retries.due(now)

    def strand(self, submit: Submit, now: int) -> bool:
        """Keep a new request for which there is no machine, if some are taken for dead and may come back."""
        if not self.gone:
            return False
        self.retries.await_machines(submit, now)
        return True

    def _audit(self, now: int) -> tuple[Command, ...]:
        """Ask about every attempt that was placed before the last audit: by now its machines should have it."""
        for load in self.pools.loads:
            if load.expire():
                self.pools.changed(load)
        asked: dict[int, list[tuple[int, int]]] = {}
        for request_id, entry in self.open.items():
            if entry.prefill != NOWHERE and entry.placed_ps <= self.audited_ps - self.audit_ps:
                for machine in {entry.prefill: None, entry.decode: None}:
                    asked.setdefault(machine, []).append((request_id, entry.attempt))
        return tuple(
            Send(machine, Audit(tuple(attempts), self.pools.loads[machine].assigned, now, self.term))
            for machine, attempts in sorted(asked.items())
            if self.pools.loads[machine].epoch != GONE
        )

    def _current(self, request_id: int, attempt: int) -> Open | None:
        entry = self.open.get(request_id)
        return entry if entry is not None and entry.attempt == attempt and entry.prefill != NOWHERE else None

    def _dead(self, load: Load, reason: str, now: int) -> tuple[Command, ...]:
        """Take a machine out of its pool, and deal with every request that it has a part in."""
        machine = load.machine
        commands: tuple[Command, ...] = (DeclareDead(machine, load.incarnation, reason),)
        commands += self._home(load, now)
        self.pools.leave(load)
        load.forget()
        self.gone += 1
        load.next_epoch, load.epoch = load.epoch + 1, GONE
        struck: dict[int, Open] = {}
        orphans: dict[int, list[tuple[int, int]]] = {}
        for request_id, entry in self.open.items():
            if entry.decode == machine:
                struck[request_id] = entry
            elif entry.prefill == machine:
                orphans.setdefault(entry.decode, []).append((request_id, entry.attempt))
        there = [(request_id, entry.attempt) for request_id, entry in struck.items()]
        there += [key for attempts in orphans.values() for key in attempts]
        self.docket.died(machine, load.incarnation, there, now)
        commands += self._give_up(struck, "machine_dead", now, besides=machine)
        return commands + tuple(
            Send(decode, SourceGone(tuple(attempts), now, self.term)) for decode, attempts in sorted(orphans.items())
        )

    def _home(self, load: Load, now: int) -> tuple[Command, ...]:
        if load.pool is load.home:
            return ()
        self.pools.move(load, load.home, now)
        return (MoveMachine(load.machine, load.pool.value, load.home.value),)

    def _give_up(self, struck: dict[int, Open], reason: str, now: int, besides: int) -> tuple[Command, ...]:
        """Fence these attempts, and cancel them on the machines that may hold them, `besides` one."""
        for request_id, entry in struck.items():
            self.open[request_id] = entry._replace(prefill=NOWHERE, decode=NOWHERE)
        fences = (Fence(request_id, entry.attempt, reason) for request_id, entry in struck.items())
        return (*fences, *self._cancel(struck, now, besides))

    def _cancel(self, struck: dict[int, Open], now: int, besides: int) -> tuple[Command, ...]:
        held: dict[int, list[tuple[int, int]]] = {}
        for request_id, entry in struck.items():
            for machine in {entry.prefill: None, entry.decode: None}:
                if machine != besides and self.pools.loads[machine].epoch != GONE:
                    held.setdefault(machine, []).append((request_id, entry.attempt))
        cancels = ((machine, Cancel(tuple(attempts), now, self.term)) for machine, attempts in sorted(held.items()))
        return tuple(Send(machine, cancel) for machine, cancel in cancels)
