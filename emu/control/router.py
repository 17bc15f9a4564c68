"""Router: the cluster-level scheduler. Arrivals and load reports in, assignments out.

It chooses both machines of a request at its arrival, counts what it has assigned until a report does, and moves
machines between pools: crossed over to the mixed pool when borrowed, home when the work of the other kind is done, and
to another home when they stay away too long. It knows machines only by what they report; their queues, blocks and
transfers must stay out. What it does about machines that fall silent stands in `recovery`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen

from emu.control.commands import Command, MoveMachine, Place, Reject, Send
from emu.control.messages import (
    Assign,
    Doubt,
    Drain,
    Ended,
    Inventory,
    LoadReport,
    Lost,
    Reserve,
    Silent,
    Submit,
    Withdraw,
    Wreck,
)
from emu.control.placement import Demand, Policy, Splitwise
from emu.control.pools import Load, Member, Pool, Pools
from emu.control.recovery import Recovery
from emu.control.recovery_rules import RecoveryRules
from emu.control.router_events import Begin, Claimed, Fenced, Open
from emu.control.terms import first_attempt


@frozen(eq=False, repr=False)
class RouterRules:
    """How the router decides. Block counts follow the machines' own rule for what a sequence joins with."""

    policy: Policy = field(factory=Splitwise)
    queue_limit_requests: int = 0  # open requests past which arrivals are rejected; 0 for no limit
    go_home_idle: bool = False  # only a wholly idle machine goes home; else one without work of the other kind
    repurpose_after_ps: int = 60 * 10**12
    block_tokens: int = 16
    reserve_max_tokens: bool = False
    recovery: RecoveryRules = field(factory=RecoveryRules)


_News = Submit | LoadReport | Ended | Silent | Drain | Withdraw | Lost | Doubt | Wreck | Fenced
Event = _News | Begin | Inventory | Claimed


@define(eq=False, repr=False)
class Router:
    """The core of the router of a cluster of `members`. One of a higher `term` takes over from those before it."""

    members: tuple[Member, ...]
    rules: RouterRules = field(factory=RouterRules)
    recovers: type[Recovery] = Recovery
    term: int = 0
    pools: Pools = field(init=False)
    open: dict[int, Open] = field(init=False, factory=dict)
    recovery: Recovery = field(init=False)
    _largest_pool: int = field(init=False)
    _first_attempt: int = field(init=False)
    _handlers: dict[type, Callable[[Any, int], tuple[Command, ...]]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.pools = Pools(self.members, self.rules.policy.ranks)
        self._largest_pool = max(member.kv_blocks for member in self.members)
        self.recovery = self.recovers(self.rules.recovery, self.pools, self.open, self._try, self.term)
        self._first_attempt = first_attempt(self.term)
        self._handlers = {
            Submit: self._submitted,
            LoadReport: self._reported,
            Ended: self.recovery.ended,
            Silent: self.recovery.silent,
            Drain: self.recovery.drain,
            Withdraw: self.recovery.withdrawn,
            Lost: self.recovery.lost,
            Doubt: self.recovery.doubted,
            Wreck: self.recovery.found,
            Fenced: self.recovery.retries.after,
        }
        if self.term:
            self._take_over()

    def _take_over(self) -> None:
        """Until every machine has answered or is dead, nothing is decided here."""
        from emu.control.takeover import Takeover

        usual = self._handlers

        def in_charge() -> None:
            self._handlers = usual

        takeover = self.recovery.takeover = Takeover(self.term, self.recovery, in_charge, self.handle)
        usual |= {Inventory: takeover.answered, Claimed: takeover.claimed}
        self._handlers = {
            **usual,
            **dict.fromkeys((Submit, Ended, Withdraw, Lost, Doubt), takeover.hold),
            Begin: takeover.begin,
            Silent: takeover.silent,
        }

    def handle(self, event: Event, now: int) -> tuple[Command, ...]:
        """What follows from `event`."""
        return self._handlers[type(event)](event, now)

    def can_wait(self, event: Event) -> bool:
        """Whether nothing follows from `event` before the next arrival, so that nobody need look at it until then."""
        return type(event) is Ended and not self.pools.away and not self.rules.queue_limit_requests

    def demand(self, submit: Submit) -> Demand:
        """What a request asks of a prefill and of a decode machine."""
        request, size = submit.request, self.rules.block_tokens
        joins_with = request.prompt_tokens + (request.max_tokens if self.rules.reserve_max_tokens else 1)
        return Demand(request.prompt_tokens, -(-request.prompt_tokens // size), -(-joins_with // size), submit.draw)

    def _submitted(self, submit: Submit, now: int) -> tuple[Command, ...]:
        request, demand = submit.request, self.demand(submit)
        if request.request_id in self.open:
            return ()  # its client asks again for what is under way
        if submit.attempt >= 0:
            return self.recovery.again(submit, now)
        if demand.decode_blocks > self._largest_pool:
            return (Reject(request, "prompt_too_long"),)
        if self.rules.queue_limit_requests and len(self.open) >= self.rules.queue_limit_requests:
            return (Reject(request, "queue_full"),)
        commands = self._place(submit, demand, self._first_attempt, now)
        if type(commands[0]) is Reject and self.recovery.strand(submit, now):
            return ()
        return commands

    def _try(self, submit: Submit, attempt: int, now: int) -> tuple[Command, ...]:
        """Another attempt; nothing where no machine is left for it now."""
        commands = self._place(submit, self.demand(submit), attempt, now)
        return () if type(commands[0]) is Reject else commands

    def _place(self, submit: Submit, demand: Demand, attempt: int, now: int) -> tuple[Command, ...]:
        """Choose an attempt's machines, or say why there are none."""
        request = submit.request
        placement = self.rules.policy.place(self.pools, demand)
        if placement is None:
            return (Reject(request, "no_machine"),)
        loads = self.pools.loads
        prefill, decode = loads[placement.prefill], loads[placement.decode]
        if demand.decode_blocks > decode.kv_blocks or demand.prefill_blocks > prefill.kv_blocks:
            return (Reject(request, "prompt_too_long"),)
        moves = tuple(self._move(loads[machine], Pool.MIXED, now) for machine in placement.borrowed)
        place = Place(
            request.request_id,
            attempt,
            prefill.machine,
            decode.machine,
            placement.step,
            prefill.pending_tokens,
            decode.free_blocks,
            request.resumed_tokens,
        )
        self.open[request.request_id] = Open(submit, attempt, prefill.machine, decode.machine, now)
        if prefill is decode:
            number = prefill.assign(request.prompt_tokens, 1, demand.decode_blocks)
            self.pools.changed(prefill)
            alone = Assign(request, attempt, number, prefill.machine, now, prefill.epoch)
            return *moves, place, Send(prefill.machine, alone)
        number = prefill.assign(request.prompt_tokens, 0, demand.prefill_blocks)
        self.pools.changed(prefill)
        assign = Send(prefill.machine, Assign(request, attempt, number, decode.machine, now, prefill.epoch))
        number = decode.assign(0, 1, demand.decode_blocks)
        self.pools.changed(decode)
        reserve = Reserve(request, attempt, number, prefill.machine, now, decode.epoch)
        return *moves, place, assign, Send(decode.machine, reserve)

    def _reported(self, report: LoadReport, now: int) -> tuple[Command, ...]:
        load = self.pools.loads[report.machine]
        if report.epoch != load.epoch:
            return self.recovery.reported(load, report, now)
        load.report(report)
        self.pools.changed(load)
        if load.pool is load.home:
            return ()
        return self._come_home(load, now)

    def _come_home(self, load: Load, now: int) -> tuple[Command, ...]:
        """Home when no work of the other kind is left; another home after too long away."""
        moves: tuple[Command, ...] = ()
        other = Pool.DECODE if load.home is Pool.PREFILL else Pool.PREFILL
        if now - load.crossed_ps >= self.rules.repurpose_after_ps and self.pools.rehome(load, other, now):
            moves = (MoveMachine(load.machine, load.pool.value, load.home.value),)
        foreign = load.sequences if load.home is Pool.PREFILL else load.pending_tokens
        if self.rules.go_home_idle:
            foreign = load.sequences + load.pending_tokens
        return moves if foreign else (*moves, self._move(load, load.home, now))

    def _move(self, load: Load, pool: Pool, now: int) -> MoveMachine:
        self.pools.move(load, pool, now)
        return MoveMachine(load.machine, pool.value, load.home.value)
