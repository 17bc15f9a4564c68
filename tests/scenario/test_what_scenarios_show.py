"""Each shipped scenario does what its opening comment says. The large ones run for 20 s here, not for 120 s."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from emu.execute import execute
from emu.scenario.load import load

FOLDER = Path(__file__).parents[2] / "scenarios"
SHORT = "workload.duration_s=20"


@cache
def summary(name: str, *overrides: str) -> dict[str, Any]:
    return dict(execute(load(FOLDER / f"{name}.toml", overrides)).summary)


def completes(found: dict[str, Any]) -> bool:
    """Every request, and every law held."""
    requests = found["requests"]
    return bool(requests["arrived"] == requests["completed"] > 0 and not found["laws"]["broken"])


def test_hello_waits_for_nothing() -> None:
    hello = summary("hello")
    assert completes(hello)
    assert 10 <= hello["requests"]["arrived"] <= 25
    assert hello["queue_s"]["p50"] < 0.001
    assert hello["slo"]["passed"]
    assert len(hello["slo"]["limits"]) == 9


@pytest.mark.parametrize(("split", "mixed"), [("splitwise_hh", "baseline_h100"), ("splitwise_aa", "baseline_a100")])
def test_splitting_shortens_the_tail_of_tbt(split: str, mixed: str) -> None:
    apart, together = summary(split, SHORT), summary(mixed, SHORT)
    assert completes(apart)
    assert completes(together)
    assert together["tbt_s"]["p99"] > 1.8 * apart["tbt_s"]["p99"]
    assert together["tbt_s"]["p50"] < apart["tbt_s"]["p50"]
    assert together["transfers"]["count"] == 0
    assert apart["transfers"]["count"] > 1000


def test_hh_decodes_all_the_time_and_hides_its_transfers() -> None:
    hh = summary("splitwise_hh", SHORT)
    pools = hh["pools"]
    assert pools["decode"]["utilisation"] > 0.7
    assert pools["prefill"]["utilisation"] < 0.4
    assert hh["transfers"]["overlapped_share"] > 0.9
    assert 0.0045 < hh["transfers"]["remainder_s"]["p50"] < 0.0065
    assert hh["slo"]["passed"]


def test_aa_costs_four_fifths_for_the_power_of_hh() -> None:
    aa, hh = summary("splitwise_aa", SHORT), summary("splitwise_hh", SHORT)
    assert 0.75 < aa["cost_per_hour"] / hh["cost_per_hour"] < 0.85
    assert 0.007 < aa["transfers"]["remainder_s"]["p50"] < 0.009
    assert aa["transfers"]["remainder_s"]["p90"] < 0.012


def test_ha_is_quick_as_hh_and_steady_as_aa() -> None:
    ha, hh, aa = (summary(name, SHORT) for name in ("splitwise_ha", "splitwise_hh", "splitwise_aa"))
    assert completes(ha)
    assert ha["ttft_s"]["p50"] == pytest.approx(hh["ttft_s"]["p50"], rel=0.05)
    assert ha["tbt_s"]["p50"] == pytest.approx(aa["tbt_s"]["p50"], rel=0.05)
    assert ha["cost_per_hour"] < hh["cost_per_hour"]


def test_hhcap_feeds_more_machines_from_the_same_power() -> None:
    capped, hh = summary("splitwise_hhcap", SHORT), summary("splitwise_hh", SHORT)
    assert completes(capped)
    assert capped["tbt_s"]["p99"] <= hh["tbt_s"]["p99"]
    assert capped["power_w"] == pytest.approx(hh["power_w"], rel=0.02)
    assert capped["cost_per_hour"] > hh["cost_per_hour"]


def test_a_burst_borrows_machines_and_has_a_long_tail() -> None:
    burst, smooth = summary("burst"), summary("burst", "workload.burstiness=1")
    assert completes(burst)
    assert burst["machine_moves"] > 10
    assert burst["ttft_s"]["p99"] > 2 * smooth["ttft_s"]["p99"]


def test_a_slow_link_hides_behind_prefill_but_not_serialized() -> None:
    slow, fast = summary("slow_link"), summary("slow_link", "network.bandwidth_factor=1")
    serialized = summary("slow_link", "transfer.mode=serialized")
    assert completes(slow)
    assert slow["transfers"]["remainder_s"]["p50"] < 1.1 * fast["transfers"]["remainder_s"]["p50"]
    assert slow["ttft_s"]["p99"] == pytest.approx(fast["ttft_s"]["p99"], rel=0.02)
    assert slow["tbt_s"]["p99"] == pytest.approx(fast["tbt_s"]["p99"], rel=0.02)
    assert serialized["transfers"]["remainder_s"]["p50"] > 2 * slow["transfers"]["remainder_s"]["p50"]
    assert serialized["transfers"]["overlapped_share"] == 0


def test_long_prompts_do_not_starve() -> None:
    coding = summary("long_prompts")
    assert completes(coding)
    assert coding["queue_s"]["p99"] < 0.2
    decode = coding["pools"]["decode"]
    at_most_64 = max(share for tokens, share in decode["batched_tokens"] if tokens <= 64)
    assert at_most_64 > 0.9
    assert coding["tbt_s"]["max"] > 10 * coding["tbt_s"]["p50"]


def test_a_crash_costs_time_and_tokens_and_no_request() -> None:
    crash = summary("crash")
    faults = crash["faults"]
    assert completes(crash)
    assert faults["struck_live"] == {"pause": 1, "restart": 1}
    assert (faults["crashes"], faults["declared_dead"]) == (1, 1)
    assert 0.4 < faults["time_to_detect_s"]["max"] < 0.7
    assert faults["attempts_lost"]["machine_dead"] > 3
    assert faults["output_tokens_again"] > 100
    assert 0.6 < crash["tbt_s"]["max"] < 1.0


def test_what_is_refused_keeps_the_rest_in_time() -> None:
    bounded, unbounded = summary("overload", SHORT), summary("overload", SHORT, "router.queue_limit_requests=0")
    assert min(bounded["requests"]["rejected"], bounded["requests"]["completed"]) > 300
    assert bounded["goodput_rps"] > 2 * unbounded["goodput_rps"]
    assert not bounded["laws"]["broken"]
    assert completes(unbounded)
