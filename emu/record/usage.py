"""Usage: a fold over what machines, router and queues did with their time, summed up by pool.

A machine counts to the pool that the scenario gave it, wherever it is moved. Time lasts from the first arrival to the
last entry that is not a closing one. What became of single requests is `emu.record.lives`'s.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import define, field

from emu.record import entries as e
from emu.record.life import NEVER
from emu.record.start import RunStarted

BATCHED_TOKENS: Final = (0, 1, 2, 5, 10, 15, 20, 50, 64, 100, 128, 200, 256, 512, 1000, 1024, 1536, 2048)
"""Where the distribution of active batched tokens is told (the paper's Fig. 17, and powers of two)."""

PLACEMENT_STEPS: Final = 5


@define(eq=False, repr=False)
class PoolUse:
    """The machines of one pool. Only steps that finished count as work."""

    machines: int = 0
    kv_blocks: int = 0
    prefill_ps: int = 0
    decode_ps: int = 0
    mixed_ps: int = 0
    most_batched_tokens: int = 0
    peak_occupancy: float = 0.0  # of its fullest machine
    _batched_ps: list[int] = field(init=False, factory=lambda: [0] * (len(BATCHED_TOKENS) + 1))
    _held: int = field(init=False, default=0)  # blocks now
    _twice_held_since: int = field(init=False, default=0)  # 2 x the sum of blocks taken, less given back, x when

    @property
    def busy_ps(self) -> int:
        return self.prefill_ps + self.decode_ps + self.mixed_ps

    def ran(self, duration_ps: int, prompt_tokens: int, sequences: int) -> None:
        """A batch ran; a prompt of n tokens counts n, a decoding sequence 1."""
        if not prompt_tokens:
            self.decode_ps += duration_ps
        elif sequences:
            self.mixed_ps += duration_ps
        else:
            self.prefill_ps += duration_ps
        tokens = prompt_tokens + sequences
        self._batched_ps[bisect_left(BATCHED_TOKENS, tokens)] += duration_ps
        if tokens > self.most_batched_tokens:
            self.most_batched_tokens = tokens

    def held(self, blocks: int, twice_at_ps: int) -> None:
        """`blocks` more are lent (less, where negative), from a time that is given doubled, so that it is whole."""
        self._held += blocks
        self._twice_held_since += blocks * twice_at_ps

    def block_ps(self, until_ps: int) -> float:
        """Blocks lent x how long."""
        return self._held * until_ps - self._twice_held_since / 2

    def batched_tokens(self, machine_ps: int) -> list[list[float]]:
        """[tokens, share of the time with at most so many]; the rest of `machine_ps` was idle, with none."""
        if not machine_ps:
            return []
        below_ps = machine_ps - self.busy_ps
        shares: list[list[float]] = []
        for tokens, ps in zip((*BATCHED_TOKENS, self.most_batched_tokens), self._batched_ps, strict=True):
            below_ps += ps
            shares.append([tokens, below_ps / machine_ps])
        return shares if self.most_batched_tokens > BATCHED_TOKENS[-1] else shares[:-1]


class Usage:
    """One run's machines. Block growth within a run of steps is taken as even."""

    def __init__(self, started: RunStarted) -> None:
        self.handlers: Mapping[type, Callable[[Any], None]] = {
            **{kind: self._seen for kind in e.KINDS if kind not in (e.MachineClosed, e.BeliefClosed, e.RunEnded)},
            e.Arrived: self._arrived,
            e.Assigned: self._assigned,
            e.MachineMoved: self._moved,
            e.ReserveQueued: self._reserve_queued,
            e.Reserved: self._reserved,
            e.StepStarted: self._step_started,
            e.StepFinished: self._step_finished,
            e.StepsCut: self._step_finished,
            e.MachineCrashed: self._gone,
            e.MachineLeft: self._gone,
            e.AttemptEnded: self._gave_back_after_all,
            e.Released: self._gave_back,
            e.Preempted: self._preempted,
            e.RequestEnded: self._ended,
        }
        self.last_ps = NEVER
        self.first_arrival_ps = NEVER
        self.pools: dict[str, PoolUse] = {}
        for machine in started.machines:
            pool = self.pools.setdefault(machine.pool, PoolUse())
            pool.machines += 1
            pool.kv_blocks += machine.kv_blocks
        self.steps = 0
        self.step_ps = 0
        self.context_ps = 0
        self.unmeasured_steps = 0
        self.peak_requests = 0
        self.peak_reservations = 0
        self.preemptions = 0
        self.machine_moves = 0
        self.placement_steps = [0] * PLACEMENT_STEPS
        self._pool_of = tuple(self.pools[machine.pool] for machine in started.machines)
        self._kv_blocks = tuple(machine.kv_blocks for machine in started.machines)
        self._held = [0] * len(started.machines)
        self._peak_held = [0] * len(started.machines)
        self._unstarted: set[int] = set()
        self._reserving: set[int] = set()

    def _seen(self, entry: Any) -> None:
        self.last_ps = entry[0]

    def _arrived(self, entry: e.Arrived) -> None:
        self.last_ps, request, _, _ = entry
        if self.first_arrival_ps == NEVER:
            self.first_arrival_ps = self.last_ps
        unstarted = self._unstarted
        unstarted.add(request)
        if len(unstarted) > self.peak_requests:
            self.peak_requests = len(unstarted)

    def _assigned(self, entry: e.Assigned) -> None:
        self.last_ps, _, _, _, _, step, _, _ = entry
        self.placement_steps[step - 1] += 1

    def _moved(self, entry: e.MachineMoved) -> None:
        self.last_ps = entry.at_ps
        self.machine_moves += 1

    def _reserve_queued(self, entry: e.ReserveQueued) -> None:
        self.last_ps = entry.at_ps
        self._reserving.add(entry.request)
        self.peak_reservations = max(self.peak_reservations, len(self._reserving))

    def _reserved(self, entry: e.Reserved) -> None:
        at_ps, machine, request, _, _, blocks, _ = entry
        self.last_ps = at_ps
        self._reserving.discard(request)
        self._hold(machine, blocks, 2 * at_ps)

    def _step_started(self, entry: e.StepStarted) -> None:
        at_ps, machine, prefills, _, _, _, _, _, _, free_blocks = entry
        self.last_ps = at_ps
        blocks = self._kv_blocks[machine] - free_blocks - self._held[machine]
        if blocks:
            self._hold(machine, blocks, 2 * at_ps)
        for piece in prefills:
            self._unstarted.discard(piece[0])

    def _step_finished(self, entry: e.StepFinished | e.StepsCut) -> None:
        at_ps, machine, started_ps, steps, sequences, prompt_tokens, _, _, context_ps, unmeasured, grown = entry
        self.last_ps = at_ps
        duration_ps = at_ps - started_ps
        self._pool_of[machine].ran(duration_ps, prompt_tokens, sequences)
        self.steps += steps
        self.step_ps += duration_ps
        self.context_ps += context_ps
        self.unmeasured_steps += unmeasured
        if grown:
            self._hold(machine, grown, started_ps + at_ps)

    def _gave_back(self, entry: e.Released) -> None:
        at_ps, machine, request, _, _, blocks, _, _ = entry
        self.last_ps = at_ps
        self._hold(machine, -blocks, 2 * at_ps)
        if self._reserving:
            self._reserving.discard(request)

    def _gave_back_after_all(self, entry: e.AttemptEnded) -> None:
        self.last_ps = entry.at_ps
        if entry.blocks:
            self._hold(entry.machine, -entry.blocks, 2 * entry.at_ps)

    def _gone(self, entry: e.MachineCrashed | e.MachineLeft) -> None:
        """What it held is nobody's."""
        self.last_ps = entry.at_ps
        self._hold(entry.machine, -self._held[entry.machine], 2 * entry.at_ps)

    def _preempted(self, entry: e.Preempted) -> None:
        self.last_ps = entry.at_ps
        self.preemptions += 1
        self._hold(entry.machine, -entry.blocks, 2 * entry.at_ps)

    def _ended(self, entry: e.RequestEnded) -> None:
        self.last_ps = entry.at_ps
        self._unstarted.discard(entry.request)
        if entry.blocks:
            self._hold(entry.machine, -entry.blocks, 2 * entry.at_ps)

    def _hold(self, machine: int, blocks: int, twice_at_ps: int) -> None:
        held = self._held[machine] = self._held[machine] + blocks
        pool = self._pool_of[machine]
        pool.held(blocks, twice_at_ps)
        if held > self._peak_held[machine]:
            self._peak_held[machine] = held
            # the blocks of a step are told before the preemption, at the same instant, that made room for them
            pool.peak_occupancy = max(pool.peak_occupancy, min(1.0, held / self._kv_blocks[machine]))
