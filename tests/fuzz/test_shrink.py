"""Shrinking gives the smallest scenario that still fails, and files that load as what was written."""

from pathlib import Path

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.fuzz.judge import Finding
from emu.fuzz.keep import junit, scenario_text
from emu.fuzz.shrink import Shrinker, plain
from emu.fuzz.strategies import clusters, fault_plans, situations
from emu.scenario.load import load
from emu.scenario.schema import MachineGroup, Row, Scenario, Transfer, WorkloadSource

SITUATIONS = clusters().flatmap(lambda base: situations(base, fault_plans()))


@settings(max_examples=40)
@given(SITUATIONS, st.integers(50, 3000))
def test_what_is_left_is_one_request_that_is_just_long_enough(scenario: Scenario, tokens: int) -> None:
    def fails(candidate: Scenario) -> bool:
        return sum(row.prompt_tokens for row in candidate.workload.requests) >= tokens

    if not fails(scenario):
        return
    shrinker = Shrinker(plain(scenario), fails)
    small = shrinker.shrink(scenario)
    assert fails(small)
    assert shrinker.size(small) <= shrinker.size(scenario)
    assert len(small.workload.requests) == 1
    assert sum(group.count for group in small.machines) == len(small.machines)
    assert not small.faults
    assert not small.delays
    assert evolve(small, workload=plain(small).workload) == plain(small)


@settings(max_examples=60)
@given(SITUATIONS)
def test_a_kept_situation_loads_as_it_was(tmp_path_factory: object, scenario: Scenario) -> None:
    path = Path(tmp_path_factory.getbasetemp()) / "kept.toml"  # type: ignore[attr-defined]
    path.write_text(scenario_text(scenario, "first line\nsecond line"))
    assert load(path) == scenario


def test_a_junit_file_is_xml_whatever_was_found() -> None:
    from xml.etree import ElementTree

    finding = Finding("law", 'says "that" & more', 0, "what <happened>\x00")
    root = ElementTree.fromstring(junit("a & b", 10, 1.5, [(finding, "a < b\x1b[0m")]).encode())
    assert root.attrib["failures"] == "1"
    assert root.find("testcase/failure") is not None


def test_what_is_left_is_never_refused() -> None:
    """Lease and heartbeat shrink one by one, and a heartbeat longer than its lease is no scenario."""
    base = Scenario(
        name="pair",
        model="llama2-70b",
        machines=(MachineGroup(pool="mixed", hardware="dgx-h100", count=1, tensor_parallel=8),),
        workload=WorkloadSource(requests=(Row(at_s=0.0, prompt_tokens=100, output_tokens=2),)),
    )
    drawn = evolve(base, transfer=Transfer(lease_s=0.2, heartbeat_s=0.05))
    asked: list[Scenario] = []

    def fails(candidate: Scenario) -> bool:
        asked.append(candidate)
        return candidate.transfer.lease_s < 1.0

    small = Shrinker(base, fails).shrink(drawn)
    assert all(each.transfer.heartbeat_s < each.transfer.lease_s for each in asked)
    assert small.transfer.heartbeat_s < small.transfer.lease_s == 0.2
