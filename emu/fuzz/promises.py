"""Promises: what docs/design.md says of decisions, held against each decision that a record tells of.

Laws judge what happened to requests, blocks and bytes; a promise is about what was decided: who is lent blocks, which
pool a machine is taken from, when it goes home, what may still run of an attempt that was given up. Nothing of
production is called; what a promise needs to know is counted here, from the entries alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from attrs import define, field

from emu.cluster import Cluster, to_ps
from emu.fuzz.beliefs import Beliefs
from emu.fuzz.given_up import GivenUp
from emu.fuzz.held import Held
from emu.fuzz.judge import Judged
from emu.record import entries as e

_PREFILL, _DECODE, _MIXED = (int(code) for code in e.PoolCode)
_OF_POOLS: Final = {"prefill": _PREFILL, "decode": _DECODE, "mixed": _MIXED}


def broken_promises(cluster: Cluster, run: Judged) -> Iterator[str]:
    """Every promise that was not kept, a sentence each."""
    yield from Promises(cluster, run).read()
    yield from Beliefs(cluster, run).read()
    yield from GivenUp(cluster, run).read()
    yield from Held(cluster, run).read()


@define(eq=False)
class _Machine:
    pool: int
    home: int
    granted: dict[int, int] = field(factory=dict)  # request -> blocks lent for a cache that is still to come
    prompts: dict[int, None] = field(factory=dict)  # that wait here
    preempted: dict[int, None] = field(factory=dict)
    to_prefill: dict[int, None] = field(factory=dict)  # assigned here, and not prefilled
    to_decode: dict[int, None] = field(factory=dict)  # assigned here, and not over
    prefilling: tuple[int, ...] = ()
    reserved: dict[int, None] = field(factory=dict)  # caches that are to come, until it is said that they will not
    idle_ps: int = 0  # since when there is nothing of the other kind than its home's to do here
    sitting_out: dict[int, None] = field(factory=dict)  # left a batch with prompts, and neither ended nor gave way
    decoding: dict[int, None] = field(factory=dict)


@define(eq=False)
class Promises:
    """What a run that no fault has struck promises: lending, choices of machines, and where machines are at home."""

    cluster: Cluster
    run: Judged
    machines: list[_Machine] = field(init=False)
    arrived: dict[int, e.Arrived] = field(init=False, factory=dict)
    targets: dict[int, int] = field(init=False, factory=dict)  # request -> where it will decode
    borrowed: set[int] = field(init=False, factory=set)  # machines that moved since the last request got its own
    looks_ps: deque[int] = field(init=False, factory=deque)  # when the router will have looked who may go home
    news_ps: int = field(init=False)  # that a report takes
    latency_ps: int = field(init=False)
    _read: dict[type, Callable[[Any], Iterator[str] | None]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        codes = [_OF_POOLS[machine.group.pool] for machine in self.cluster.machines]
        self.machines = [_Machine(code, code) for code in codes]
        scenario = self.cluster.scenario
        self.latency_ps = to_ps(scenario.network.control_latency_s)
        self.news_ps = to_ps(scenario.router.report_every_s) + self.latency_ps
        self._read = {
            e.Arrived: lambda entry: self.arrived.update({entry.request: entry}),
            e.Assigned: self._assigned,
            e.MachineMoved: self._moved,
            e.Queued: lambda entry: self.machines[entry.machine].prompts.update({entry.request: None}),
            e.Reserved: self._reserved,
            e.ReserveQueued: lambda entry: self.machines[entry.machine].reserved.update({entry.request: None}),
            e.Committed: lambda entry: self._arrives(entry.at_ps, entry.machine, entry.request),
            e.Released: lambda entry: self._arrives(entry.at_ps, entry.machine, entry.request),
            e.StepStarted: self._started,
            e.StepFinished: self._finished,
            e.Preempted: self._preempted,
            e.RequestEnded: self._ended,
        }

    def read(self) -> Iterator[str]:
        """Up to the first fault, or attempt that was lost: what holds from there on is another's."""
        for entry in self.run.entries:
            if isinstance(entry, e.FaultStruck | e.AttemptLost | e.MachineDead):
                return
            while self.looks_ps and self.looks_ps[0] < entry.at_ps:
                yield from self._should_be_home(self.looks_ps.popleft())
            reader = self._read.get(type(entry))
            if reader is not None:
                yield from reader(entry) or ()

    def name(self, machine: int) -> str:
        return self.run.started.machines[machine].name

    def _wanted(self, machine: int, request: int) -> int:
        """Blocks with which a prompt starts there."""
        stays = self.targets[request] == machine
        return self._to_decode(request) if stays else self._blocks(self.arrived[request].prompt_tokens)

    def _to_decode(self, request: int) -> int:
        asked = self.arrived[request]
        whole = self.cluster.scenario.scheduler.reserve == "max_tokens"
        return self._blocks(asked.prompt_tokens + (asked.max_tokens if whole else 1))

    def _blocks(self, tokens: int) -> int:
        return -(-tokens // self.cluster.scenario.scheduler.block_tokens)

    def _assigned(self, entry: e.Assigned) -> Iterator[str]:
        """The step says from which pools; and what is chosen has room, as far as the router believes."""
        router, request = self.cluster.scenario.router, entry.request
        prefill, decode = self.machines[entry.prefill_machine], self.machines[entry.decode_machine]
        if router.policy == "splitwise" and entry.step <= 3:
            allowed = (_MIXED,) if entry.step > 1 else ()
            for machine, index, own in (
                (prefill, entry.prefill_machine, _PREFILL),
                (decode, entry.decode_machine, _DECODE),
            ):
                if machine.pool not in (own, *allowed):
                    pool = e.PoolCode(machine.pool).name.lower()
                    yield f"request {request} was sent by step {entry.step} to {self.name(index)}, a {pool} machine"
            if entry.believed_free_blocks < self._to_decode(request):
                has = f"with {entry.believed_free_blocks} blocks free, as the router believed"
                yield f"request {request} will decode on {self.name(entry.decode_machine)} {has}"
            elif entry.prefill_machine in self.borrowed and prefill.home == _DECODE and prefill is not decode:
                yield from self._borrowed(entry, prefill)
        self.borrowed.clear()
        self.targets[request] = entry.decode_machine
        prefill.to_prefill[request] = decode.to_decode[request] = None

    def _borrowed(self, entry: e.Assigned, machine: _Machine) -> Iterator[str]:
        """Blocks of sequences that decode there, or whose caches come from elsewhere, are in every report."""
        held = sum(
            self._to_decode(other)
            for other in machine.to_decode
            if other not in machine.preempted and other not in machine.to_prefill
        )
        has = self.cluster.machines[entry.prefill_machine].kv_blocks
        wants = self._blocks(self.arrived[entry.request].prompt_tokens)
        if held + wants > has:
            what = f"for its {wants} blocks, and {held} of {has} are others'"
            yield f"{self.name(entry.prefill_machine)} was borrowed for request {entry.request}, {what}"

    def _moved(self, entry: e.MachineMoved) -> Iterator[str]:
        machine = self.machines[entry.machine]
        if entry.home != machine.home:
            others = [other for other in self.machines if other is not machine and other.home == machine.home]
            if not others:
                yield f"{self.name(entry.machine)} changed its home, the last machine of its pool"
            machine.home = entry.home
        if entry.pool == entry.home and machine.pool != entry.home and (foreign := self._foreign(machine)):
            yield f"{self.name(entry.machine)} went home with request {next(iter(foreign))} still to serve"
        machine.pool, machine.idle_ps = entry.pool, entry.at_ps
        self.borrowed.add(entry.machine)

    def _foreign(self, machine: _Machine) -> dict[int, None]:
        """Requests for which a machine is not at home."""
        if self.cluster.scenario.router.go_home == "idle":
            return machine.to_decode | machine.to_prefill
        return machine.to_decode if machine.home == _PREFILL else machine.to_prefill

    def _should_be_home(self, looked_ps: int) -> Iterator[str]:
        """The router hears of each request that is over, and looks at the reports that have come by then."""
        for index, machine in enumerate(self.machines):
            free = machine.pool != machine.home and not self._foreign(machine) and not machine.reserved
            if free and machine.idle_ps + self.news_ps < looked_ps:
                since = f"it has had nothing else to do since {machine.idle_ps / 10**12:g} s"
                yield f"{self.name(index)} is not at home at {looked_ps / 10**12:g} s, though {since}"

    def _reserved(self, entry: e.Reserved) -> Iterator[str]:
        """Who is lent blocks for a cache that is to come, held against who waits for blocks there."""
        machine, capacity = self.machines[entry.machine], self.cluster.machines[entry.machine].kv_blocks
        if self.cluster.scenario.transfer.direction == "put":
            promised = sum(machine.granted.values())
            whom = f"{self.name(entry.machine)} lent {entry.blocks} blocks to request {entry.request}"
            if promised and 2 * (promised + entry.blocks) > capacity:
                yield f"{whom} beside {promised} for caches still to come, more than half of its {capacity}"
            own = max((self._wanted(entry.machine, prompt) for prompt in machine.prompts), default=0)
            usable = capacity - int(capacity * self.cluster.scenario.scheduler.watermark)
            if own and promised + entry.blocks + own > usable:
                yield f"{whom} beside {promised}, of {usable}, and a prompt that waits there wants {own}"
            if machine.preempted:
                yield f"{whom} while request {next(iter(machine.preempted))} waits for those that it gave back"
        machine.granted[entry.request] = entry.blocks
        machine.reserved[entry.request] = None

    def _arrives(self, at_ps: int, index: int, request: int) -> None:
        """A cache, or the word that it will not come."""
        machine = self.machines[index]
        machine.granted.pop(request, None)
        if request in machine.reserved:
            del machine.reserved[request]
            machine.idle_ps = at_ps

    def _started(self, entry: e.StepStarted) -> Iterator[str]:
        machine = self.machines[entry.machine]
        machine.prefilling = tuple(piece.request for piece in entry.prefills)
        for request in machine.prefilling:
            machine.prompts.pop(request, None)
            machine.preempted.pop(request, None)
        for request in entry.joined:
            machine.decoding[request] = None
        late = [request for request in machine.sitting_out if request not in machine.decoding]
        before = [request for request in entry.joined if request not in machine.sitting_out]
        if late and before and not entry.prefills:
            yield f"request {late[0]} had sat out on {self.name(entry.machine)}, and request {before[0]} joined first"
        if not entry.prefills:
            machine.sitting_out.clear()
        for request in entry.left:
            if machine.decoding.pop(request, 0) is None and entry.prefills:
                machine.sitting_out[request] = None

    def _finished(self, entry: e.StepFinished) -> None:
        machine = self.machines[entry.machine]
        for request in machine.prefilling:
            machine.to_prefill.pop(request, None)
            machine.idle_ps = entry.at_ps
        machine.prefilling = ()

    def _preempted(self, entry: e.Preempted) -> None:
        machine = self.machines[entry.machine]
        machine.decoding.pop(entry.request, None)
        machine.sitting_out.pop(entry.request, None)
        machine.preempted[entry.request] = None

    def _ended(self, entry: e.RequestEnded) -> None:
        self.targets.pop(entry.request, None)
        if entry.machine >= 0:
            self.looks_ps.append(entry.at_ps + self.latency_ps)
        for machine in self.machines:
            if entry.request in machine.to_decode or entry.request in machine.to_prefill:
                machine.idle_ps = entry.at_ps
            for held in (machine.granted, machine.prompts, machine.preempted, machine.to_prefill, machine.to_decode):
                held.pop(entry.request, None)
            machine.decoding.pop(entry.request, None)
            machine.sitting_out.pop(entry.request, None)
