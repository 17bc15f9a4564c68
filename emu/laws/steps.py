"""Steps of workers: one at a time on each machine, as long as they say, within the limits of a batch, and all counted.

Who is in a batch is judged in `tokens`.
"""

from __future__ import annotations

from attrs import define

from emu.laws.verdicts import Handlers, Law, LawRules, Names, seconds
from emu.record.entries import StepFinished, StepStarted


@define(eq=False)
class _Worker:
    """One machine's worker; `batch` is (start, sequences, prompt tokens) of the run under way."""

    batch: tuple[int, int, int] | None = None
    busy_ps: int = 0
    idle_ps: int = 0
    idle_since_ps: int = 0


class Steps:
    """Laws: steps-never-overlap, steps-agree, batch-limits, busy-and-idle."""

    def __init__(self, names: Names, rules: LawRules, machines: int) -> None:
        self.never_overlap = Law("steps-never-overlap", "A worker runs one batch at a time.")
        self.agree = Law(
            "steps-agree",
            "A run ends with the batch it started with, at start + k * first + growth * k(k - 1)/2 ps after k steps.",
        )
        self.limits = Law(
            "batch-limits",
            "A batch has at most prefill_batch_tokens prompt tokens, or one prompt, and decode_batch sequences.",
        )
        self.busy_and_idle = Law("busy-and-idle", "On every machine busy ps and idle ps add up to the run.")
        self.laws = (self.never_overlap, self.agree, self.limits, self.busy_and_idle)
        self._names = names
        self._prompt_limit, self._decode_limit = rules.prefill_batch_tokens, rules.decode_batch
        self._workers = [_Worker() for _ in range(machines)]
        self.handlers: Handlers = {StepStarted: self._started, StepFinished: self._finished}

    def finish(self, at_ps: int) -> None:
        for machine, worker in enumerate(self._workers):
            if worker.batch is not None:
                what = f"{self._names[machine]} never finished the run of {seconds(worker.batch[0])}"
                self.busy_and_idle.broken(at_ps, what)
                continue
            idle_ps = worker.idle_ps + at_ps - worker.idle_since_ps
            if worker.busy_ps + idle_ps != at_ps:
                what = f"{self._names[machine]}: {worker.busy_ps} ps busy and {idle_ps} ps idle are not {at_ps} ps"
                self.busy_and_idle.broken(at_ps, what)

    def _started(self, entry: StepStarted) -> None:
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

    def _finished(self, entry: StepFinished) -> None:
        at_ps, machine, started_ps, steps, sequences, prompt_tokens, first_ps, growth_ps, _, _, _ = entry
        worker = self._workers[machine]
        batch, worker.batch = worker.batch, None
        worker.idle_since_ps = at_ps
        busy_ps = first_ps if steps == 1 else steps * first_ps + growth_ps * (steps * (steps - 1) // 2)
        worker.busy_ps += busy_ps
        if batch is None:
            self.never_overlap.broken(at_ps, f"{self._names[machine]} finished steps of a batch that did not run")
        elif batch != (started_ps, sequences, prompt_tokens):
            self.agree.broken(
                at_ps,
                f"{self._names[machine]} started (ps, sequences, prompt tokens) {batch} and finished "
                f"{(started_ps, sequences, prompt_tokens)}",
            )
        if steps < 1 or started_ps + busy_ps != at_ps:
            what = f"{self._names[machine]}: {steps} steps of {busy_ps} ps from {started_ps} ps end at {at_ps} ps"
            self.agree.broken(at_ps, what)
