"""One run from end to end: a scenario in; its summary, the broken laws and, if asked for, a folder out.

Here the emulator meets the folds that read its record. Building a cluster belongs to `emu.run`, what entries mean to
`emu.record` and `emu.laws`; nothing here prints.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, TextIO, TypeAlias

from attrs import frozen

from emu.arrivals import load_workload
from emu.cluster import Cluster, is_faulty, to_ps
from emu.fake.clock import HeapClock
from emu.laws.checker import Checker
from emu.laws.verdicts import Law, LawRules
from emu.output import Folder
from emu.record.lives import Lives
from emu.record.log import Fold
from emu.record.power import Power
from emu.record.recovery import Recovery
from emu.record.slo import Slo
from emu.record.start import RunStarted
from emu.record.summary import summary
from emu.record.usage import Usage
from emu.run import Run, build
from emu.scenario.schema import Scenario
from emu.scenario.write import resolved_toml
from emu.workload.table import PS_PER_S, Workload

if TYPE_CHECKING:
    from emu.real_run import RealRun

Build: TypeAlias = "Callable[[Cluster, Workload, list[Fold], IO[bytes] | None], Run | RealRun]"
"""Wires up a cluster in some world: given it, its workload, the folds that read its record and the file it goes to."""

Watch: TypeAlias = Callable[[RunStarted], Fold]
"""Whoever looks on while a run lasts: called when all input is read and the run begins, it gives a fold."""

Judge: TypeAlias = Callable[[Slo, int], Slo]
"""Puts a judge of its own before the scenario's SLOs; it is told how many requests there are."""


class Steer(Protocol):
    """Whoever holds a run back and lets faults strike it while it goes on."""

    def clock(self, interleaving: int, liveness_ps: int) -> HeapClock:
        """The clock of the run."""

    def begin(self, run: Run, checker: Checker) -> None:
        """The run is built; it starts when this returns."""

    def kept(self, scenario: Scenario) -> Scenario:
        """The scenario as it is kept: with what was done to the run."""


@frozen(eq=False, repr=False)
class Outcome:
    """What a run came to: its summary, and the laws that it broke."""

    summary: dict[str, Any]
    broken: tuple[Law, ...]
    breaches: tuple[str, ...] = ()  # of policies of one's own, in their own words


def execute(
    scenario: Scenario,
    out: Path | None = None,
    watch: Watch | None = None,
    whole: Workload | None = None,
    cluster: Cluster | None = None,
    world: Build | None = None,
    judge: Judge | None = None,
    steer: Steer | None = None,
) -> Outcome:
    """Run a scenario to its end, in virtual time unless `world` is another; `out` names the folder to keep it in.

    `whole` is its trace, if that has been read; `cluster` is its own, where somebody has exchanged parts of it; `judge`
    stands before its SLOs, and what that one raises ends the run. With `steer` time is held back as that says, and
    what it lets strike is kept with the scenario; only the emulated world can be steered.

    Refusal: the workload, a profile or the world cannot be used, or `out` cannot be written; then nothing has been.
    What a bug raises comes out as it was raised.
    """
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    if out is not None:
        Folder.check(out)
    cluster, workload = cluster or Cluster.of(scenario), load_workload(scenario, whole)
    started = cluster.started(workload)
    checker, usage, power = Checker(started, law_rules(cluster)), Usage(started), Power(started)
    with nullcontext() if out is None else Folder(out) as folder:
        record: IO[bytes] | None = None if folder is None else folder.record
        requests: TextIO | None = None if folder is None else folder.requests
        lives = Lives(started, requests, None if scenario.slo.preset else scenario.slo.limits())
        if judge is not None:
            lives.slo = judge(lives.slo, len(workload))
        recovery = Recovery() if is_faulty(scenario) else None
        folds: list[Fold] = [lives, usage, power, *checker.laws, *(() if recovery is None else (recovery,))]
        if watch is not None:
            folds.append(watch(started))
        if steer is None:
            run = (world or build)(cluster, workload, folds, record)
        else:
            clock = steer.clock(scenario.interleaving, to_ps(scenario.run.liveness_s))
            run = build(cluster, workload, folds, record, injectable=True, clock=clock)
            steer.begin(run, checker)
        go(run)
        checker.finish()
        lives.close()
        broken = tuple(law for law in checker.statutes if law.count)
        found = summary(
            started,
            lives,
            usage,
            power,
            digest=run.log.digest(),
            entries=run.log.entries,
            wakeups=run.clock.wakeups,
            laws_checked=len(checker.checked),
            laws_broken=[law.name for law in broken],
            prefix_reuse=_prefix_reuse(workload),
            wall_s=time.perf_counter() - began_s,
            cpu_s=time.process_time() - began_cpu_s,
        )
        found["scenario"] |= _choices(scenario)
        found["faults"] = None if recovery is None else recovery.summary()
        found["laws"]["violations"] = [
            {"law": kept.law, "at_s": kept.at_ps / PS_PER_S, "what": kept.what} for law in broken for kept in law.kept
        ]
        found["workload"] = _workload(scenario, workload)
        if folder is not None:
            folder.keep(resolved_toml(scenario if steer is None else steer.kept(scenario)), found)
    return Outcome(found, broken, tuple(run.seated.contract.words))


def law_rules(cluster: Cluster) -> LawRules:
    """What the laws must know of a scenario beside the record."""
    scenario, limits = cluster.scenario, cluster.scenario.scheduler
    return LawRules(
        control_latency_ps=to_ps(scenario.network.control_latency_s),
        layers=cluster.model.layers,
        kv_bytes_per_token=cluster.model.kv_bytes_per_token,
        watermark_blocks=tuple(int(machine.kv_blocks * limits.watermark) for machine in cluster.machines),
        prefill_batch_tokens=limits.prefill_batch_tokens,
        decode_batch=limits.decode_batch,
        max_preemptions=limits.max_preemptions,
        reserve_max_tokens=limits.reserve == "max_tokens",
        liveness_ps=to_ps(scenario.run.liveness_s),
        faulty=is_faulty(scenario),
        get=scenario.transfer.direction == "get",
        max_overtaken=0 if limits.policy is None else limits.max_overtaken,
    )


@contextmanager
def _rare_collections() -> Iterator[None]:
    """A run leaves hardly a cycle behind, and looking for some among its open requests took 2.5 % of its time."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def go(run: Run | RealRun) -> None:
    """Where tasks were cancelled because one failed, what that one raised is all there is to tell."""
    try:
        with _rare_collections():
            run.go()
    except BaseExceptionGroup as group:
        only: BaseException = group.subgroup(KeyboardInterrupt) or group
        while isinstance(only, BaseExceptionGroup) and len(only.exceptions) == 1:
            only = only.exceptions[0]
        if only is group:
            raise
        raise only from None


def _choices(scenario: Scenario) -> dict[str, Any]:
    return {
        "policy": scenario.router.policy,
        "seed": scenario.seed,
        "interleaving": scenario.interleaving,
        "costs": scenario.costs.model,
    }


def _workload(scenario: Scenario, workload: Workload) -> dict[str, Any]:
    rate_rps = scenario.workload.rate_rps
    if rate_rps is None and len(workload) > 1:
        first_ps, last_ps = workload.arrivals_ps[0], workload.arrivals_ps[-1]
        rate_rps = (len(workload) - 1) * PS_PER_S / (last_ps - first_ps) if last_ps > first_ps else None
    return {
        "name": workload.name,
        "requests": len(workload),
        "rate_rps": rate_rps,
        "left_out": workload.left_out,
        "left_out_reason": workload.left_out_reason,
    }


def _prefix_reuse(workload: Workload) -> dict[str, Any] | None:
    """How much reuse of prefixes the trace offers; nothing exploits it yet."""
    offer = workload.prefix
    if offer is None:
        return None
    share = offer.tokens_offered / offer.tokens_total if offer.tokens_total else 0.0
    return {"tokens_offered": offer.tokens_offered, "tokens_total": offer.tokens_total, "share": share}
