"""Closed forms against other closed forms and brute force; small runs of emu against the queues that they are."""

from itertools import accumulate
from math import factorial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.fake.costs import load_costs
from emu.fake.profiles import load_hardware, load_model
from emu.validate.lab import Lab
from emu.validate.mended import Mend
from emu.validate.queues import (
    ANSWER_STEPS,
    chain,
    decode_machine,
    estimate,
    geometric,
    poisson,
    prefill_machine,
    waits_in_line,
)


def erlang_c(servers: int, offered: float) -> float:
    """The probability of waiting in M/M/c, as the textbooks have it."""
    last = offered**servers / factorial(servers) * servers / (servers - offered)
    return last / (sum(offered**k / factorial(k) for k in range(servers)) + last)


@given(st.integers(1, 20), st.floats(0.05, 0.95), st.floats(0.001, 0.1))
def test_equal_steps_make_the_chain_erlangs(servers: int, load: float, step_s: float) -> None:
    service_s = ANSWER_STEPS * step_s
    wait_s, at_once = chain(load * servers / service_s, [step_s] * servers, ANSWER_STEPS)
    waits = erlang_c(servers, load * servers)
    assert at_once == pytest.approx(1 - waits)
    assert wait_s == pytest.approx(waits * service_s / (servers * (1 - load)))


@given(st.lists(st.floats(0.01, 0.05), min_size=1, max_size=8), st.floats(0.1, 0.9))
def test_the_chain_is_the_one_cut_off_far_out(steps_s: list[float], load: float) -> None:
    servers = len(steps_s)
    rate = load * servers / (ANSWER_STEPS * steps_s[-1])
    weights = [1.0]
    for k in range(1, 2000):
        running = min(k, servers)
        weights.append(weights[-1] * rate * ANSWER_STEPS * steps_s[running - 1] / running)
    shares = np.array(weights) / sum(weights)
    in_line = sum(share * max(0, k - servers) for k, share in enumerate(shares))
    wait_s, at_once = chain(rate, steps_s, ANSWER_STEPS)
    assert wait_s == pytest.approx(in_line / rate, rel=1e-6)
    assert at_once == pytest.approx(shares[:servers].sum(), rel=1e-6)


def test_an_overloaded_line_has_no_mean() -> None:
    with pytest.raises(ValueError, match=r"a load of 1\.25"):
        chain(1.25, [1.0], 1.0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=25), st.integers(1, 4))
def test_the_recursion_serves_first_come_first(rows: list[tuple[int, int]], servers: int) -> None:
    arrivals = [float(at) for at in accumulate(gap for gap, _ in rows)]
    services = [float(service) for _, service in rows]
    waits = waits_in_line(arrivals, services, servers)
    starts = [at + wait for at, wait in zip(arrivals, waits, strict=True)]
    assert starts == sorted(starts)
    for i, start in enumerate(starts):
        busy = sum(starts[j] + services[j] > start for j in range(i))
        assert busy < servers
        if waits[i]:
            assert sum(starts[j] < start <= starts[j] + services[j] for j in range(i)) == servers, "none stood idle"


def test_draws_have_their_means_and_are_always_the_same() -> None:
    gaps = np.diff([0.0, *(at for at, _ in zip(poisson("t", 4.0), range(20_000), strict=False))])
    counts = np.array([n for n, _ in zip(geometric("t", 50), range(20_000), strict=False)])
    assert gaps.mean() == pytest.approx(0.25, rel=0.02)
    assert gaps.std() == pytest.approx(0.25, rel=0.05)
    assert counts.min() == 1
    assert counts.mean() == pytest.approx(50, rel=0.02)
    assert counts.std() == pytest.approx((50 * 49) ** 0.5, rel=0.05)
    assert next(poisson("t", 4.0)) == gaps[0]


def test_an_interval_covers_the_mean_of_independent_values() -> None:
    random = np.random.default_rng(3)
    covered = sum(estimate(random.normal(7.0, 1.0, 400)).holds(7.0) for _ in range(200))
    assert 0.90 <= covered / 200 <= 0.99


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.mark.parametrize("load", [0.5, 0.9])
def test_a_prefill_machine_is_md1(lab: Lab, load: float) -> None:
    found = prefill_machine(lab, load, 1200)
    assert found.apart_s is not None
    assert found.apart_s < 1e-9
    assert found.found.mean == pytest.approx(found.theory_s, rel=0.6), "the same arrivals differ from theory as much"


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (4, 0.8)])
def test_a_decode_machine_is_mmc_up_to_a_step(lab: Lab, servers: int, load: float) -> None:
    step_ps = 20 * 10**9
    found = decode_machine(lab, load, 400, (step_ps,) * servers)
    assert found.apart_s is not None
    assert found.apart_s <= step_ps / 1e12 + 1e-4, "a step, and the prefill and the transfer of microseconds"


@given(st.integers(1, 4000), st.integers(1, 8), st.integers(0, 64), st.integers(1, 30_000))
@settings(max_examples=40)
def test_mending_one_fault_leaves_the_others(tokens: int, prompts: int, sequences: int, context: int) -> None:
    hardware = load_hardware("dgx-h100")
    model = load_model("llama2-70b")
    sim, ours = (load_costs(model, hardware, 8, kind) for kind in ("splitwise-sim", "calibrated"))
    batch, full, mixed, prefill = (Mend(f, "llama2-70b")(sim) for f in ("batch", "context", "mixed", "prefill"))
    for mended in (batch, full, mixed):
        assert mended.prefill_ps(tokens, prompts) == sim.prefill_ps(tokens, prompts)
    assert prefill.prefill_ps(tokens, prompts) == ours.prefill_ps(tokens, prompts)
    n = max(1, sequences)
    assert full.decode_ps(n, context) == ours.decode_ps(n, context)
    assert batch.decode_ps(n, context) == ours.decode_coefficients(n)[0]
    assert mixed.decode_ps(n, context) == prefill.decode_ps(n, context) == sim.decode_ps(n, context)
    asked = (tokens, prompts, 0, n, context)
    assert mixed.mixed_ps(*asked) == ours.mixed_ps(*asked)
    assert batch.mixed_ps(*asked) == full.mixed_ps(*asked) == prefill.mixed_ps(*asked) == sim.mixed_ps(*asked)
    assert full.mixed_ps(0, 0, 0, n, context) == full.decode_ps(n, context)
    assert prefill.mixed_ps(tokens, prompts, 0, 0, 0) == prefill.prefill_ps(tokens, prompts)
