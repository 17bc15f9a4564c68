"""Production code breaks no law: on the smallest scenario, and on small clusters pressed hard."""

from pathlib import Path

from cluster_under_law import Kept, Row, clusters, judged, rows, scenario_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emu.arrivals import load_workload
from emu.cluster import Cluster
from emu.execute import law_rules
from emu.laws.checker import Checker
from emu.run import build
from emu.scenario.load import load
from emu.scenario.schema import Router, Scenario

SCENARIOS = Path(__file__).parents[2] / "scenarios"


def test_hello_breaks_no_law() -> None:
    cluster = Cluster.of(load(SCENARIOS / "hello.toml"))
    workload = load_workload(cluster.scenario)
    checker = Checker(cluster.started(workload), law_rules(cluster))
    build(cluster, workload, checker.laws).go()
    assert checker.finish() == ()
    assert len(checker.checked) == len(set(checker.checked)) > 30


@given(clusters(), rows(), st.lists(st.integers(40, 200), min_size=1, max_size=4))
@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_small_clusters_break_no_law(scenario: Scenario, requests: list[Row], kv_blocks: list[int]) -> None:
    kept = Kept()
    _, broken = judged(scenario, requests, kv_blocks, (kept,))
    assert broken == ()


def test_prompts_larger_than_a_batch_and_queued_reservations_break_no_law() -> None:
    requests: list[Row] = [(0, 2049, 40), (0, 3000, 1), (0, 16, 90), (1, 800, 60), (1, 15, 1), (2, 1900, 30)] * 3
    checker, broken = judged(scenario_of(router=Router(policy="jsq")), requests, (400, 230))
    assert broken == ()
    assert not any(law.count for law in checker.statutes)


def test_a_machine_goes_on_after_a_lone_sequence_has_failed() -> None:
    _, broken = judged(scenario_of(0, 0, 1, max_tokens=300), [(0, 600, 300), (100, 100, 2)], (40,))
    assert broken == ()
