"""What the fold says of machines, against time added up by hand or step by step."""

import io
import json
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from token_stepper import Stepper

from emu.arrivals import load_workload
from emu.cluster import Cluster
from emu.record import entries as e
from emu.record.lives import Lives
from emu.record.log import Fold
from emu.record.power import Power
from emu.record.start import MachineFacts, RunStarted
from emu.record.summary import summary
from emu.record.usage import BATCHED_TOKENS, Usage
from emu.run import build
from emu.scenario.load import load

SCENARIOS = Path(__file__).parents[2] / "scenarios"
CONTRACT = {
    *("requests", "ttft_s", "ttst_s", "tbt_s", "tpot_s", "e2e_s", "queue_s", "transfer_s", "throughput"),
    *(
        "goodput_rps",
        "slo",
        "cost_per_hour",
        "power_w",
        "energy_wh",
        "power",
        "energy",
        "virtual_s",
        "wall_s",
        "cpu_s",
        "wakeups",
    ),
    *("laws", "digest"),
}


def feed(folds: tuple[Fold, ...], entries: list[e.Entry]) -> None:
    for entry in entries:
        for fold in folds:
            if (handler := fold.handlers.get(type(entry))) is not None:
                handler(entry)


def summed_up(started: RunStarted, lives: Lives, usage: Usage, power: Power) -> dict[str, object]:
    found = summary(
        started,
        lives,
        usage,
        power,
        wall_s=2.0,
        cpu_s=0.5,
        wakeups=40,
        laws_checked=3,
        laws_broken=("one",),
        digest="d",
        entries=80,
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


@given(st.integers(0, 2**32), st.integers(1, 25), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_time_is_what_the_batches_took(seed: int, requests: int, machines: int) -> None:
    stepper = Stepper(seed, requests, machines)
    started, usage = stepper.started(), Usage(stepper.started())
    feed((usage,), stepper.entries)
    run_ps = usage.last_ps - stepper.truths[0].arrived_ps
    assert usage.last_ps == stepper.entries[-1].at_ps
    for name, pool in usage.pools.items():
        batches = [batch for batch in stepper.batches if started.machines[batch[0]].pool == name]

        def took(prompts: bool, decodes: bool, batches: list[tuple[int, int, int, int, int]] = batches) -> int:
            return sum(b[2] - b[1] for b in batches if (b[3] > 0) == prompts and (b[4] > 0) == decodes)

        assert (pool.prefill_ps, pool.decode_ps, pool.mixed_ps) == (
            took(True, False),
            took(False, True),
            took(True, True),
        )
        machine_ps = pool.machines * run_ps
        told = pool.batched_tokens(machine_ps)
        for tokens, share in told:
            above_ps = sum(b[2] - b[1] for b in batches if b[3] + b[4] > tokens)
            assert share == pytest.approx(1 - above_ps / machine_ps if machine_ps else 0.0)
        if told:
            assert [tokens for tokens, _ in told[: len(BATCHED_TOKENS)]] == list(BATCHED_TOKENS)
            assert told[-1][1] == 1.0


def test_occupancy_is_the_area_under_the_blocks_lent() -> None:
    """10 blocks from 100 to 600, of which 4 go at 500; 8 more grow evenly from 200 to 400, and all goes at 1100."""
    facts = tuple(MachineFacts(f"m-{i}", "dgx", "decode", 8, 50, 1.0, 2.0) for i in range(2))
    usage = Usage(RunStarted("x", "m", 16, facts, 1, False))
    entries: list[e.Entry] = [
        e.Arrived(100, 0, 10, 10),
        e.Reserved(100, 0, 0, 0, 1, 6, 0),
        e.StepStarted(100, 0, (), (0,), (), 1, 10, 0, 0, 40),  # 4 that no other entry told
        e.StepFinished(200, 0, 100, 1, 1, 0, 100, 0, 0, 0, 0),
        e.StepFinished(400, 0, 200, 2, 1, 0, 100, 0, 0, 1, 8),
        e.Preempted(500, 0, 0, 0, 1, 1, 4),
        e.RequestEnded(1100, 0, 0, 0, 0, 0, 1, 0, 1, 14, 1, 1, 1),
    ]
    feed((usage,), entries)
    pool = usage.pools["decode"]
    assert pool.block_ps(1100) == 10 * 400 + 8 * 200 / 2 + 8 * 100 + 14 * 600
    assert pool.peak_occupancy == 18 / 50
    assert pool.block_ps(9999) == pool.block_ps(1100)
    assert (usage.steps, usage.unmeasured_steps, usage.preemptions) == (3, 1, 1)


def test_queues_at_their_longest() -> None:
    facts = (MachineFacts("m-0", "dgx", "prefill", 8, 50, 1.0, 2.0),)
    usage = Usage(RunStarted("x", "m", 16, facts, 4, False))
    piece = e.PrefillSlice(0, 0, 0, 10, 0, 1, 1)
    rejected = e.RequestEnded(3, -1, 1, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0)
    feed((usage,), [e.Arrived(0, 0, 10, 10), e.Arrived(1, 1, 10, 10), e.ReserveQueued(1, 0, 0, 0, 3, 0)])
    feed((usage,), [e.StepStarted(2, 0, (piece,), (), (), 0, 0, 0, 0, 49), rejected, e.Arrived(4, 2, 10, 10)])
    feed(
        (usage,), [e.ReserveQueued(4, 0, 2, 0, 3, 0), e.Reserved(5, 0, 0, 0, 9, 3, 0), e.Reserved(5, 0, 2, 0, 9, 3, 0)]
    )
    feed((usage,), [e.ReserveQueued(6, 0, 7, 0, 3, 0), e.MachineClosed(99, 0, 1, 1, 0, 0, 0, 0, 0, 0)])
    assert (usage.peak_requests, usage.peak_reservations) == (2, 2)
    assert usage.last_ps == 6


def test_nothing_happened() -> None:
    started = RunStarted("empty", "m", 16, (MachineFacts("m-0", "dgx", "mixed", 8, 50, 1.0, 2.0),), 0, True)
    found = summed_up(started, Lives(started, io.StringIO()), Usage(started), Power(started))
    assert found.keys() >= CONTRACT
    assert found["virtual_s"] == 0.0
    assert found["goodput_rps"] == 0.0


@pytest.mark.parametrize("max_steps", [0, 1])
def test_a_run_adds_up(max_steps: int) -> None:
    scenario = load(SCENARIOS / "hello.toml", [])
    scenario = evolve(scenario, scheduler=evolve(scenario.scheduler, max_steps=max_steps))
    workload, cluster = load_workload(scenario), Cluster.of(scenario)
    started = cluster.started(workload)
    lives, usage, power = Lives(started), Usage(started), Power(started)
    build(cluster, workload, (lives, usage, power)).go()
    found = summed_up(started, lives, usage, power)
    assert found.keys() >= CONTRACT
    assert found["requests"] == {"arrived": len(workload), "completed": len(workload), "rejected": 0, "failed": 0} | {
        "cancelled": 0
    }
    assert sum(usage.placement_steps) == len(workload)
    assert lives.gaps.count == sum(workload.output_tokens) - len(workload)
    assert 0 < usage.context_ps < usage.step_ps == sum(pool.busy_ps for pool in usage.pools.values())
    for pool in usage.pools.values():
        assert pool.block_ps(usage.last_ps) == pool.block_ps(usage.last_ps + 10**12), "all blocks came back"
        assert 0 < pool.block_ps(usage.last_ps) < pool.kv_blocks * usage.last_ps
    assert found["machines"] == [
        {"pool": m.pool, "hardware": m.hardware, "count": 1, "kv_blocks": m.kv_blocks, "tensor_parallel": 8}
        for m in started.machines
    ]
    assert usage.last_ps > 0
    draw, used = found["power"], found["energy"]
    assert isinstance(draw, dict)
    assert isinstance(used, dict)
    assert draw["idle_w"] < draw["mean_w"] < draw["peak_w"] < found["power_w"]
    assert draw["mean_w"] * usage.last_ps / 10**12 / 3600 == pytest.approx(used["drawn_wh"])
    assert used["drawn_wh"] < found["energy_wh"]
