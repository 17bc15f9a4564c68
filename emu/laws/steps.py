"""Steps of workers: one at a time on each machine, as long as they say, within the limits of a batch, and all counted.

Who is in a batch is judged in `tokens`.
"""

from __future__ import annotations

from typing import Final

from attrs import define

from emu.laws.verdicts import Handlers, Law, LawRules, Names, seconds
from emu.record import entries as e

_STOPS: Final = (int(e.FaultCode.PAUSE), int(e.FaultCode.HANG))


@define(eq=False, repr=False)
class _Worker:
    """One machine's worker; `batch` is (start, sequences, prompt tokens) of the run under way.

    While its process is stopped (`stops` faults at once) the end of a step is not noticed; it is at `healed_ps`.
    """

    batch: tuple[int, int, int] | None = None
    busy_ps: int = 0
    idle_ps: int = 0
    idle_since_ps: int = 0
    down_ps: int = 0
    down_since_ps: int = -1  # -1: it is up
    stops: int = 0
    healed_ps: int = -1


class Steps:
    """Laws: steps-never-overlap, steps-agree, batch-limits, busy-and-idle."""

    def __init__(self, names: Names, rules: LawRules, machines: int) -> None:
        self.never_overlap = Law("steps-never-overlap", "A worker runs one batch at a time.")
        self.agree = Law(
            "steps-agree",
            "A run ends with the batch it started with, at start + k * first + growth * k(k - 1)/2 ps after k steps; "
            "one that a crash cuts, within its next step; one whose process was stopped, when that goes on.",
        )
        self.limits = Law(
            "batch-limits",
            "A batch has at most prefill_batch_tokens prompt tokens, or one prompt, and decode_batch sequences.",
        )
        self.busy_and_idle = Law("busy-and-idle", "On every machine busy, idle and down ps add up to the run.")
        self.laws = (self.never_overlap, self.agree, self.limits, self.busy_and_idle)
        self._names = names
        self._prompt_limit, self._decode_limit = rules.prefill_batch_tokens, rules.decode_batch
        self._workers = [_Worker() for _ in range(machines)]
        self.handlers: Handlers = {
            e.StepStarted: self._started,
            e.StepFinished: self._finished,
            e.StepsCut: self._cut,
            e.MachineCrashed: self._crashed,
            e.MachineLeft: self._crashed,
            e.MachineStarted: self._up_again,
            e.FaultStruck: self._struck,
            e.FaultHealed: self._healed,
        }

    def finish(self, at_ps: int) -> None:
        for machine, worker in enumerate(self._workers):
            if worker.down_since_ps >= 0:
                worker.down_ps += at_ps - worker.down_since_ps
            elif worker.batch is None:
                worker.idle_ps += at_ps - worker.idle_since_ps
            elif worker.stops:
                worker.busy_ps += at_ps - worker.batch[0]
            else:
                what = f"{self._names[machine]} never finished the run of {seconds(worker.batch[0])}"
                self.busy_and_idle.broken(at_ps, what)
                continue
            if worker.busy_ps + worker.idle_ps + worker.down_ps != at_ps:
                parts = f"{worker.busy_ps} ps busy, {worker.idle_ps} ps idle and {worker.down_ps} ps down"
                self.busy_and_idle.broken(at_ps, f"{self._names[machine]}: {parts} are not {at_ps} ps")

    def _started(self, entry: e.StepStarted) -> None:
        at_ps, machine, prefills, _, _, sequences, _, _, _, _ = entry
        worker = self._workers[machine]
        if worker.batch is not None or at_ps < worker.idle_since_ps:
            what = f"{self._names[machine]} started a batch at {seconds(at_ps)} while one ran"
            self.never_overlap.broken(at_ps, what)
        prompt_tokens = 0
        for piece in prefills:
            prompt_tokens += piece[3]
        if prompt_tokens > self._prompt_limit and len(prefills) > 1:
            what = f"{self._names[machine]} ran {len(prefills)} prompts of {prompt_tokens} tokens in one batch"
            self.limits.broken(at_ps, what)
        if sequences > self._decode_limit:
            self.limits.broken(at_ps, f"{self._names[machine]} decoded {sequences} sequences in one batch")
        worker.batch = (at_ps, sequences, prompt_tokens)
        worker.idle_ps += at_ps - worker.idle_since_ps

    def _finished(self, entry: e.StepFinished) -> None:
        at_ps, machine, started_ps, steps, sequences, prompt_tokens, first_ps, growth_ps, _, _, _ = entry
        worker = self._workers[machine]
        batch, worker.batch = worker.batch, None
        worker.idle_since_ps = at_ps
        busy_ps = first_ps if steps == 1 else steps * first_ps + growth_ps * (steps * (steps - 1) // 2)
        worker.busy_ps += busy_ps
        ends_ps = started_ps + busy_ps
        if ends_ps != at_ps and at_ps == worker.healed_ps > ends_ps:
            worker.idle_ps += at_ps - ends_ps  # it was over before anybody could notice
            ends_ps = at_ps
        if batch is None:
            self.never_overlap.broken(at_ps, f"{self._names[machine]} finished steps of a batch that did not run")
        elif batch != (started_ps, sequences, prompt_tokens):
            self.agree.broken(
                at_ps,
                f"{self._names[machine]} started (ps, sequences, prompt tokens) {batch} and finished "
                f"{(started_ps, sequences, prompt_tokens)}",
            )
        if steps < 1 or ends_ps != at_ps:
            what = f"{self._names[machine]}: {steps} steps of {busy_ps} ps from {started_ps} ps end at {at_ps} ps"
            self.agree.broken(at_ps, what)

    def _cut(self, entry: e.StepsCut) -> None:
        """A crash ends a run in the middle of a step, or before its end is noticed."""
        at_ps, machine, started_ps, steps, sequences, prompt_tokens, first_ps, growth_ps, _, _, _ = entry
        worker = self._workers[machine]
        batch, worker.batch = worker.batch, None
        if batch != (started_ps, sequences, prompt_tokens):
            what = f"{self._names[machine]} started {batch} and lost {(started_ps, sequences, prompt_tokens)}"
            self.agree.broken(at_ps, what)
        ended_ps = started_ps + steps * first_ps + growth_ps * (steps * (steps - 1) // 2)
        next_ps = first_ps + growth_ps * steps
        if ended_ps > at_ps or (first_ps and ended_ps + next_ps < at_ps and not worker.stops):
            what = f"{self._names[machine]} crashed at {at_ps} ps with {steps} steps of {ended_ps - started_ps} ps done"
            self.agree.broken(at_ps, f"{what} since {started_ps} ps")
        worker.busy_ps += at_ps - started_ps
        worker.idle_since_ps = at_ps

    def _crashed(self, entry: e.MachineCrashed | e.MachineLeft) -> None:
        worker = self._workers[entry.machine]
        if worker.batch is not None:
            what = f"{self._names[entry.machine]} crashed in the run of {seconds(worker.batch[0])}, which was not cut"
            self.agree.broken(entry.at_ps, what)
            worker.batch = None
        worker.idle_ps += entry.at_ps - worker.idle_since_ps
        worker.down_since_ps, worker.stops = entry.at_ps, 0

    def _up_again(self, entry: e.MachineStarted) -> None:
        worker = self._workers[entry.machine]
        worker.down_ps += entry.at_ps - worker.down_since_ps
        worker.down_since_ps, worker.idle_since_ps = -1, entry.at_ps

    def _struck(self, entry: e.FaultStruck) -> None:
        if entry.kind in _STOPS and self._workers[entry.machine].down_since_ps < 0:
            self._workers[entry.machine].stops += 1

    def _healed(self, entry: e.FaultHealed) -> None:
        if entry.kind in _STOPS:
            worker = self._workers[entry.machine]
            worker.stops = max(0, worker.stops - 1)
            worker.healed_ps = entry.at_ps
