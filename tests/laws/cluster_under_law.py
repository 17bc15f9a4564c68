"""Small clusters whose records the laws judge: how the tests of this folder build, draw and run them."""

from array import array
from collections.abc import Sequence
from functools import cache

from attrs import evolve
from hypothesis import strategies as st

from emu.cluster import Cluster, Hardware
from emu.execute import law_rules
from emu.laws.checker import Checker
from emu.laws.verdicts import Broken
from emu.record.entries import KINDS, Entry
from emu.record.log import Fold
from emu.run import build
from emu.scenario.schema import (
    MachineGroup,
    Network,
    Router,
    RunLimits,
    Scenario,
    Scheduler,
    Transfer,
    WorkloadSource,
)
from emu.workload.table import Workload

Row = tuple[int, int, int]  # arrival in ms, prompt tokens, output tokens


def scenario_of(
    prefill: int = 1,
    decode: int = 1,
    mixed: int = 0,
    router: Router = Router(),  # noqa: B008 (frozen)
    scheduler: Scheduler = Scheduler(),  # noqa: B008
    transfer: Transfer = Transfer(),  # noqa: B008
    network: Network = Network(),  # noqa: B008
    interleaving: int = 0,
    max_tokens: int = 64,
) -> Scenario:
    """A cluster of H100 machines that serve llama2-70b."""
    groups = tuple(
        MachineGroup(pool=pool, hardware="dgx-h100", count=count, tensor_parallel=8)  # type: ignore[arg-type]
        for pool, count in (("prefill", prefill), ("decode", decode), ("mixed", mixed))
        if count
    )
    return Scenario(
        name="small",
        model="llama2-70b",
        interleaving=interleaving,
        machines=groups,
        router=router,
        scheduler=scheduler,
        transfer=transfer,
        network=network,
        workload=WorkloadSource(synthetic="azure-conv", rate_rps=1.0, duration_s=1.0, max_tokens=max_tokens),
        run=RunLimits(liveness_s=60.0),
    )


@cache
def _plain(machines: tuple[MachineGroup, ...]) -> Cluster:
    return Cluster.of(evolve(scenario_of(), machines=machines))


def cluster_of(scenario: Scenario, kv_blocks: Sequence[int] = ()) -> Cluster:
    """The scenario's cluster, its machines with these KV blocks in turn (none: what their memory leaves)."""
    plain = _plain(scenario.machines)
    machines: tuple[Hardware, ...] = plain.machines
    if kv_blocks:
        machines = tuple(
            evolve(machine, kv_blocks=kv_blocks[index % len(kv_blocks)]) for index, machine in enumerate(machines)
        )
    seats = Cluster.of(scenario).seats if scenario.policies_from else plain.seats
    return evolve(plain, scenario=scenario, machines=machines, seats=seats)


def workload_of(rows: Sequence[Row]) -> Workload:
    rows = sorted(rows, key=lambda row: row[0])
    return Workload(
        "drawn",
        array("q", [at_ms * 10**9 for at_ms, _, _ in rows]),
        array("i", [prompt for _, prompt, _ in rows]),
        array("i", [output for _, _, output in rows]),
    )


class Kept:
    """Every entry of a run, in order."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.handlers = dict.fromkeys(KINDS, self.entries.append)


def judged(
    scenario: Scenario, rows: Sequence[Row], kv_blocks: Sequence[int] = (), folds: Sequence[Fold] = ()
) -> tuple[Checker, tuple[Broken, ...]]:
    """Run it to the end under all laws; the verdicts."""
    cluster, workload = cluster_of(scenario, kv_blocks), workload_of(rows)
    checker = Checker(cluster.started(workload), law_rules(cluster))
    build(cluster, workload, (*checker.laws, *folds)).go()
    return checker, checker.finish()


def rows(most: int = 24) -> st.SearchStrategy[list[Row]]:
    """Requests that press: ties in arrival, one-token outputs, prompts that fill blocks exactly or pass 2,048."""
    arrivals = st.one_of(st.sampled_from((0, 0, 1, 50)), st.integers(0, 3000))
    prompts = st.one_of(st.integers(1, 500), st.sampled_from((1, 15, 16, 17, 512, 2048, 2049)), st.integers(1, 3000))
    outputs = st.one_of(st.just(1), st.integers(1, 80), st.integers(1, 400))
    return st.lists(st.tuples(arrivals, prompts, outputs), min_size=1, max_size=most)


@st.composite
def clusters(draw: st.DrawFn) -> Scenario:
    """A small cluster under any of the choices that a scenario offers."""
    prefill, decode, mixed = draw(
        st.sampled_from(((1, 1, 0), (1, 1, 0), (2, 2, 0), (2, 1, 1), (1, 2, 2), (1, 1, 1), (0, 0, 1), (0, 0, 2)))
    )
    report_every_s = draw(st.sampled_from((0.0, 0.1)))
    # without latency, reports after every change would follow each other at one instant for ever
    latencies = (0.0, 0.0002, 0.02) if report_every_s else (1e-6, 0.0002, 0.02)
    policies = ("splitwise", "splitwise", "token-jsq", "jsq", "round-robin", "random")
    return scenario_of(
        prefill,
        decode,
        mixed,
        router=Router(
            policy=draw(st.sampled_from(policies)),
            prefill_queue_limit_tokens=draw(st.sampled_from((300, 2048, 8192))),
            report_every_s=report_every_s,
            queue_limit_requests=draw(st.sampled_from((0, 0, 3))),
            go_home=draw(st.sampled_from(("drained", "idle"))),
            repurpose_after_s=draw(st.sampled_from((0.5, 60.0))),
        ),
        scheduler=Scheduler(
            prefill_batch_tokens=draw(st.sampled_from((64, 512, 2048))),
            decode_batch=draw(st.sampled_from((2, 5, 512))),
            reserve=draw(st.sampled_from(("growth", "growth", "max_tokens"))),
            max_preemptions=draw(st.sampled_from((0, 1, 4))),
            watermark=draw(st.sampled_from((0.0, 0.01, 0.1))),
            max_steps=draw(st.sampled_from((0, 0, 1))),
        ),
        transfer=Transfer(
            mode=draw(st.sampled_from(("auto", "serialized", "layer-wise"))),
            signal_s=draw(st.sampled_from((None, 0.0))),
        ),
        network=Network(
            control_latency_s=draw(st.sampled_from(latencies)),
            sharing=draw(st.sampled_from(("fair", "none"))),
            bandwidth_factor=draw(st.sampled_from((1.0, 0.05))),
        ),
        interleaving=draw(st.integers(0, 1000)),
        max_tokens=draw(st.sampled_from((16, 100, 2048))),
    )
