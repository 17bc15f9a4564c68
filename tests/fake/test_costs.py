"""Step times: the curves they must follow, the properties that leaps and schedulers rely on, and what is refused."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.fake.costs import CalibratedCosts, Costs, alone_ps, load_costs
from emu.fake.profiles import load_hardware, load_model, shipped_names
from emu.fake.sim_costs import SplitwiseSimCosts
from emu.refusal import Refusal

MS = 10**9
COMBINATIONS = tuple(tuple(name.rsplit(".", 2)) for name in shipped_names("steps"))
MEASURED_IN_2023 = [
    (model, hardware) for model in ("bloom-176b", "llama2-70b") for hardware in ("dgx-a100", "dgx-h100")
]
AT_TP8 = [*MEASURED_IN_2023, ("bloom-176b", "dgx-h100-capped"), ("llama2-70b", "dgx-h100-capped")]


def costs_of(model: str, hardware: str, tensor_parallel: int = 8) -> CalibratedCosts:
    costs = load_costs(load_model(model), load_hardware(hardware), tensor_parallel)
    assert isinstance(costs, CalibratedCosts)
    return costs


def sim_of(model: str, hardware: str) -> SplitwiseSimCosts:
    costs = load_costs(load_model(model), load_hardware(hardware), 8, "splitwise-sim")
    assert isinstance(costs, SplitwiseSimCosts)
    return costs


ALL = {(m, h, t): costs_of(m, h, int(t[2:])) for m, h, t in COMBINATIONS}
calibrated = st.sampled_from(list(ALL.values()))
tokens = st.integers(1, 70_000)
prompts = st.integers(1, 100)
cached = st.integers(0, 100_000)
sequences = st.integers(1, 600)
contexts = st.integers(0, 2_000_000)
more = st.integers(0, 5_000)


def test_the_shipped_combinations() -> None:
    dgx = ("dgx-a100", "dgx-h100", "dgx-h200")
    in_2023 = {(m, h, "tp8") for m in ("bloom-176b", "llama2-70b") for h in (*dgx[:2], "dgx-h100-capped")}
    in_2023 |= {("llama2-70b", h, f"tp{t}") for h in (*dgx[:2], "dgx-h100-capped") for t in (2, 4)}
    llama3 = {("llama3-8b", h, f"tp{t}") for h in dgx for t in (1, 2, 4, 8)}
    llama3 |= {("llama3-70b", h, f"tp{t}") for h in dgx for t in (4, 8)} | {("llama3-70b", "dgx-h200", "tp2")}
    h200 = {("llama2-70b", "dgx-h200", "tp4"), ("llama2-70b", "dgx-h200", "tp8"), ("llama3-8b", "h200-nvlink", "tp1")}
    h200 |= {("llama3-8b", "h200-pair", "tp1")}
    assert set(ALL) == in_2023 | llama3 | h200
    predicted = {key for key, costs in ALL.items() if "PREDICTED" in costs.profile.source}
    assert predicted == llama3 - {("llama3-8b", "dgx-h200", "tp1"), ("llama3-70b", "dgx-h200", "tp8")}


@given(calibrated, tokens, prompts, cached, more, more)
def test_prefill_never_falls_in_tokens_or_context(
    costs: CalibratedCosts, tokens: int, prompts: int, cached: int, more_tokens: int, more_cached: int
) -> None:
    before = costs.prefill_ps(tokens, prompts, cached)
    assert type(before) is int
    assert before > 0
    assert costs.prefill_ps(tokens + more_tokens, prompts, cached + more_cached) >= before


@given(calibrated, sequences, contexts, more)
def test_decode_never_falls_in_context(costs: CalibratedCosts, sequences: int, context: int, more_context: int) -> None:
    a, c = costs.decode_coefficients(sequences)
    assert (type(a), type(c)) == (int, int)
    assert costs.decode_ps(sequences, context) == a + c * context > 0
    assert costs.decode_ps(sequences, context + more_context) >= a + c * context


@given(calibrated, tokens, prompts, cached, sequences, contexts, more, more, more)
def test_mixed_never_falls_and_costs_at_least_either_part(
    costs: CalibratedCosts,
    tokens: int,
    prompts: int,
    cached: int,
    sequences: int,
    context: int,
    more_tokens: int,
    more_cached: int,
    more_context: int,
) -> None:
    mixed = costs.mixed_ps(tokens, prompts, cached, sequences, context)
    assert type(mixed) is int
    assert mixed >= costs.prefill_ps(tokens, prompts, cached)
    assert mixed >= costs.decode_ps(sequences, context)
    assert mixed <= costs.mixed_ps(
        tokens + more_tokens, prompts, cached + more_cached, sequences, context + more_context
    )


@given(calibrated, tokens, prompts, cached, sequences, contexts)
def test_a_mixed_step_without_one_kind_is_the_other(
    costs: CalibratedCosts, tokens: int, prompts: int, cached: int, sequences: int, context: int
) -> None:
    assert costs.mixed_ps(tokens, prompts, cached, 0, 0) == costs.prefill_ps(tokens, prompts, cached)
    assert costs.mixed_ps(0, 0, 0, sequences, context) == costs.decode_ps(sequences, context)


@given(calibrated, tokens, st.integers(1, 300))
def test_alone_is_the_sum_of_its_steps(costs: CalibratedCosts, prompt: int, output: int) -> None:
    ttft, gap, e2e = alone_ps(costs, prompt, output)
    steps = [costs.decode_ps(1, prompt + k) for k in range(1, output)]
    assert ttft == costs.prefill_ps(prompt, 1)
    assert e2e == ttft + sum(steps)
    assert gap == (sum(steps) // len(steps) if steps else 0)


@given(calibrated, st.lists(st.tuples(tokens, prompts), min_size=1, max_size=20))
def test_what_was_asked_before_does_not_matter(costs: CalibratedCosts, asked: list[tuple[int, int]]) -> None:
    fresh = CalibratedCosts(costs.profile)
    assert [costs.prefill_ps(*each) for each in asked] == [fresh.prefill_ps(*each) for each in reversed(asked)][::-1]


def test_prefill_depends_on_how_many_prompts_the_tokens_are_from() -> None:
    costs = costs_of("llama2-70b", "dgx-a100")
    assert costs.prefill_ps(8192, 1) == pytest.approx(1550 * MS, rel=0.002)
    assert costs.prefill_ps(8192, 16) == pytest.approx(2084 * MS, rel=0.002)
    between = [costs.prefill_ps(8192, prompts) for prompts in range(1, 17)]
    assert between == sorted(between)
    assert costs.prefill_ps(8192, 40) == costs.prefill_ps(8192, 16)


def test_the_cells_of_the_table_come_back() -> None:
    costs = costs_of("llama2-70b", "dgx-a100")
    for batch, step_ms in ((1, 44.85), (8, 46.47), (16, 50.43), (32, 53.02), (64, 71.6)):
        assert costs.decode_ps(batch, 576 * batch) == pytest.approx(step_ms * MS, rel=0.01)
    for prompt, step_ms in ((128, 65.3), (512, 93.0), (1024, 154.5), (2048, 274.2), (4096, 661.2)):
        assert costs.prefill_ps(prompt, 1) == pytest.approx(step_ms * MS, rel=0.01)


@pytest.mark.parametrize(("model", "hardware"), AT_TP8)
def test_a_decode_step_is_about_twice_as_long_at_64(model: str, hardware: str) -> None:
    costs = costs_of(model, hardware)
    assert 1.6 <= costs.decode_ps(64, 64 * 576) / costs.decode_ps(1, 576) <= 2.0


@pytest.mark.parametrize(("model", "hardware"), AT_TP8)
def test_prefill_throughput_is_highest_near_2048_tokens(model: str, hardware: str) -> None:
    costs = costs_of(model, hardware)
    best = max(range(128, 16_384, 64), key=lambda tokens: tokens / costs.prefill_ps(tokens, 1))
    assert 1536 <= best <= 2560


@pytest.mark.parametrize("hardware", ["dgx-a100", "dgx-h100", "dgx-h100-capped"])
def test_bloom_ttft_is_linear_from_512_to_2048(hardware: str) -> None:
    costs = costs_of("bloom-176b", hardware)
    xs = list(range(512, 2049, 64))
    ys = [costs.prefill_ps(x, 1) / MS for x in xs]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    shared = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    r_squared = shared**2 / (sum((x - mean_x) ** 2 for x in xs) * sum((y - mean_y) ** 2 for y in ys))
    assert r_squared >= 0.99


@pytest.mark.parametrize(("model", "tensor_parallel"), [("llama2-70b", 2), ("llama2-70b", 8), ("bloom-176b", 8)])
def test_capped_is_derived(model: str, tensor_parallel: int) -> None:
    free = costs_of(model, "dgx-h100", tensor_parallel)
    capped = costs_of(model, "dgx-h100-capped", tensor_parallel)
    assert "DERIVED" in capped.profile.source
    assert all(capped.decode_coefficients(b) == free.decode_coefficients(b) for b in (1, 3, 64, 200))
    for tokens, prompts in ((1, 1), (700, 1), (8192, 16), (20_000, 3)):
        # knots are rounded down to a picosecond, and so is the cost of a pair
        assert capped.prefill_ps(tokens, prompts) == pytest.approx(1.3 * free.prefill_ps(tokens, prompts), rel=1e-4)


def test_the_context_term_is_identified_where_a_grid_was_measured() -> None:
    for (_, hardware, _), costs in ALL.items():
        decode = costs.profile.decode
        assert costs.identified == ("h200" in hardware and "PREDICTED" not in costs.profile.source)
        for low, batch, high in zip(decode.context_low_ps, decode.sequences, decode.context_high_ps, strict=True):
            assert low <= costs.decode_coefficients(batch)[1] <= high


@given(calibrated, sequences, st.integers(1, 4000), more)
def test_decode_never_falls_in_sequences_of_equal_context(
    costs: CalibratedCosts, sequences: int, each: int, more: int
) -> None:
    before, after = (costs.decode_ps(batch, batch * each) for batch in (sequences, sequences + more))
    assert after >= before - (sequences + more) * each  # c(B) is rounded down to a picosecond a token


def test_what_was_measured() -> None:
    costs = costs_of("llama2-70b", "dgx-h100")
    assert costs.measured(1, 576)
    assert costs.measured(64, 64 * 576)
    assert not costs.measured(65, 10_000)
    assert not costs.measured(64, 64 * 576 + 1)
    assert not costs.measured(1, 100)
    assert [costs.measured_prefill(t, 1) for t in (127, 128, 8192, 8193)] == [False, True, True, False]
    assert [costs.measured_prefill(32_768, n) for n in (31, 32, 64)] == [False, True, True]
    assert not costs.measured_prefill(1000, 20)  # prompts of 50 tokens
    # 64 sequences never ran as one batch on two GPUs
    assert not costs_of("llama2-70b", "dgx-h100", 2).measured(64, 20_000)


def test_earlier_context_costs_attention_only() -> None:
    costs = costs_of("llama2-70b", "dgx-h100")
    fresh = costs.prefill_ps(2048, 1)
    assert 1.02 < costs.prefill_ps(2048, 1, 6144) / fresh < 1.25
    assert costs.prefill_ps(2048, 2, 6144) - costs.prefill_ps(2048, 2) <= costs.prefill_ps(2048, 1, 6144) - fresh


def test_splitwise_sim_as_its_facts_have_it() -> None:
    sim = sim_of("llama2-70b", "dgx-h100")
    for decodes, step_ms in ((1, 31.5), (64, 30.7), (256, 28.3), (512, 30.6)):
        assert sim.decode_coefficients(decodes)[0] == pytest.approx(step_ms * MS, abs=0.05 * MS)
        assert sim.decode_ps(decodes, 10) == sim.decode_ps(decodes, 10**6)
    for prompt, step_ms in ((1, 64.7), (256, 51.7), (2048, 134), (4096, 376), (8192, 831)):
        assert sim.prefill_ps(prompt, 1) == pytest.approx(step_ms * MS, abs=0.5 * MS)
    assert sim.mixed_ps(1500, 2, 0, 36, 9999) == sim.prefill_ps(1536, 1) * 11 // 10
    assert sim.mixed_ps(1500, 2, 0, 0, 0) == sim.prefill_ps(1500, 2)
    assert sim.mixed_ps(0, 0, 0, 5, 50) == sim.decode_ps(5, 50)
    assert (sim.measured(64, 1000), sim.measured_prefill(2048, 4)) == (False, True)


def test_splitwise_sim_bloom() -> None:
    for hardware, one, many in (("dgx-h100", 35.3, 35.5), ("dgx-a100", 47.5, 47.6)):
        sim = sim_of("bloom-176b", hardware)
        assert sim.decode_ps(1, 0) == pytest.approx(one * MS, abs=0.1 * MS)
        assert sim.decode_ps(64, 0) == pytest.approx(many * MS, abs=0.1 * MS)
    capped, free = sim_of("bloom-176b", "dgx-h100-capped"), sim_of("bloom-176b", "dgx-h100")
    assert capped.prefill_ps(2048, 1) == free.prefill_ps(2048, 1) * 13 // 10
    assert capped.decode_ps(9, 0) == free.decode_ps(9, 0)


@given(st.sampled_from(AT_TP8), st.integers(1, 200_000), sequences)
def test_splitwise_sim_is_positive_integers(combination: tuple[str, str], tokens: int, sequences: int) -> None:
    sim = sim_of(*combination)
    for step in (sim.prefill_ps(tokens, 1), sim.decode_ps(sequences, 0), sim.mixed_ps(tokens, 1, 0, sequences, 0)):
        assert type(step) is int
        assert step > 0


@pytest.mark.parametrize("costs", [costs_of("llama2-70b", "dgx-h100"), sim_of("llama2-70b", "dgx-h100")])
def test_a_step_of_nothing_is_a_bug_of_the_caller(costs: Costs) -> None:
    for tokens, prompts in ((0, 1), (5, 0), (-3, 1)):
        with pytest.raises(ValueError, match="prefill of"):
            costs.prefill_ps(tokens, prompts)
    with pytest.raises(ValueError, match="decode of"):
        costs.decode_coefficients(0)
    with pytest.raises(ValueError, match="decode of"):
        costs.mixed_ps(0, 0, 0, 0, 0)
    with pytest.raises(ValueError, match="request of"):
        alone_ps(costs, 10, 0)


def test_refusals() -> None:
    bloom, h100 = load_model("bloom-176b"), load_hardware("dgx-h100")
    with pytest.raises(
        Refusal, match=r"bloom-176b on dgx-h100 at tensor_parallel 4: no step times; .*tensor_parallel 8"
    ):
        load_costs(bloom, h100, 4)
    with pytest.raises(Refusal, match=r"'calibrate'.*did you mean calibrated\?"):
        load_costs(bloom, h100, 8, "calibrate")


def test_numpy_is_not_imported() -> None:
    code = "import sys, emu.fake.costs; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
