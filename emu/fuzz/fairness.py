"""Fairness: who goes before whom, where a scheduler says that it looks. A second part of regret, read from the record.

What is held against a run is what production's own scheduler and router promise: queues that are looked at, turns that
are kept, batches that are filled, the latest arrival that gives way. With policies of one's own nothing is promised.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import define, field

from emu.cluster import Cluster, to_ps
from emu.fuzz.judge import Judged
from emu.record import entries as e

LOOKS_AT_QUEUES: Final = ("splitwise", "token-jsq", "jsq")
_SLOW_COMMIT_PS: Final = 3 * 10**12


@define(eq=False)
class _Machine:
    """What is known of one machine: prompts in line, sequences that decode, and since when it has had nothing."""

    prompts: dict[int, None] = field(factory=dict)  # assigned or queued, and not prefilled
    line: list[int] = field(factory=list)  # queued, in their order
    preempted: list[int] = field(factory=list)
    decoding: dict[int, None] = field(factory=dict)
    sequences: dict[int, None] = field(factory=dict)  # assigned for decoding here, and not over
    no_prompts_since_ps: int = 0
    no_sequences_since_ps: int = 0
    prefilling: list[int] = field(factory=list)
    given: int = 0


@define(eq=False)
class Fairness:
    """One run, read once from its first entry to its last."""

    cluster: Cluster
    run: Judged
    news_ps: int = field(init=False)
    split: bool = field(init=False)
    machines: list[_Machine] = field(init=False)
    serves: list[str] = field(init=False)
    arrived: dict[int, e.Arrived] = field(init=False, factory=dict)
    preemptions: dict[int, int] = field(init=False, factory=dict)
    landed_ps: dict[int, int] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        scenario = self.cluster.scenario
        self.news_ps = to_ps(scenario.router.report_every_s) + 4 * to_ps(scenario.network.control_latency_s)
        self.split = {machine.group.pool for machine in self.cluster.machines} == {"prefill", "decode"}
        self.machines = [_Machine() for _ in self.cluster.machines]
        self.serves = [machine.group.pool for machine in self.cluster.machines]

    def read(self, ample: bool) -> Iterator[str]:
        """Everything unfair; what only shows where memory is ample is left out where it is not."""
        scenario = self.cluster.scenario
        own = scenario.scheduler.policy is not None
        for entry in self.run.entries:
            if isinstance(entry, e.Assigned):
                yield from self._in_turn(entry)
                if ample:
                    yield from self._assigned(entry)
                self._assign(entry)
            elif isinstance(entry, e.StepStarted):
                if not own:
                    yield from self._batch(entry)
                self._start(entry)
            elif isinstance(entry, e.Preempted):
                if not own:
                    yield from self._gave_way(entry)
                self._preempt(entry)
            elif isinstance(entry, e.Committed):
                yield from self._committed(entry)
            else:
                self._follow(entry)

    def name(self, machine: int) -> str:
        return self.run.started.machines[machine].name

    def _pool(self, pool: str) -> list[int]:
        return [index for index, serves in enumerate(self.serves) if serves == pool]

    def _assigned(self, entry: e.Assigned) -> Iterator[str]:
        """A choice of machines, held against what the others had to do."""
        router = self.cluster.scenario.router
        if not self.split:
            return
        prefills, decodes = self._pool("prefill"), self._pool("decode")
        if router.policy not in LOOKS_AT_QUEUES:
            return
        idle = [index for index in prefills if self._idle(entry.at_ps, index, prompts=True)]
        chosen = self.machines[entry.prefill_machine]
        if idle and entry.prefill_machine not in idle and (chosen.prompts or entry.prefill_machine not in prefills):
            has = f"{self.name(entry.prefill_machine)}, which has {len(chosen.prompts)} prompts"
            yield f"request {entry.request} was sent to {has}, and {self.name(idle[0])} has none"
        idle = [index for index in decodes if self._idle(entry.at_ps, index, prompts=False)]
        chosen = self.machines[entry.decode_machine]
        if idle and entry.decode_machine not in idle and len(chosen.sequences) > 1:
            yield (
                f"request {entry.request} will decode on {self.name(entry.decode_machine)}, which has "
                f"{len(chosen.sequences)} sequences, and {self.name(idle[0])} has none"
            )

    def _in_turn(self, entry: e.Assigned) -> Iterator[str]:
        """In turn, each of a pool goes once before any goes twice, whatever it has to do."""
        alike = len({machine.group.pool for machine in self.cluster.machines}) == 1
        if self.cluster.scenario.router.policy != "round-robin" or not (self.split or alike):
            return
        turns = self._pool("prefill") if self.split else range(len(self.machines))
        if self.machines[entry.prefill_machine].given > min(self.machines[index].given for index in turns):
            yield f"request {entry.request} was sent to {self.name(entry.prefill_machine)} out of turn"

    def _idle(self, at_ps: int, index: int, *, prompts: bool) -> bool:
        """Whether the router must know that this machine has nothing to do."""
        machine = self.machines[index]
        has, since_ps = machine.sequences, machine.no_sequences_since_ps
        if prompts:
            has, since_ps = machine.prompts, machine.no_prompts_since_ps
        return not has and (not since_ps or at_ps - since_ps > self.news_ps)

    def _batch(self, entry: e.StepStarted) -> Iterator[str]:
        """A batch of prompts, held against who was left in line."""
        if not entry.prefills:
            return
        limits, machine = self.cluster.scenario.scheduler, self.machines[entry.machine]
        again = [piece.request for piece in entry.prefills if piece.kind]
        for request in again:
            before = [other for other in machine.preempted if other not in again and self._earlier(other, request)]
            if before:
                yield f"request {request} was computed again on {self.name(entry.machine)} before request {before[0]}"
        taken = {piece.request for piece in entry.prefills}
        left = [request for request in machine.line if request not in taken]
        if not left or machine.preempted or entry.sequences or len(taken) != len(entry.prefills):
            return
        tokens = sum(piece.tokens for piece in entry.prefills) + self.arrived[left[0]].prompt_tokens
        block_tokens = limits.block_tokens
        wanted = -(-(self.arrived[left[0]].prompt_tokens + self.arrived[left[0]].max_tokens) // block_tokens)
        room = entry.free_blocks - int(self.cluster.machines[entry.machine].kv_blocks * limits.watermark)
        if tokens <= limits.prefill_batch_tokens and wanted + 1 <= room:
            yield f"request {left[0]} fits beside the prompts that {self.name(entry.machine)} computes, and waits"

    def _gave_way(self, entry: e.Preempted) -> Iterator[str]:
        """Who gives its blocks back is the latest arrival, of those that have not done so too often."""
        most = self.cluster.scenario.scheduler.max_preemptions
        if self.preemptions.get(entry.request, 0) >= most:
            return
        for other in self.machines[entry.machine].decoding:
            if self.preemptions.get(other, 0) < most and self._earlier(entry.request, other):
                way = f"gave way on {self.name(entry.machine)}"
                yield f"request {entry.request} {way} to request {other}, which came later"
                return

    def _committed(self, entry: e.Committed) -> Iterator[str]:
        """A cache that is there is used soon, where nothing but a heartbeat would tell of it otherwise."""
        landed_ps = self.landed_ps.pop(entry.request, entry.at_ps)
        heartbeat_ps = to_ps(self.cluster.scenario.transfer.heartbeat_s)
        if entry.at_ps - landed_ps > _SLOW_COMMIT_PS and heartbeat_ps > _SLOW_COMMIT_PS:
            took_ps = entry.at_ps - landed_ps
            yield f"the cache of request {entry.request} was used {took_ps / 1e12:.3f} s after it had landed"

    def _earlier(self, one: int, other: int) -> bool:
        return (self.arrived[one].at_ps, one) < (self.arrived[other].at_ps, other)

    def _assign(self, entry: e.Assigned) -> None:
        prefill, decode = self.machines[entry.prefill_machine], self.machines[entry.decode_machine]
        prefill.prompts[entry.request] = None
        decode.sequences[entry.request] = None
        prefill.given += 1

    def _start(self, entry: e.StepStarted) -> None:
        machine = self.machines[entry.machine]
        machine.prefilling = [piece.request for piece in entry.prefills]
        for request in machine.prefilling:
            for line in (machine.line, machine.preempted):
                if request in line:
                    line.remove(request)
        for request in entry.left:
            machine.decoding.pop(request, None)
        machine.decoding |= dict.fromkeys(entry.joined)

    def _preempt(self, entry: e.Preempted) -> None:
        machine = self.machines[entry.machine]
        self.preemptions[entry.request] = self.preemptions.get(entry.request, 0) + 1
        machine.decoding.pop(entry.request, None)
        machine.preempted.append(entry.request)

    def _follow(self, entry: e.Entry) -> None:
        if isinstance(entry, e.Arrived):
            self.arrived[entry.request] = entry
        elif isinstance(entry, e.Queued):
            self.machines[entry.machine].line.append(entry.request)
        elif isinstance(entry, e.StepFinished):
            machine = self.machines[entry.machine]
            for request in machine.prefilling:
                machine.prompts.pop(request, None)
            machine.prefilling = []
            if not machine.prompts:
                machine.no_prompts_since_ps = entry.at_ps
        elif isinstance(entry, e.MachineMoved):
            self.serves[entry.machine] = e.PoolCode(entry.pool).name.lower()
        elif isinstance(entry, e.Landed):
            self.landed_ps[entry.request] = entry.at_ps
        elif isinstance(entry, e.RequestEnded):
            self._end(entry)

    def _end(self, entry: e.RequestEnded) -> None:
        for machine in self.machines:
            for held in (machine.prompts, machine.decoding):
                held.pop(entry.request, None)
            if entry.request in machine.sequences:
                del machine.sequences[entry.request]
                machine.no_sequences_since_ps = entry.at_ps
            for line in (machine.line, machine.preempted):
                if entry.request in line:
                    line.remove(entry.request)
