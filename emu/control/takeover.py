"""Takeover: how a router that follows another learns what there is, before it assigns anything.

It asks every machine what it holds. A machine that answers obeys no older router from then on; one that does not is
declared dead, as one that is silent. What came meanwhile waits. Attempts that are whole, or have both their machines,
go on, if their clients still take them; others are given up, and their requests begin anew. Requests of which no
machine knows come back when their clients send them again. What an attempt is given up by stands in `recovery`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field

from emu.control.commands import Claim, Command, Send
from emu.control.messages import Cancel, Holding, Inquire, Inventory, Silent, SourceGone, Submit
from emu.control.recovery import Recovery
from emu.control.router_events import NOWHERE, Begin, Claimed, Open
from emu.control.terms import first_epoch

_SPREAD = 2654435761  # gives each request a draw of its own, since the one that it came with is lost


@define(eq=False, repr=False)
class _Found:
    """The latest attempt of a request, and who holds a part of it."""

    attempt: int
    prefill: int = NOWHERE
    decode: int = NOWHERE
    whole: bool = False

    def add(self, machine: int, holding: Holding) -> None:
        if holding.decodes:
            self.decode, self.whole = machine, holding.whole
            if self.prefill == NOWHERE:
                self.prefill = holding.peer
        else:
            self.prefill = machine


@define(eq=False, repr=False)
class Takeover:
    """Of a router of this `term`. `in_charge` is called when it is over, and `handle` then takes what has waited."""

    term: int
    recovery: Recovery
    in_charge: Callable[[], None]
    handle: Callable[[Any, int], tuple[Command, ...]]
    awaited: set[int] = field(init=False)
    due_ps: int | None = field(init=False, default=None)  # when whoever has not answered is asked again
    _began_ps: int = field(init=False, default=0)
    _held: list[Any] = field(init=False, factory=list)
    _holdings: dict[int, list[tuple[int, Holding]]] = field(init=False, factory=dict)  # by request
    _adopted: dict[int, _Found] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        loads = self.recovery.pools.loads
        self.awaited = {load.machine for load in loads}
        for load in loads:
            load.epoch = first_epoch(self.term)

    def begin(self, _: Begin, now: int) -> tuple[Command, ...]:
        self._began_ps = now
        return self._ask(now)

    def hold(self, event: Any, now: int) -> tuple[Command, ...]:
        """What can only be judged by who knows what there is."""
        del now
        self._held.append(event)
        return ()

    def answered(self, inventory: Inventory, now: int) -> tuple[Command, ...]:
        """A machine obeys this router from now on, and this is what it holds."""
        machine, report = inventory.machine, inventory.report
        if machine not in self.awaited or report.epoch != first_epoch(self.term):
            return ()
        self.awaited.discard(machine)
        load = self.recovery.pools.loads[machine]
        load.incarnation = report.incarnation
        load.report(report)
        self.recovery.pools.changed(load)
        for holding in inventory.holdings:
            self._holdings.setdefault(holding.request.request_id, []).append((machine, holding))
        return self._finish(now)

    def silent(self, event: Silent, now: int) -> tuple[Command, ...]:
        self.awaited.discard(event.machine)
        return (*self.recovery.silent(event, now), *self._finish(now))

    def due(self, now: int) -> tuple[Command, ...]:
        """Ask again; but whoever has not answered for so long is dead."""
        if now - self._began_ps < self.recovery.rules.answer_within_ps:
            return self._ask(now)
        commands: tuple[Command, ...] = ()
        for machine in sorted(self.awaited):
            commands += self.silent(Silent(machine), now)
        return commands

    def claimed(self, event: Claimed, now: int) -> tuple[Command, ...]:
        """Adopt an attempt that its client still takes, unless too little of it is left."""
        found = self._adopted.pop(event.request_id)
        entry = self.recovery.open.get(event.request_id)
        if entry is None or entry.attempt != found.attempt:
            return ()  # what had waited has ended it
        key = (event.request_id, found.attempt)
        if event.given_up is None:
            return self.recovery.over(event.request_id, now)
        alone = found.decode == NOWHERE
        if alone or event.given_up >= found.attempt:
            return self.recovery.begin_anew(event.request_id, now)
        if found.whole or found.prefill in self._holders(key):
            return ()
        return (Send(found.decode, SourceGone((key,), now, self.term)),)

    def _holders(self, key: tuple[int, int]) -> set[int]:
        return {
            machine
            for machine, holding in self._holdings.get(key[0], ())
            if holding.attempt == key[1] and not holding.decodes
        }

    def _ask(self, now: int) -> tuple[Command, ...]:
        self.due_ps = now + self.recovery.rules.ask_again_ps
        return tuple(Send(machine, Inquire(self.term, now)) for machine in sorted(self.awaited))

    def _finish(self, now: int) -> tuple[Command, ...]:
        """When nobody is awaited any more: claim what was found, and take up what has waited."""
        if self.awaited or self.recovery.takeover is not self:
            return ()
        self.recovery.takeover = None
        self.in_charge()
        commands = self._adopt(now)
        held, self._held = self._held, []
        for event in held:
            commands += self.handle(event, now)
        return commands

    def _adopt(self, now: int) -> tuple[Command, ...]:
        """The latest attempt of each request, if its client says so; older ones are cancelled."""
        claims: list[Command] = []
        older: dict[int, list[tuple[int, int]]] = {}
        gone = self.recovery.dead
        for request_id, holdings in sorted(self._holdings.items()):
            there = [(machine, holding) for machine, holding in holdings if not gone(machine)]
            if not there:
                continue
            found = _Found(max(holding.attempt for _, holding in there))
            for machine, holding in there:
                if holding.attempt == found.attempt:
                    found.add(machine, holding)
                else:
                    older.setdefault(machine, []).append((request_id, holding.attempt))
            request = there[0][1].request
            submit = Submit(request, request_id * _SPREAD % (1 << 32))
            decode = found.prefill if found.decode == NOWHERE else found.decode
            self.recovery.open[request_id] = Open(submit, found.attempt, found.prefill, decode, now)
            self._adopted[request_id] = found
            claims.append(Claim(request_id))
        cancels = (Send(machine, Cancel(tuple(keys), now, self.term)) for machine, keys in sorted(older.items()))
        return *cancels, *claims
