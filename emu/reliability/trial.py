"""Trial: one run under faults, judged: laws, requests lost, answers changed, blocks that nobody owned any more.

What a request's answer should have been is the run's without faults; a record says the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, frozen

from emu.arrivals import load_workload
from emu.cluster import Cluster
from emu.execute import go, law_rules
from emu.laws.checker import Checker
from emu.record import entries as e
from emu.record.recovery import Recovery
from emu.reliability.orphans import Orphans
from emu.run import build
from emu.scenario.schema import Scenario


class Kept:
    """Every entry of a run, in order."""

    def __init__(self) -> None:
        self.entries: list[e.Entry] = []
        self.handlers: Mapping[type, Callable[[Any], None]] = dict.fromkeys(e.KINDS, self.entries.append)


@frozen
class Trial:
    """What a run came to. `wanted` are requests that had to complete; orphans in block-seconds and seconds."""

    scenario: Scenario
    entries: tuple[e.Entry, ...]
    broken: tuple[str, ...]
    wanted: int
    lost: tuple[int, ...]
    corrupted: tuple[int, ...]
    orphan_block_s: float
    longest_orphan_s: float
    recovery: Recovery

    @property
    def struck(self) -> tuple[e.FaultStruck, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, e.FaultStruck))

    @property
    def clean(self) -> bool:
        return not (self.broken or self.lost or self.corrupted)


class Trials:
    """Runs scenarios; clusters and what is answered without faults are looked up once."""

    def __init__(self) -> None:
        self._clusters: dict[Any, Cluster] = {}
        self._answers: dict[Scenario, dict[int, int]] = {}

    def run(self, scenario: Scenario) -> Trial:
        """Under all laws, to its end. Raises what a bug raises."""
        cluster, workload = self._cluster(scenario), load_workload(scenario)
        checker = Checker(cluster.started(workload), law_rules(cluster))
        kept, recovery, orphans = Kept(), Recovery(), Orphans()
        go(build(cluster, workload, (*checker.laws, kept, recovery, orphans)))
        broken = tuple(sorted({verdict.law for verdict in checker.finish()}))
        excused = {fault.request for fault in scenario.faults if fault.kind in ("cancel", "poison")}
        completed = {
            entry.request: entry.output_digest
            for entry in kept.entries
            if isinstance(entry, e.RequestEnded) and entry.status == e.Status.COMPLETED
        }
        wanted = [request for request in range(len(workload)) if request not in excused]
        expected = completed if not scenario.faults else self.answers(scenario)
        return Trial(
            scenario,
            tuple(kept.entries),
            broken,
            len(wanted),
            tuple(request for request in wanted if request not in completed),
            tuple(request for request, digest in completed.items() if expected.get(request, digest) != digest),
            orphans.block_s,
            orphans.longest_s,
            recovery,
        )

    def answers(self, scenario: Scenario) -> dict[int, int]:
        """What each request is answered where no fault strikes."""
        plain = evolve(scenario, faults=(), delays=())
        if plain not in self._answers:
            self._answers[plain] = {
                entry.request: entry.output_digest
                for entry in self.run(plain).entries
                if isinstance(entry, e.RequestEnded) and entry.status == e.Status.COMPLETED
            }
        return self._answers[plain]

    def _cluster(self, scenario: Scenario) -> Cluster:
        """Profiles are read once for equal machines."""
        key = (scenario.machines, scenario.model, scenario.costs, scenario.scheduler.block_tokens)
        if key not in self._clusters:
            self._clusters[key] = Cluster.of(scenario)
        return evolve(self._clusters[key], scenario=scenario)
