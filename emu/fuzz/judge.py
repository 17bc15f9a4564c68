"""Judge: one situation, run to its end under all laws; what was found, what it wrote, and which situations it reached.

An exception that escapes is a finding like a broken law, and so is a run that does not end: the wall is CPU time of
this process, far beyond what any situation takes.
"""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from attrs import define, field, frozen

from emu.arrivals import load_workload
from emu.cluster import Cluster
from emu.execute import go, law_rules
from emu.fake.clock import HeapClock
from emu.fuzz.accounts import REPORTS, RESTS, STATEMENTS, Accounts
from emu.fuzz.clusters import Clusters
from emu.fuzz.coverage import Pair, pairs
from emu.laws.checker import Checker
from emu.record.entries import KINDS, Entry
from emu.record.start import RunStarted
from emu.run import build
from emu.scenario.schema import Scenario
from emu.workload.table import Workload

LONGEST_CPU_S: Final = 5.0
ESCAPED: Final = "no-exception"
ENDLESS: Final = "run-ends"


@frozen
class Finding:
    """One thing found: the law and what it says, when, what happened, and a policy's or a bug's own words."""

    law: str
    statement: str
    at_ps: int
    what: str
    words: str = ""


@frozen(eq=False)
class Judged:
    """A run that was judged. `findings` stand in the order of their times."""

    started: RunStarted
    entries: tuple[Entry, ...]
    digest: str
    findings: tuple[Finding, ...]
    laws: int
    requests: int
    pairs: frozenset[Pair]

    def of(self, kind: type) -> list[Entry]:
        return [entry for entry in self.entries if type(entry) is kind]


class Endless(Exception):
    """A run that took more CPU time than any situation needs."""


@define(eq=False)
class _Kept:
    """A fold that keeps every entry."""

    entries: list[Entry] = field(factory=list)
    handlers: dict[type, object] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.handlers = dict.fromkeys(KINDS, self.entries.append)


def judge(scenario: Scenario, clusters: Clusters) -> Judged:
    """Run `scenario` and judge it. Raises Refusal where it cannot be built."""
    workload = load_workload(scenario)
    clusters.runs += 1
    clusters.requests += len(workload)
    return judge_cluster(clusters.of(scenario), workload)


def judge_cluster(cluster: Cluster, workload: Workload, clock: HeapClock | None = None) -> Judged:
    """Run a cluster and judge it, on a `clock` of its own if need be."""
    started = cluster.started(workload)
    checker, kept = Checker(started, law_rules(cluster)), _Kept()
    accounts = Accounts(len(cluster.machines), cluster.scenario.transfer.direction == "put")
    run = build(cluster, workload, (*checker.laws, kept, accounts), clock=clock)  # type: ignore[arg-type]
    accounts.ask = lambda machine: run.nodes[machine].load_report(run.clock.now_ps)
    escaped: list[Finding] = []
    try:
        with _within(LONGEST_CPU_S):
            go(run)
    except Endless:
        what = f"the run had not ended after {LONGEST_CPU_S:g} s of CPU time"
        escaped.append(Finding(ENDLESS, "A run ends.", run.clock.now_ps, what))
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        words = "".join(traceback.format_exception(error)).rstrip()
        escaped.append(Finding(ESCAPED, "No exception escapes from the control plane.", run.clock.now_ps, what, words))
    found = escaped
    if not escaped:
        statements = {law.name: law.statement for law in checker.statutes}
        words = "\n".join(run.seated.contract.words)
        found = [
            Finding(broken.law, statements[broken.law], broken.at_ps, broken.what, words) for broken in checker.finish()
        ]
        found += [Finding(REPORTS, STATEMENTS[REPORTS], at_ps, what) for at_ps, what in accounts.broken]
        left = accounts.at_rest([node.core for node in run.nodes], run.router.core)
        found += [Finding(RESTS, STATEMENTS[RESTS], run.clock.now_ps, what) for what in left]
    return Judged(
        started,
        tuple(kept.entries),
        run.log.digest(),
        tuple(found),
        len(checker.checked),
        len(workload),
        frozenset(pairs(kept.entries)),
    )


@contextmanager
def _within(cpu_s: float) -> Iterator[None]:
    """Raise Endless after so much CPU time; only where signals come, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Endless

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
