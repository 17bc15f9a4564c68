"""Small clusters for tests: scenarios and workloads built directly, and what a run of them wrote."""

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, frozen
from hypothesis import strategies as st

from emu.cluster import Cluster
from emu.record.entries import KINDS, Entry
from emu.run import Run, build
from emu.scenario.schema import (
    CostsChoice,
    MachineGroup,
    Network,
    Pool,
    Router,
    Scenario,
    Scheduler,
    Transfer,
    WorkloadSource,
)
from emu.workload.table import Workload

PS_PER_MS = 10**9
Row = tuple[int, int, int]  # arrival in ms, prompt tokens, output tokens


def workload_of(rows: Sequence[Row]) -> Workload:
    """Arrivals in the order of their times."""
    ordered = sorted(rows, key=lambda row: row[0])
    return Workload(
        name="made up",
        arrivals_ps=array("q", [at_ms * PS_PER_MS for at_ms, _, _ in ordered]),
        prompt_tokens=array("i", [prompt for _, prompt, _ in ordered]),
        output_tokens=array("i", [output for _, _, output in ordered]),
    )


def scenario_of(
    prefill: int = 1, decode: int = 1, mixed: int = 0, kv_blocks: int | None = None, **keys: Any
) -> Scenario:
    """A cluster of DGX-H100; `keys` replace whole sections or single keys of the scenario."""
    counts: list[tuple[Pool, int]] = [("prefill", prefill), ("decode", decode), ("mixed", mixed)]
    groups = tuple(
        MachineGroup(pool=pool, hardware="dgx-h100", count=count, tensor_parallel=8, kv_blocks=kv_blocks)
        for pool, count in counts
        if count
    )
    scenario = Scenario(
        name="small",
        model="llama2-70b",
        machines=groups,
        workload=WorkloadSource(synthetic="azure-conv", rate_rps=1.0, duration_s=1.0),
    )
    return evolve(scenario, **keys)


@frozen
class Written:
    """What a run wrote."""

    run: Run
    digest: str
    entries: tuple[Entry, ...]

    def of(self, kind: type) -> list[Any]:
        return [entry for entry in self.entries if type(entry) is kind]


class Keep:
    """A fold that keeps every entry."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    @property
    def handlers(self) -> Mapping[type, Any]:
        return dict.fromkeys(KINDS, self.entries.append)


def written(scenario: Scenario, rows: Sequence[Row]) -> Written:
    """Run it to its end."""
    keep = Keep()
    run = build(Cluster.of(scenario), workload_of(rows), (keep,))
    run.go()
    return Written(run, run.log.digest(), tuple(keep.entries))


rows = st.lists(
    st.tuples(
        st.integers(0, 400).map(lambda at: at * 5),
        st.one_of(st.integers(1, 700), st.integers(1, 5000)),
        st.one_of(st.integers(1, 3), st.integers(1, 120)),
    ),
    min_size=1,
    max_size=14,
)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Clusters of up to six machines with few or many blocks, and every rule that changes what they do."""
    prefill, decode = draw(st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 2), (0, 0)]))
    mixed = draw(st.integers(0, 2)) if prefill else draw(st.integers(1, 2))
    policies = ["splitwise", "token-jsq", "jsq", "round-robin", "random"]
    return scenario_of(
        prefill,
        decode,
        mixed,
        kv_blocks=draw(st.sampled_from([330, 60, 40, 2000, None])),
        interleaving=draw(st.integers(0, 3)),
        router=Router(
            policy=draw(st.sampled_from(policies)),
            report_every_s=draw(st.sampled_from([0.1, 0.0, 0.013])),
            prefill_queue_limit_tokens=draw(st.sampled_from([8192, 500])),
            go_home=draw(st.sampled_from(["drained", "idle"])),
            repurpose_after_s=draw(st.sampled_from([60.0, 0.5])),
        ),
        scheduler=Scheduler(
            decode_batch=draw(st.sampled_from([512, 2])),
            prefill_batch_tokens=draw(st.sampled_from([2048, 64])),
            reserve=draw(st.sampled_from(["growth", "growth", "max_tokens"])),
        ),
        transfer=Transfer(mode=draw(st.sampled_from(["auto", "serialized", "layer-wise"]))),
        network=Network(bandwidth_factor=draw(st.sampled_from([1.0, 0.01]))),
        workload=WorkloadSource(
            synthetic="azure-conv",
            rate_rps=1.0,
            duration_s=1.0,
            max_tokens=draw(st.sampled_from([200, "exact", 50])),
        ),
        costs=CostsChoice(model=draw(st.sampled_from(["calibrated", "splitwise-sim"]))),
    )
