"""A sample of drawn situations: the same digests inside a Hypothesis test and outside, here and in another process."""

import os
import subprocess
import sys
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from emu.fuzz.clusters import Clusters
from emu.fuzz.judge import judge
from emu.fuzz.keep import scenario_text
from emu.fuzz.strategies import clusters, fault_plans, situations
from emu.scenario.schema import Scenario

ELSEWHERE = """
import sys
from pathlib import Path
from emu.fuzz.clusters import Clusters
from emu.fuzz.judge import judge
from emu.scenario.load import load
for path in sys.argv[1:]:
    print(judge(load(Path(path)), Clusters()).digest)
"""
SAMPLE = 12


def test_a_sample_has_the_same_digests_everywhere(tmp_path: Path) -> None:
    drawn: list[tuple[Scenario, str]] = []

    @settings(max_examples=SAMPLE, database=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
    @seed(1)
    @given(clusters().flatmap(lambda base: situations(base, fault_plans())))
    def draw(scenario: Scenario) -> None:
        drawn.append((scenario, judge(scenario, Clusters()).digest))

    draw()
    assert len(drawn) == SAMPLE
    assert [judge(scenario, Clusters()).digest for scenario, _ in drawn] == [digest for _, digest in drawn]
    paths = [tmp_path / f"{number}.toml" for number in range(SAMPLE)]
    for path, (scenario, _) in zip(paths, drawn, strict=True):
        path.write_text(scenario_text(scenario))
    found = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *map(str, paths)],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == [digest for _, digest in drawn]
