"""A toy cluster that steps token by token, for judging the folds: it writes entries, and keeps every token's time.

Batches change at random: requests join, sit out beside prompts, are preempted and recomputed. Nothing here shares code
with the folds; what it writes has the shape and the order of what a machine's node writes.
"""

from __future__ import annotations

import random
from collections import deque

from attrs import define, field

from emu.record import entries as e
from emu.record.start import MachineFacts, RunStarted

LAYERS = 4


@define(eq=False)
class Truth:
    """What became of one request; `wanted` tokens are what it would get."""

    request: int
    arrived_ps: int
    prompt_tokens: int
    wanted: int
    prefill_machine: int
    decode_machine: int
    transfer_ps: int
    fails: bool
    prefill_start_ps: int | None = None
    transfer: tuple[int, int] | None = None  # start, end
    tokens_ps: list[int] = field(factory=list)
    status: int | None = None

    @property
    def gaps_ps(self) -> list[int]:
        return [later - earlier for earlier, later in zip(self.tokens_ps, self.tokens_ps[1:], strict=False)]


@define(eq=False)
class _Machine:
    index: int
    prompts: deque[Truth] = field(factory=deque)
    recompute: deque[Truth] = field(factory=deque)
    coming: list[tuple[int, Truth]] = field(factory=list)  # when its cache is whole
    ready: list[Truth] = field(factory=list)
    running: list[Truth] = field(factory=list)
    prefills: list[Truth] = field(factory=list)
    left: list[int] = field(factory=list)
    sequences: int = 0  # decoding in the batch that StepStarted told last
    steps: int = 0  # of the open run
    unwritten: int = 0  # of those, steps that no entry has told yet
    run_ps: int = 0  # when the open run, or what of it is unwritten, started
    first_ps: int = 0
    growth_ps: int = 0


class Stepper:
    """`split` writes every step as its own entry; else steps of an unchanged batch are one."""

    def __init__(self, seed: int, requests: int, machines: int, split: bool = False) -> None:
        self.entries: list[e.Entry] = []
        self.batches: list[tuple[int, int, int, int, int]] = []  # machine, start, end, prompt tokens, sequences
        self._draw, self._split = random.Random(seed), split
        self._machines = [_Machine(index) for index in range(machines)]
        at_ps, draw = 0, self._draw
        self.truths: list[Truth] = []
        for request in range(requests):
            at_ps += draw.choice((0, 1, draw.randrange(1, 400)))
            at, to = draw.randrange(machines), draw.randrange(machines)
            wanted = draw.choice((1, 2, draw.randrange(1, 60)))
            late_ps, fails = draw.randrange(1, 900), draw.random() < 0.1
            self.truths.append(Truth(request, at_ps, draw.randrange(1, 300), wanted, at, to, late_ps, fails))
        self._run()

    def started(self) -> RunStarted:
        pools = ("prefill", "decode")
        facts = [
            MachineFacts(f"m-{machine.index}", "dgx", pools[machine.index % 2], 8, 1000, 38.0, 10200.0)
            for machine in self._machines
        ]
        return RunStarted("toy", "toy-model", 16, tuple(facts), len(self.truths), False)

    def _run(self) -> None:
        boundaries = [(0, machine.index) for machine in self._machines]
        arrivals = deque(self.truths)
        while any(truth.status is None for truth in self.truths):
            boundaries.sort()
            at_ps, index = boundaries.pop(0)
            while arrivals and arrivals[0].arrived_ps <= at_ps:
                self._arrive(arrivals.popleft())
            boundaries.append((self._boundary(self._machines[index], at_ps), index))

    def _arrive(self, truth: Truth) -> None:
        at_ps, request = truth.arrived_ps, truth.request
        self.entries.append(e.Arrived(at_ps, request, truth.prompt_tokens, 2048))
        step = self._draw.randrange(1, 6)
        self.entries.append(e.Assigned(at_ps, request, 0, truth.prefill_machine, truth.decode_machine, step, 0, 0))
        if self._draw.random() < 0.05:
            self._end(truth, at_ps, e.Status.REJECTED)
        else:
            self._machines[truth.prefill_machine].prompts.append(truth)

    def _boundary(self, machine: _Machine, at_ps: int) -> int:
        """End the step that ends now and start the next one; when that ends, or when to look again."""
        if machine.running or machine.prefills:
            self._finish_step(machine, at_ps)
        for ready_ps, truth in [pair for pair in machine.coming if pair[0] <= at_ps]:
            machine.coming.remove((ready_ps, truth))
            machine.ready.append(truth)
            assert truth.transfer is not None
            truth.transfer = (truth.transfer[0], at_ps)
            self.entries.append(e.Committed(at_ps, machine.index, truth.request, 0, LAYERS, 1, 1, at_ps))
        gave_way, joined = self._choose(machine)
        if joined or machine.prefills or machine.left or not machine.running:
            self._close(machine, at_ps)
        for truth in gave_way:
            self.entries.append(e.Preempted(at_ps, machine.index, truth.request, 0, len(truth.tokens_ps), 1, 0))
        if not machine.running and not machine.prefills:
            return at_ps + self._draw.randrange(1, 200)
        if joined or machine.prefills or machine.left:
            self._start(machine, at_ps, joined)
        return at_ps + machine.first_ps + machine.growth_ps * machine.steps

    def _choose(self, machine: _Machine) -> tuple[list[Truth], list[int]]:
        """Who runs next: who gave way, and who is new."""
        draw = self._draw
        gave_way = [truth for truth in machine.running if draw.random() < 0.02]
        machine.running = [truth for truth in machine.running if truth not in gave_way]
        machine.left += [truth.request for truth in gave_way]
        before = {truth.request for truth in machine.running}
        machine.running += machine.ready
        machine.ready = []
        if (machine.recompute or machine.prompts) and draw.random() < 0.8:
            machine.prefills.append((machine.recompute or machine.prompts).popleft())
            if machine.prompts and draw.random() < 0.5:
                machine.prefills.append(machine.prompts.popleft())
            machine.ready = [truth for truth in machine.running if draw.random() < 0.3]
            machine.left += [truth.request for truth in machine.ready if truth.request in before]
            machine.running = [truth for truth in machine.running if truth not in machine.ready]
        machine.recompute += gave_way
        return gave_way, [truth.request for truth in machine.running if truth.request not in before]

    def _start(self, machine: _Machine, at_ps: int, joined: list[int]) -> None:
        pieces = []
        for truth in machine.prefills:
            kind = e.SliceKind.RECOMPUTE if truth.tokens_ps else e.SliceKind.PREFILL
            tokens = truth.prompt_tokens + len(truth.tokens_ps)
            pieces.append(e.PrefillSlice(truth.request, 0, 0, tokens, int(kind), 1, 1))
            truth.prefill_start_ps = truth.prefill_start_ps if truth.tokens_ps else at_ps
        sizes = len(machine.running), 0, 0, 0, 1000
        self.entries.append(
            e.StepStarted(at_ps, machine.index, tuple(pieces), tuple(joined), tuple(machine.left), *sizes)
        )
        machine.left.clear()
        machine.sequences = len(machine.running)
        machine.steps = machine.unwritten = 0
        machine.run_ps = at_ps
        machine.first_ps, machine.growth_ps = self._draw.randrange(1, 500), self._draw.choice((0, 1, 7, 300))

    def _finish_step(self, machine: _Machine, at_ps: int) -> None:
        machine.steps += 1
        machine.unwritten += 1
        for truth in machine.running + machine.prefills:
            truth.tokens_ps.append(at_ps)
        over = [t for t in machine.running + machine.prefills if self._is_over(t)]
        if over or machine.prefills or self._split:
            self._close(machine, at_ps)
        machine.left += [truth.request for truth in machine.running if truth in over]
        machine.running = [truth for truth in machine.running if truth not in over]
        for truth in over:
            self._end(truth, at_ps, e.Status.FAILED if truth.fails else e.Status.COMPLETED)
        for truth in machine.prefills:
            if truth not in over:
                self._hand_on(truth, machine, at_ps)
        machine.prefills = []

    def _is_over(self, truth: Truth) -> bool:
        return len(truth.tokens_ps) >= truth.wanted or (truth.fails and self._draw.random() < 0.1)

    def _hand_on(self, truth: Truth, machine: _Machine, at_ps: int) -> None:
        if truth.decode_machine == machine.index or len(truth.tokens_ps) > 1:
            machine.ready.append(truth)
            return
        truth.transfer = (at_ps, -1)
        to = truth.decode_machine
        moved = e.TransferStarted(at_ps, machine.index, to, truth.request, 0, 0, LAYERS - 1, truth.prompt_tokens, 0)
        self.entries.append(moved)
        self._machines[to].coming.append((at_ps + truth.transfer_ps, truth))

    def _close(self, machine: _Machine, at_ps: int) -> None:
        steps, machine.unwritten = machine.unwritten, 0
        if not steps:
            return
        prompt_tokens = sum(truth.prompt_tokens + len(truth.tokens_ps) - 1 for truth in machine.prefills)
        sequences = machine.sequences
        first_ps = machine.first_ps + machine.growth_ps * (machine.steps - steps)
        started_ps, machine.run_ps = machine.run_ps, at_ps
        self.batches.append((machine.index, started_ps, at_ps, prompt_tokens, sequences))
        self.entries.append(
            e.StepFinished(
                at_ps,
                machine.index,
                started_ps,
                steps,
                sequences,
                prompt_tokens,
                first_ps,
                machine.growth_ps,
                0,
                0,
                0,
            )
        )

    def _end(self, truth: Truth, at_ps: int, status: e.Status) -> None:
        truth.status = status
        tokens = len(truth.tokens_ps)
        alone = (100, 10, 100 + 10 * (tokens - 1)) if status is e.Status.COMPLETED else (0, 0, 0)
        ended = e.RequestEnded(at_ps, 0, truth.request, 0, status, 0, tokens, truth.request + 1, 0, 0, *alone)
        self.entries.append(ended)
