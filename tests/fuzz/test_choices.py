"""Situations of one number: the same in every process, all different, and such as a file can hold."""

import subprocess
import sys

from hypothesis import Phase, find, settings

from emu.fuzz.choices import Rolled, drawn
from emu.fuzz.keep import scenario_text
from emu.fuzz.strategies import cluster, fault_plans, situation
from emu.scenario.schema import Scenario, machine_names

ELSEWHERE = """
from emu.fuzz.choices import Rolled
from emu.fuzz.keep import scenario_text
from emu.fuzz.strategies import cluster, fault_plans, situation
for seed in range(5):
    choose = Rolled(seed)
    print(scenario_text(situation(choose, cluster(choose), fault_plans())))
"""


def rolled(seed: int) -> Scenario:
    choose = Rolled(seed)
    return situation(choose, cluster(choose), fault_plans())


def test_a_number_is_a_situation_wherever_it_is_rolled() -> None:
    found = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=True)
    assert found.stdout == "".join(scenario_text(rolled(seed)) + "\n" for seed in range(5))


def test_situations_are_all_different_and_reach_what_is_to_be_reached() -> None:
    found = [rolled(seed) for seed in range(400)]
    assert len(set(found)) == len(found)
    faults = [fault for scenario in found for fault in scenario.faults]
    assert {"Wakeup", "Queued", "StepStarted"} <= {fault.on for fault in faults}
    assert any(fault.at_s is not None and fault.at_s > 5.0 for fault in faults)
    assert any(
        {fault.machine for fault in scenario.faults} >= {name for name in machine_names(scenario) if "decode" in name}
        for scenario in found
        if len({fault.at_s for fault in scenario.faults}) == 1
    )
    assert {scenario.transfer.direction for scenario in found} == {"put", "get"}
    assert {scenario.router.max_attempts for scenario in found} >= {1, 2, 4}


def test_what_hypothesis_draws_shrinks_to_the_plainest() -> None:
    plainest = find(
        drawn(lambda choose: (choose.one((7, 8, 9)), choose.number(3, 90), choose.few(1, 9, 3))),
        lambda found: found[1] > 10,
        settings=settings(database=None, phases=(Phase.generate, Phase.shrink)),
    )
    assert plainest == (7, 11, ())
