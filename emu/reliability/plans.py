"""Drawn plans, thousands of them, each in a small cluster of its own: how many struck, and what any of them broke."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from attrs import asdict, define, field

from emu.record.entries import FaultCode
from emu.reliability.orphans import bound_s
from emu.reliability.trial import Trials
from emu.scenario.draw import draw_scenario

BATCH: Final = 100


@define(eq=False)
class Tally:
    """What so many plans came to. `bad` are the seeds of those that broke anything, with what they broke."""

    plans: int = 0
    struck_live: int = 0
    requests: int = 0
    lost: int = 0
    corrupted: int = 0
    orphan_block_s: float = 0.0
    longest_orphan_s: float = 0.0
    kinds: Counter[str] = field(factory=Counter)
    killed: Counter[str] = field(factory=Counter)  # plans with a poisoned request, by how many machines it killed
    bad: list[tuple[int, str]] = field(factory=list)

    def document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, document: dict[str, Any]) -> Tally:
        """What `document` gave."""
        document = {name: value for name, value in document.items() if name != "program"}
        bad = [(seed, what) for seed, what in document["bad"]]
        counted = {name: Counter(document[name]) for name in ("kinds", "killed")}
        return cls(**{**document, **counted, "bad": bad})

    def add(self, other: Tally) -> None:
        self.plans += other.plans
        self.struck_live += other.struck_live
        self.requests += other.requests
        self.lost += other.lost
        self.corrupted += other.corrupted
        self.orphan_block_s += other.orphan_block_s
        self.longest_orphan_s = max(self.longest_orphan_s, other.longest_orphan_s)
        self.kinds += other.kinds
        self.killed += other.killed
        self.bad += other.bad


def batch(first: int, end: int) -> Tally:
    """The plans of seeds `first` to `end - 1`."""
    tally, trials = Tally(), Trials()
    for seed in range(first, end):
        scenario = draw_scenario(seed)
        tally.plans += 1
        try:
            trial = trials.run(scenario)
        except Exception as bug:
            tally.bad.append((seed, f"{type(bug).__name__}: {bug}"))
            continue
        live = {e.kind for e in trial.struck if e.live}
        tally.struck_live += bool(live)
        tally.kinds.update(fault.kind for fault in scenario.faults)
        if any(fault.kind == "poison" for fault in scenario.faults):
            tally.killed[str(sum(e.kind == FaultCode.POISON for e in trial.struck))] += 1
        tally.requests += trial.wanted
        tally.lost += len(trial.lost)
        tally.corrupted += len(trial.corrupted)
        tally.orphan_block_s += trial.orphan_block_s
        tally.longest_orphan_s = max(tally.longest_orphan_s, trial.longest_orphan_s)
        orphaned = trial.longest_orphan_s > bound_s(scenario)
        if orphaned or not trial.clean:
            what = [*trial.broken]
            what += [f"an orphan of {trial.longest_orphan_s:.2f} s"] if orphaned else []
            what += [f"{len(trial.lost)} lost"] if trial.lost else []
            what += [f"{len(trial.corrupted)} corrupted"] if trial.corrupted else []
            tally.bad.append((seed, ", ".join(what)))
    return tally
