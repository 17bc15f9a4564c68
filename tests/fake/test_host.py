"""Measured hosts: read strictly, drawn evenly, and what they do to the steps of a run."""

from array import array
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from emu.cluster import Cluster
from emu.fake.even import WHOLE
from emu.fake.host import HostTimes, load_host, parse_host
from emu.fake.profiles import has_table
from emu.laws.verdicts import Handlers
from emu.record.entries import StepFinished
from emu.refusal import Refusal
from emu.run import build
from emu.scenario.schema import MachineGroup, Scenario, Transfer, WorkloadSource
from emu.workload.table import Workload

MS = 10**9
TABLE: dict[str, Any] = {
    "shares": [0.0, 0.5, 1.0],
    "over_s": [-1e-3, 0.0, 4e-3],
    "launch_s": 5e-4,
    "behind": 0.04,
    "paused": -0.01,
    "source": "made up",
}
TIMES = HostTimes.of(parse_host(TABLE, "here"))
NOTHING = HostTimes((0, WHOLE), (0, 0), 0, 0, 0)


class Steps:
    """A fold: what steps took, by whether they had prompts."""

    def __init__(self) -> None:
        self.prefills: list[int] = []
        self.decodes: list[int] = []
        self.handlers: Handlers = {StepFinished: self._finished}

    def _finished(self, entry: StepFinished) -> None:
        times = [entry.first_step_ps + step * entry.growth_ps for step in range(entry.steps)]
        (self.prefills if entry.prompt_tokens else self.decodes).extend(times)


def steps_of(host: HostTimes | None, *arrivals_ms: int, machines: int = 1, mode: str = "serialized") -> Steps:
    """Requests of 1,000 + 6 tokens on a prefill and a decode machine, one prompt a step."""
    workload = Workload(
        "made up",
        array("q", [at * MS for at in arrivals_ms]),
        array("i", [1000] * len(arrivals_ms)),
        array("i", [6] * len(arrivals_ms)),
    )
    groups = [MachineGroup(pool="prefill", hardware="h200-pair", tensor_parallel=1, kv_blocks=999, count=machines)]
    scenario = Scenario(
        name="two",
        model="llama3-8b",
        machines=(*groups, MachineGroup(pool="decode", hardware="h200-pair", tensor_parallel=1, kv_blocks=999)),
        workload=WorkloadSource(synthetic="azure-conv", rate_rps=1.0, duration_s=1.0),
        transfer=Transfer(mode=mode),  # type: ignore[arg-type]
    )
    scenario = evolve(scenario, scheduler=evolve(scenario.scheduler, prefill_batch_tokens=1000))
    cluster = Cluster.of(scenario)
    found = Steps()
    cluster = evolve(cluster, machines=tuple(evolve(machine, host=host) for machine in cluster.machines))
    build(cluster, workload, (found,)).go()
    return found


def test_each_decode_step_takes_what_was_drawn_for_it() -> None:
    plain = steps_of(NOTHING, 0)
    scattered = steps_of(evolve(TIMES, behind=0, paused=0, launch_ps=0), 0)
    assert scattered.prefills == plain.prefills
    over = [mine - theirs for mine, theirs in zip(scattered.decodes, plain.decodes, strict=True)]
    assert over == [TIMES.over_ps(before) for before in range(5)]
    assert len(set(over)) == 5


def test_a_host_that_adds_nothing_changes_no_step() -> None:
    plain, stepped = (steps_of(host, 0, 5, 70) for host in (None, NOTHING))
    assert stepped.prefills == plain.prefills == 3 * [plain.prefills[0]]
    assert stepped.decodes == plain.decodes


@pytest.mark.parametrize("mode", ["serialized", "layer-wise"])
def test_a_prefill_waits_until_the_copies_before_it_are_launched(mode: str) -> None:
    host = evolve(NOTHING, launch_ps=7 * MS)
    plain, late = (steps_of(each, 0, 5, 500, mode=mode).prefills for each in (NOTHING, host))
    waits = [mine - theirs for mine, theirs in zip(late, plain, strict=True)]
    assert waits == ([0, 7 * MS, 0] if mode == "serialized" else [0, 0, 0])


def test_prompts_behind_prompts_take_another_share_than_those_behind_a_pause() -> None:
    host = evolve(NOTHING, behind=WHOLE // 5, paused=-WHOLE // 10)
    plain, found = (steps_of(each, 0, 5, 500).prefills for each in (NOTHING, host))
    ratios = [mine / theirs for mine, theirs in zip(found, plain, strict=True)]
    assert ratios == pytest.approx([0.9, 1.2, 0.9])
    beside = steps_of(host, 0, 5, machines=2).prefills
    assert beside == pytest.approx([0.9 * plain[0]] * 2)  # a step of another machine's is not before it


@given(st.integers(0, 2**32), st.integers(20, 400))
def test_draws_are_spread_evenly_over_what_was_measured(seed: int, draws: int) -> None:
    host = TIMES.seeded(seed, "decode-0")
    drawn = sorted(host.over_ps(before) for before in range(draws))
    assert -MS <= drawn[0] <= drawn[-1] <= 4 * MS
    assert abs(sum(over <= 0 for over in drawn) - draws / 2) < 3


def test_seeds_and_machines_begin_elsewhere() -> None:
    assert len({TIMES.seeded(seed, machine).first for seed in range(20) for machine in ("a", "b")}) == 40


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shares": [0.0, 0.5, 0.9]}, "from 0 to 1"),
        ({"over_s": [-1e-3, 0.0]}, "over_s: expected a time for each share"),
        ({"over_s": [1e-3, 0.0, 2e-3]}, "over_s: expected a time for each share, none less"),
        ({"launch_s": -1e-3}, "above zero"),
        ({"behind": -0.6}, "behind: expected a share between -0.5 and 10"),
        ({"paused": 11.0}, "paused: expected a share"),
        ({"turn_s": 1.0}, "unknown key"),
    ],
)
def test_a_table_that_is_none_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Refusal, match=words):
        parse_host(TABLE | change, "here")
    with pytest.raises(Refusal, match="expected a table"):
        parse_host(3, "here")


def test_only_the_pair_was_measured_so() -> None:
    assert not has_table("dgx-h100", "host")
    assert load_host("h200-pair").launch_ps > 0
