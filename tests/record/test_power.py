"""What the machines drew, against watts added up by hand, batch by batch."""

from collections import defaultdict
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from token_stepper import Stepper

from emu.arrivals import load_workload
from emu.cluster import Cluster
from emu.record.entries import StepFinished
from emu.record.power import PEAK_OVER_PS, MachineMeter, PoolDraw, Power, peak_mw
from emu.record.power_summary import draw_w, energy
from emu.record.start import MachineDraw, MachineFacts, RunStarted
from emu.run import build
from emu.scenario.load import load

DRAW = MachineDraw(1000.0, (10, 110), (3000.0, 4000.0), (2, 12), (2400.0, 2500.0))
SCENARIOS = Path(__file__).parents[2] / "scenarios"


def watts(prompt_tokens: int, sequences: int) -> float:
    """DRAW, by hand."""
    if not prompt_tokens:
        return 2400.0 + 10 * (min(max(sequences, 2), 12) - 2)
    tokens = min(max(prompt_tokens + sequences, 10), 110)
    return 3000.0 + 10 * (tokens - 10)


def started_of(*pools: str, draw: MachineDraw | None = DRAW) -> RunStarted:
    facts = tuple(MachineFacts(f"{pool}-0", "dgx", pool, 8, 50, 1.0, 9000.0, draw) for pool in pools)
    return RunStarted("x", "m", 16, facts, 1, True)


def step(machine: int, started_ps: int, at_ps: int, sequences: int = 1, prompt_tokens: int = 0) -> StepFinished:
    return StepFinished(at_ps, machine, started_ps, 1, sequences, prompt_tokens, at_ps - started_ps, 0, 0, 0, 0)


def feed(power: Power, *steps: StepFinished) -> None:
    for entry in steps:
        power.handlers[StepFinished](entry)


@given(st.integers(0, 2**32), st.integers(1, 25), st.integers(1, 4), st.integers(1, 10**10))
@settings(deadline=None, max_examples=60)
def test_energy_is_watts_times_time(seed: int, requests: int, machines: int, tick_ps: int) -> None:
    """The stepper's instants are a few thousand; `tick_ps` stretches them over many seconds."""
    stepper = Stepper(seed, requests, machines)
    pools = [machine.pool for machine in stepper.started().machines]
    power = Power(started_of(*pools))
    feed(
        power,
        *(
            step(machine, start * tick_ps, end * tick_ps, sequences, prompts)
            for machine, start, end, prompts, sequences in stepper.batches
        ),
    )
    until_ps = stepper.entries[-1].at_ps * tick_ps
    joules: dict[str, float] = defaultdict(float)
    by_second: dict[int, float] = defaultdict(float)
    for machine, start, end, prompts, sequences in stepper.batches:
        extra_w = watts(prompts, sequences) - 1000.0
        joules[pools[machine]] += extra_w * (end - start) * tick_ps / 1e12
        second = start * tick_ps // PEAK_OVER_PS
        while second * PEAK_OVER_PS < end * tick_ps:
            inside = min(end * tick_ps, (second + 1) * PEAK_OVER_PS) - max(start * tick_ps, second * PEAK_OVER_PS)
            by_second[second] += extra_w * inside / 1e12
            second += 1
    assert power.pools is not None
    for name, pool in power.pools.items():
        idle_j = 1000.0 * pools.count(name) * until_ps / 1e12
        assert pool.drawn_mwps(until_ps) / 1e15 == pytest.approx(idle_j + joules[name])
        assert pool.idle_mwps(until_ps) + pool.busy_mwps == pool.drawn_mwps(until_ps)
    peak_w = 1000.0 * machines + max(by_second.values(), default=0.0)
    assert peak_mw(power.pools) / 1000 == pytest.approx(peak_w, abs=0.001)


def test_phases_pools_requests_and_tokens() -> None:
    """Four hours: 1 h of decode in one machine; 1 h of prefill and 1 h of both in the other."""
    hour = 3600 * 10**12
    power = Power(started_of("decode", "mixed"))
    feed(power, step(0, 0, hour, sequences=99), step(1, 0, hour, 0, 60), step(1, 2 * hour, 3 * hour, 10, 50))
    found = energy(power.pools, 4 * hour, 10, 3600)
    assert found is not None
    assert found["decode_wh"] == 2500.0
    assert found["prefill_wh"] == found["mixed_wh"] == 3500.0
    assert found["idle_wh"] == 3000.0 + 2000.0
    assert found["drawn_wh"] == 14_500.0
    assert found["per_request_wh"] == 1450.0
    assert found["per_output_token_j"] == 14_500.0
    assert draw_w(power.pools, 4 * hour) == {
        "mean_w": 14_500.0 / 4,
        "peak_w": 6000.0,
        "peak_over_s": 1.0,
        "idle_w": 2000.0,
    }


@given(st.lists(st.integers(1, 300), min_size=2, max_size=6, unique=True), st.integers(1, 400))
def test_a_prefill_draws_within_its_knots_and_never_less_for_more_tokens(knots: list[int], tokens: int) -> None:
    rising = tuple(sorted(knots))
    draw = MachineDraw(1.0, rising, tuple(float(3 * at) for at in rising), (1,), (2.0,))
    meter = MachineMeter.of(PoolDraw(), draw)
    assert meter.draw_mw(tokens, 0) == 3000 * min(max(tokens, rising[0]), rising[-1])
    assert meter.draw_mw(0, tokens) == 2000


def test_a_mixed_step_draws_no_less_than_decode() -> None:
    power = Power(started_of("mixed", draw=evolve(DRAW, decode_w=(3500.0, 3500.0))))
    feed(power, step(0, 0, 10**12, 1, 1))
    assert power.pools is not None
    assert power.pools["mixed"].mixed_mwps == 3_500_000 * 10**12


def test_what_one_machine_does_not_tell_is_not_known() -> None:
    facts = (*started_of("decode").machines, *started_of("prefill", draw=None).machines)
    power = Power(RunStarted("x", "m", 16, facts, 1, True))
    assert power.handlers == {}
    assert draw_w(power.pools, 1) is energy(power.pools, 1, 1, 1) is None


def test_no_request_no_token_no_time() -> None:
    pools = Power(started_of("decode")).pools
    found = energy(pools, -1, 0, 0)
    assert found is not None
    assert (found["drawn_wh"], found["per_request_wh"], found["per_output_token_j"]) == (0.0, None, None)
    draw = draw_w(pools, -1)
    assert draw is not None
    assert draw["mean_w"] is None


def test_the_first_line_carries_the_draw() -> None:
    started = started_of("decode", "prefill")
    assert RunStarted.of_line(started.line()) == started
    unknown = started_of("decode", draw=None)
    assert RunStarted.of_line(unknown.line()) == unknown


def test_leaping_and_stepping_draw_the_same() -> None:
    drawn = []
    for max_steps in (0, 1):
        scenario = load(SCENARIOS / "hello.toml", [])
        scenario = evolve(scenario, scheduler=evolve(scenario.scheduler, max_steps=max_steps))
        cluster, workload = Cluster.of(scenario), load_workload(scenario)
        power = Power(cluster.started(workload))
        build(cluster, workload, (power,)).go()
        assert power.pools is not None
        drawn.append([(pool.decode_mwps, pool.prefill_mwps, pool.above_idle_mwps) for pool in power.pools.values()])
    assert drawn[0] == drawn[1]
    assert drawn[0][0][1] > 0 < drawn[0][1][0]
