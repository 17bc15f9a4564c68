"""The paper's curves, read off our own runs (Splitwise, ISCA 2024, sections 3, 4.3 and 6.1)."""

from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve
from small_clusters import Row, Written, scenario_of, written

from emu.record.entries import Committed, RequestEnded, StepFinished, StepStarted
from emu.scenario.schema import MachineGroup, Router, Scenario, Scheduler, Transfer

MS = 10**9
# medians of the authors' profiling table (splitwise-sim, data/perf_model.csv), tensor parallel 8, single prompts, in ms
PREFILL_MS: dict[tuple[str, str], dict[int, float]] = {
    ("bloom-176b", "dgx-a100"): {512: 174, 1024: 288, 2048: 536},
    ("bloom-176b", "dgx-h100"): {512: 76.1, 1024: 132, 2048: 252},
    ("llama2-70b", "dgx-h100"): {1024: 77.9, 2048: 136.7, 4096: 390, 8192: 844.9},
    ("llama2-70b", "dgx-a100"): {512: 93.2, 1024: 154.5, 2048: 274.2, 4096: 661.2, 8192: 1549.8},
}
DECODE_MS = {
    ("llama2-70b", "dgx-a100"): {1: 45.0, 8: 46.5, 16: 50.4, 32: 53.0, 64: 71.6},
    ("llama2-70b", "dgx-h100"): {1: 30.4, 8: 32.5, 16: 34.2, 32: 38.6, 64: 50.2},
    ("bloom-176b", "dgx-h100"): {1: 36.1, 8: 38.1, 16: 40.6, 32: 45.8, 64: 63.8},
}


def pair_of(model: str, hardware: str, **keys: Any) -> Scenario:
    """One prefill and one decode machine."""
    scenario = evolve(scenario_of(**keys), model=model)
    return evolve(scenario, machines=tuple(evolve(group, hardware=hardware) for group in scenario.machines))


def prefill_ms(run: Written) -> float:
    """How long the first prefill took, from its request's arrival at 0; the assignment's flight is left out."""
    (started, *_), (finished, *_) = run.of(StepStarted), run.of(StepFinished)
    assert started.prefills
    return float(finished.at_ps - started.at_ps) / MS


@pytest.mark.parametrize(("model", "hardware"), PREFILL_MS)
def test_a_prefill_takes_what_was_measured(model: str, hardware: str) -> None:
    for prompt, measured in PREFILL_MS[model, hardware].items():
        assert prefill_ms(written(pair_of(model, hardware), [(0, prompt, 2)])) == pytest.approx(measured, rel=0.04)


@pytest.mark.parametrize("hardware", ["dgx-a100", "dgx-h100"])
def test_ttft_of_bloom_is_linear_in_the_prompt(hardware: str) -> None:
    prompts = list(range(512, 2049, 128))
    times = [prefill_ms(written(pair_of("bloom-176b", hardware), [(0, prompt, 2)])) for prompt in prompts]
    mean_prompt, mean_time = sum(prompts) / len(prompts), sum(times) / len(times)
    both = sum((p - mean_prompt) * (t - mean_time) for p, t in zip(prompts, times, strict=True))
    r2 = both**2 / sum((p - mean_prompt) ** 2 for p in prompts) / sum((t - mean_time) ** 2 for t in times)
    assert r2 >= 0.99


@pytest.mark.parametrize(("model", "hardware"), PREFILL_MS)
def test_prefill_throughput_is_highest_near_2048_tokens(model: str, hardware: str) -> None:
    prompts = (512, 1024, 1536, 2048, 3072, 4096, 8192)
    rates = {p: p / prefill_ms(written(pair_of(model, hardware), [(0, p, 2)])) for p in prompts}
    assert max(rates, key=lambda prompt: rates[prompt]) in (1536, 2048)


def decode_step_ms(model: str, hardware: str, batch: int) -> float:
    """The mean step of a batch of prompts of 512 tokens over their first 128 tokens, as the table has it."""
    rows: list[Row] = [(0, 512, 128)] * batch
    scenario = pair_of(model, hardware, router=Router(prefill_queue_limit_tokens=1 << 20))  # nothing is borrowed
    finished = [step for step in written(scenario, rows).of(StepFinished) if step.sequences == batch]
    steps: int = sum(step.steps for step in finished)
    time_ps: int = sum(step.at_ps - step.started_ps for step in finished)
    return time_ps / (steps * MS)


@pytest.mark.parametrize(("model", "hardware"), DECODE_MS)
def test_a_decode_step_takes_what_was_measured_and_doubles_at_64(model: str, hardware: str) -> None:
    steps = {batch: decode_step_ms(model, hardware, batch) for batch in DECODE_MS[model, hardware]}
    assert steps == pytest.approx(DECODE_MS[model, hardware], rel=0.05)
    assert 1.5 <= steps[64] / steps[1] <= 2.2


def remainder_ms(run: Written) -> float:
    """From the prefill's end to the commit at the decode machine."""
    prefill = next(step for step in run.of(StepFinished) if step.prompt_tokens)
    (committed,) = run.of(Committed)
    return float(committed.at_ps - prefill.at_ps) / MS


@pytest.mark.parametrize("model", ["llama2-70b", "bloom-176b"])
@pytest.mark.parametrize(("hardware", "visible_ms"), [("dgx-h100", 5), ("dgx-a100", 8)])
def test_layer_wise_leaves_a_constant_remainder_where_serialized_grows(
    model: str, hardware: str, visible_ms: float
) -> None:
    remainders: dict[str, list[float]] = {"layer-wise": [], "serialized": []}
    for mode, found in remainders.items():
        scenario = pair_of(model, hardware, transfer=Transfer(mode=mode))  # type: ignore[arg-type]
        found += [remainder_ms(written(scenario, [(0, p, 2)])) for p in (512, 1024, 2048, 4096, 8192)]
    assert all(4 <= remainder <= 10 for remainder in remainders["layer-wise"])
    assert remainders["layer-wise"] == pytest.approx([visible_ms] * 5, abs=2.0)
    assert all(longer - shorter > 0.3 for shorter, longer in pairwise(remainders["serialized"]))


def longest_gap_ms(run: Written) -> float:
    """The longest step that any decoding sequence sat through."""
    return max(float(s.first_step_ps + s.growth_ps * (s.steps - 1)) for s in run.of(StepFinished) if s.sequences) / MS


def test_mixed_batching_hurts_tbt_where_splitting_does_not() -> None:
    load: list[Row] = [(at * 250, 1500, 60) for at in range(24)]
    mixed = written(scenario_of(0, 0, 2, router=evolve(scenario_of().router, policy="token-jsq")), load)
    split = written(scenario_of(1, 1), load)
    assert longest_gap_ms(split) < 45
    assert longest_gap_ms(mixed) > 2 * longest_gap_ms(split)


def test_a_long_prompt_does_not_starve_on_a_busy_mixed_machine() -> None:
    """splitwise-sim lets this prompt wait for 628 s: nothing there cuts the run of decode steps for it."""
    busy: list[Row] = [(0, 300, 2000)] * 20
    scenario = scenario_of(0, 0, 1, router=evolve(scenario_of().router, policy="token-jsq"), scheduler=Scheduler())
    scenario = evolve(scenario, workload=evolve(scenario.workload, max_tokens=4000))
    run = written(scenario, [*busy, (5000, 4096, 2)])
    alone_ms = prefill_ms(written(scenario, [(0, 4096, 2)]))
    (prefill,) = [step for step in run.of(StepFinished) if step.prompt_tokens == 4096]
    step_ms = decode_step_ms("llama2-70b", "dgx-h100", 16) * 1.2
    assert prefill.at_ps / MS - 5000 <= 2 * alone_ms + step_ms
    assert len(run.of(RequestEnded)) == 21


def test_the_hardware_of_each_end_is_its_own() -> None:
    """HA: an H100 prefills and an A100 decodes."""
    groups = (
        MachineGroup(pool="prefill", hardware="dgx-h100", tensor_parallel=8),
        MachineGroup(pool="decode", hardware="dgx-a100", tensor_parallel=8),
    )
    run = written(evolve(scenario_of(), machines=groups), [(0, 2048, 100)])
    assert prefill_ms(run) == pytest.approx(PREFILL_MS["llama2-70b", "dgx-h100"][2048], rel=0.04)
    decode = run.of(StepFinished)[-1]
    assert (decode.at_ps - decode.started_ps) / decode.steps / MS == pytest.approx(46, rel=0.05)
