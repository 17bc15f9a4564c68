"""Accounts: what a machine says of itself, held against what the record says of it, while a run goes on.

No entry tells what a load report says, and a router that believes a wrong one wastes time and breaks nothing. So at
each step that starts a machine is asked, as the router would ask it, and its answer is compared with a count of
entries. And when all is over, what cores keep count of beside what they hold has to come to nothing. Only what no fault
has struck is judged here, and only caches that are put: the record does not say when a reader's reservation came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import define, field

from emu.control.machine import Machine
from emu.control.messages import LoadReport
from emu.control.router import Router
from emu.record import entries as e

REPORTS: Final = "reports-true"
RESTS: Final = "rest-is-empty"
STATEMENTS: Final = {
    REPORTS: "A load report counts what the record says is there.",
    RESTS: "When all is over, what is counted beside what is held comes to nothing.",
}


@define(eq=False)
class _Here:
    """What a machine has, by the record."""

    prompts: dict[int, int] = field(factory=dict)  # request -> prompt tokens, not prefilled yet
    sequences: dict[int, None] = field(factory=dict)  # that decode here, or will
    outgoing: dict[int, None] = field(factory=dict)  # whose caches leave, or will
    prefilling: tuple[int, ...] = ()


@define(eq=False)
class Accounts:
    """A fold. `ask` gives the load report that a machine would send now; `broken` is what was found: when, and what."""

    machines: int
    puts: bool
    handlers: Mapping[type, Callable[[Any], None]] = field(init=False)
    ask: Callable[[int], LoadReport] = field(init=False)
    broken: list[tuple[int, str]] = field(init=False, factory=list)
    undisturbed: bool = field(init=False, default=True)
    _here: list[_Here] = field(init=False)
    _prompts: dict[int, int] = field(init=False, factory=dict)
    _targets: dict[int, int] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self._here = [_Here() for _ in range(self.machines)]
        self.handlers = dict.fromkeys((e.FaultStruck, e.AttemptLost, e.AttemptEnded, e.MachineDead), self._disturbed)
        if not self.puts:
            return
        self.handlers = {
            **self.handlers,
            e.Arrived: lambda entry: self._prompts.update({entry.request: entry.prompt_tokens}),
            e.Assigned: lambda entry: self._targets.update({entry.request: entry.decode_machine}),
            e.Queued: self._queued,
            e.ReserveQueued: self._reserved,
            e.Reserved: self._reserved,
            e.StepStarted: self._started,
            e.StepFinished: self._finished,
            e.Released: self._released,
            e.RequestEnded: self._ended,
        }

    def _disturbed(self, _: object) -> None:
        self.undisturbed = False

    def _queued(self, entry: e.Queued) -> None:
        here, request = self._here[entry.machine], entry.request
        here.prompts[request] = self._prompts[request]
        (here.sequences if self._targets[request] == entry.machine else here.outgoing)[request] = None

    def _reserved(self, entry: e.ReserveQueued | e.Reserved) -> None:
        self._here[entry.machine].sequences[entry.request] = None

    def _finished(self, entry: e.StepFinished) -> None:
        here = self._here[entry.machine]
        for request in here.prefilling:
            here.prompts.pop(request, None)
        here.prefilling = ()

    def _released(self, entry: e.Released) -> None:
        here = self._here[entry.machine]
        here.outgoing.pop(entry.request, None)
        if self._targets.get(entry.request) == entry.machine:
            here.sequences.pop(entry.request, None)

    def _ended(self, entry: e.RequestEnded) -> None:
        if entry.machine < 0:
            return
        here = self._here[entry.machine]
        here.prompts.pop(entry.request, None)
        here.sequences.pop(entry.request, None)
        if entry.status == e.Status.REJECTED:  # there was never a transfer
            here.outgoing.pop(entry.request, None)

    def _started(self, entry: e.StepStarted) -> None:
        here = self._here[entry.machine]
        here.prefilling = tuple(piece.request for piece in entry.prefills)
        if not self.undisturbed:
            return
        report = self.ask(entry.machine)
        said = (report.queued_prompt_tokens, report.sequences, report.outgoing)
        has = (sum(here.prompts.values()), len(here.sequences), len(here.outgoing))
        if said != has:
            what = f"says it has {said[0]} prompt tokens, {said[1]} sequences and {said[2]} caches that leave"
            self.broken.append((entry.at_ps, f"machine {entry.machine} {what}; it has {has[0]}, {has[1]} and {has[2]}"))

    def at_rest(self, machines: list[Machine], router: Router) -> Iterator[str]:
        """What is left over in the cores of a run that is over."""
        if not self.undisturbed:
            return
        for core in machines:
            prefills, decoder, sender = core.scheduler.prefills, core.scheduler.decoder, core.sender
            left = {
                "prompts that stay": core.staying,
                "queued prompt tokens": prefills.queued_tokens,
                "tokens of context": decoder.context_tokens,
                "queued blocks": core.receiver.queued_blocks,
                "granted blocks": core.receiver.granted_blocks,
                "leases": len(sender.leases) - len(sender.early),  # a grant that came too late is kept for one
                "granted leases": len(core.receiver.leases) + len(core.receiver.fenced),
            }
            for what, count in left.items():
                if count:
                    yield f"machine {core.rules.index} counts {count} {what} when all is over"
        away = sum(load.pool is not load.home for load in router.pools.loads)
        if router.pools.away != away:
            yield f"the router counts {router.pools.away} machines away from home when all is over, and {away} are"
