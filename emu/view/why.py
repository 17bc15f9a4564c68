"""Why: what a request or a machine waits for, followed link by link to its root, in words.

A link says what is waited for and by whom it is held; the chain ends where something moves (a batch that runs, a put
in flight, a message on its way), where something is broken (a machine or a link that is down), or in itself: a
circle, which is a deadlock. It reads one ClusterView and knows no future.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import frozen

from emu.view.cluster import ClusterView, LoanView, MachineView, RequestView, TransferView, seconds
from emu.view.leases import lease_of, lease_words
from emu.view.rows import NEVER, Hold, Phase
from emu.view.words import megabytes

DEEPEST: Final = 32  # links


@frozen
class Link:
    """One link of a chain: a sentence, and the requests and machines that it names."""

    words: str
    request: int = NEVER
    machine: int = NEVER


@frozen
class Chain:
    """From what was asked about to the root. `deadlock` where the last link leads back to an earlier one."""

    links: tuple[Link, ...]
    deadlock: bool = False

    def text(self) -> str:
        """One line a link, each indented behind the one that it explains."""
        lines = ["  " * depth + ("" if not depth else "\u2514 ") + link.words for depth, link in enumerate(self.links)]
        if self.deadlock:
            lines.append("DEADLOCK: the chain leads back to itself, and nothing in it can move")
        return "\n".join(lines)


def why_request(view: ClusterView, request: int) -> Chain:
    """Why request `request` is where it is. Raises KeyError where it is not open."""
    return _Inquiry(view).request(view.requests[request])


def why_machine(view: ClusterView, machine: int) -> Chain:
    """Why a machine does what it does, or nothing."""
    return _Inquiry(view).machine(view.machines[machine])


def waits_for(view: ClusterView, request: int) -> str:
    """The first link alone, for a list. Raises KeyError where the request is not open."""
    return why_request(view, request).links[0].words


def leads_to(view: ClusterView, request: int, wanted: set[int]) -> bool:
    """Whether a request waits, over blocks that others hold, for one of `wanted`; or is one."""
    seen: set[int] = set()
    open_ends = [request]
    while open_ends:
        now = open_ends.pop()
        if now in wanted:
            return True
        row = view.requests.get(now)
        if row is not None and now not in seen:
            seen.add(now)
            open_ends += _blocked_by(view, row)
    return False


def _blocked_by(view: ClusterView, row: RequestView) -> list[int]:
    """Whose blocks a request waits for, where nothing runs that may give some back."""
    if row.phase is Phase.HANDING_OVER and row.asked_ps != NEVER:
        machine = view.machines[row.decode_machine]
    elif row.phase in (Phase.QUEUED, Phase.PREEMPTED):
        machine = view.machines[row.machine]
        if machine.queue and machine.queue[0] != row.key:
            return [] if machine.busy else [machine.queue[0][0]]
    else:
        return []
    return [] if machine.busy else [loan.request for loan in machine.loans if not loan.orphan]


class _Inquiry:
    """One chain under way: who was asked about already, and what was found."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view
        self._links: list[Link] = []
        self._asked: set[tuple[int, int]] = set()
        self._deadlock = False
        self._alive = False  # a machine whose blocks are waited for runs a batch that may give some back

    def request(self, row: RequestView) -> Chain:
        self._follow(row)
        return Chain(tuple(self._links), self._deadlock)

    def machine(self, machine: MachineView) -> Chain:
        self._stop_at(machine)
        return Chain(tuple(self._links), self._deadlock)

    def _say(self, words: str, row: RequestView | None = None, machine: int = NEVER) -> None:
        self._links.append(Link(words, NEVER if row is None else row.request, machine))

    def _age(self, since_ps: int) -> str:
        return seconds(self._view.at_ps - since_ps)

    def _follow(self, row: RequestView) -> None:
        if (row.request, row.phase) in self._asked:
            self._deadlock = not self._alive
            if self._alive:
                self._say(f"that is r{row.request} again: a circle that only a batch that runs can open", row)
            return
        if len(self._links) >= DEEPEST:
            return
        self._asked.add((row.request, row.phase))
        {
            Phase.ARRIVED: self._at_router,
            Phase.ASSIGNED: self._assigned,
            Phase.QUEUED: self._queued,
            Phase.PREFILLING: self._computes,
            Phase.HANDING_OVER: self._handing_over,
            Phase.READY: self._ready,
            Phase.DECODING: self._computes,
            Phase.PREEMPTED: self._queued,
        }[row.phase](row)

    def _at_router(self, row: RequestView) -> None:
        if self._view.router_gone_ps != NEVER:
            self._say(f"r{row.request} is with the router for {self._age(row.since_ps)}", row)
            self._say(f"the router is gone for {self._age(self._view.router_gone_ps)}")
            return
        if row.lost:
            self._say(
                f"r{row.request} lost attempt {row.attempt} {self._age(row.since_ps)} ago; the router has not given it "
                "another yet",
                row,
            )
            return
        self._say(f"r{row.request} is with the router for {self._age(row.since_ps)} and has no machines yet", row)

    def _assigned(self, row: RequestView) -> None:
        name = self._view.machine_name(row.prefill_machine)
        self._say(
            f"r{row.request} was assigned to {name} {self._age(row.since_ps)} ago; {name} has not taken it yet",
            row,
            row.prefill_machine,
        )
        self._if_broken(self._view.machines[row.prefill_machine])

    def _computes(self, row: RequestView) -> None:
        machine = self._view.machines[row.machine]
        what = "is prefilled" if row.phase is Phase.PREFILLING else f"decodes, {row.delivered} tokens delivered,"
        self._say(f"r{row.request} {what} on {machine.name} for {self._age(row.since_ps)}", row, machine.number)
        self._stop_at(machine)

    def _queued(self, row: RequestView) -> None:
        machine = self._view.machines[row.machine]
        again = "to be computed again" if row.phase is Phase.PREEMPTED else "for its prefill"
        place = machine.queue.index(row.key) + 1 if row.key in machine.queue else 0
        ahead = f", {place} of {len(machine.queue)} in the queue" if place else ""
        self._say(
            f"r{row.request} waits on {machine.name} {again} for {self._age(row.since_ps)}{ahead}", row, machine.number
        )
        if self._if_broken(machine):
            return
        if place > 1:
            head = self._view.requests.get(machine.queue[0][0])
            if head is not None and not machine.busy:
                self._follow(head)
                return
        if machine.busy and (machine.prefills or place > 1):
            self._stop_at(machine)
            return
        needs = -(-(row.prompt_tokens + row.delivered) // self._view.block_tokens)
        if machine.memory.free < needs + machine.memory.total // 100 and machine.memory.free < machine.memory.total:
            self._out_of_blocks(machine, needs)
        else:
            self._stop_at(machine)

    def _handing_over(self, row: RequestView) -> None:
        view = self._view
        source, target = view.machines[row.prefill_machine], view.machines[row.decode_machine]
        transfer = view.transfer_of(*row.key)
        if row.asked_ps != NEVER:
            place = target.reservations.index(row.key) + 1 if row.key in target.reservations else 0
            self._say(
                f"r{row.request} waits for {row.wants_blocks} blocks on {target.name} for {self._age(row.asked_ps)}, "
                f"reservation {place} of {len(target.reservations)}",
                row,
                target.number,
            )
            if not self._if_broken(target):
                self._out_of_blocks(target, row.wants_blocks)
        elif row.granted_ps == NEVER:
            self._say(
                f"r{row.request} is computed on {source.name} for {self._age(row.since_ps)} and has no grant from "
                f"{target.name} yet",
                row,
                target.number,
            )
            self._if_broken(target)
        elif transfer is None:
            self._say(f"r{row.request} has its grant, and {source.name} has put nothing yet", row, source.number)
            self._if_broken(source)
        else:
            self._moving(row, transfer)

    def _moving(self, row: RequestView, transfer: TransferView) -> None:
        view = self._view
        source, target = view.machines[transfer.source], view.machines[transfer.target]
        if transfer.landed_bytes < transfer.posted_bytes:
            beside = sum(1 for other in view.transfers if other.source == source.number and other is not transfer)
            shares = f"; {source.name}'s card carries {beside} more" if beside else ""
            self._say(
                f"r{row.request}'s put from {source.name} to {target.name} is posted for "
                f"{self._age(transfer.started_ps)}: {megabytes(transfer.landed_bytes)} of "
                f"{megabytes(transfer.posted_bytes)} landed{shares}",
                row,
                source.number,
            )
            self._if_broken_between(source, target)
            return
        self._say(
            f"r{row.request}'s cache landed on {target.name} {self._age(transfer.landed_ps)} ago; "
            f"{target.name} has not seen the signal, which it reads between steps",
            row,
            target.number,
        )
        if not self._if_broken_between(source, target):
            self._stop_at(target)

    def _ready(self, row: RequestView) -> None:
        machine = self._view.machines[row.machine]
        self._say(
            f"r{row.request} is ready on {machine.name} for {self._age(row.since_ps)} and sits in no batch",
            row,
            machine.number,
        )
        self._stop_at(machine)

    def _out_of_blocks(self, machine: MachineView, wanted: int) -> None:
        """Who has the blocks: first whoever waits himself, the longest first; else the batch that runs."""
        memory = machine.memory
        self._say(
            f"{machine.name} has {memory.free:,} of {memory.total:,} blocks free; {memory.running:,} run, "
            f"{memory.reserved:,} are reserved, {memory.held:,} held, {memory.orphan:,} orphaned",
            None,
            machine.number,
        )
        runs = machine.busy and machine.sequences > 0
        self._alive = self._alive or runs
        out = memory.reserved + memory.held + memory.orphan
        if machine.loans and not (runs and memory.running > out) and wanted:
            self._held(machine, self._blocker(machine))
        else:
            self._stop_at(machine)

    def _blocker(self, machine: MachineView) -> LoanView:
        """Of those who have the blocks: an orphan, whoever waits for what was asked about, or else the longest."""
        asked = {request for request, _ in self._asked}
        held = sorted(machine.loans, key=lambda loan: (not loan.orphan, loan.since_ps, loan.request))
        if held[0].orphan:
            return held[0]
        return next((loan for loan in held if leads_to(self._view, loan.request, asked)), held[0])

    def _held(self, machine: MachineView, loan: LoanView) -> None:
        owner = self._view.requests.get(loan.request)
        what = "reserved for" if loan.side is Hold.TARGET else "held for"
        name = f"r{loan.request}"
        if owner is None or loan.orphan:
            self._say(
                f"{loan.blocks} of them are orphans: {what} {name}, whose attempt {loan.attempt} is over",
                None,
                machine.number,
            )
            return
        lease = lease_of(self._view, machine, loan)
        ends = f"; {lease_words(self._view, lease)}" if lease is not None and lease.silent else ""
        self._say(
            f"{loan.blocks} of them are {what} {name} for {self._age(loan.since_ps)}{ends}", owner, machine.number
        )
        self._follow(owner)

    def _if_broken(self, machine: MachineView) -> bool:
        """Say what is wrong with a machine, if something is."""
        if machine.down_ps != NEVER:
            word = "away" if machine.away else "down"
            self._say(f"{machine.name} is {word} for {self._age(machine.down_ps)}", None, machine.number)
            return True
        return self._faults({machine.number})

    def _if_broken_between(self, source: MachineView, target: MachineView) -> bool:
        if self._faults({source.number, target.number}):
            return True
        return self._if_broken(source) or self._if_broken(target)

    def _faults(self, machines: set[int]) -> bool:
        for fault in self._view.faults:
            if set(fault.machines) == machines:
                self._say(f"{fault.words}, since {seconds(fault.at_ps)}", None, fault.machines[0])
                return True
        return False

    def _stop_at(self, machine: MachineView) -> None:
        """The root: what a machine does."""
        if self._if_broken(machine):
            return
        age = self._age(machine.since_ps)
        if not machine.busy:
            self._say(f"{machine.name} is idle for {age}", None, machine.number)
            return
        parts = []
        if machine.prefills:
            tokens = sum(piece.tokens for piece in machine.prefills)
            parts.append(f"prefills {_names(piece.request for piece in machine.prefills)} ({tokens:,} tokens)")
        if machine.sequences:
            parts.append(f"decodes {machine.sequences} sequence{'s' if machine.sequences > 1 else ''}")
        self._say(f"{machine.name} {' and '.join(parts)}, a batch that runs for {age}", None, machine.number)


def _names(requests: Iterable[int]) -> str:
    named = [f"r{request}" for request in requests]
    return ", ".join(named[:4]) + (f" and {len(named) - 4} more" if len(named) > 4 else "")
