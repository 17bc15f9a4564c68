"""What is judged beside the laws bites: each by a change of production that no law of a run notices there."""

from pathlib import Path

import pytest
from bench.planted.planted_bugs import BUGS
from bench.planted.planting import planted

from emu.fuzz.clusters import Clusters
from emu.fuzz.judge import judge
from emu.fuzz.properties import ALWAYS, BY_NAME
from emu.scenario.load import load
from emu.scenario.schema import Scenario

BY_BUG = {bug.name: bug for bug in BUGS}
CLUSTER = """
name = "bites"
model = "llama2-70b"
machines = [
    {{ pool = "prefill", hardware = "dgx-h100", tensor_parallel = 8, kv_blocks = {blocks} }},
    {{ pool = "decode", hardware = "dgx-h100", tensor_parallel = 8, kv_blocks = {blocks} }},
    {mixed}
]
faults = [{faults}]
[router]
prefill_queue_limit_tokens = 300
{router}
[workload]
requests = [{requests}]
client_timeout_s = 20.0
client_retries = 4
"""
MIXED = '{ pool = "mixed", hardware = "dgx-h100", tensor_parallel = 8 }'


def rows(*sizes: tuple[float, int, int]) -> str:
    return ", ".join(
        f"{{ at_s = {at_s}, prompt_tokens = {prompt}, output_tokens = {output} }}" for at_s, prompt, output in sizes
    )


BITES: tuple[tuple[str, str, str, dict[str, object]], ...] = (
    ("never-home", "not at home", rows((0.0, 1, 1), (0.0, 500, 1), (0.0, 500, 1), (0.0, 1, 5)), {"mixed": MIXED}),
    ("away-miscounted", "away from home when all is over", rows((0.0, 1, 1), (0.0, 400, 1)), {}),
    (
        "last-one-leaves",
        "changed its home, the last machine",
        rows((0.0, 200, 1), (0.0, 800, 1), (0.0, 1, 1)),
        {"router": "repurpose_after_s = 0.05", "blocks": 60},
    ),
    ("recomputing-uncounted", "0 sequences", rows((0.0, 300, 200), (0.0, 300, 200)), {"blocks": 45}),
    ("one-token-more", "", rows((0.0, 100, 20)), {"asked": 1}),
    (
        "no-quarantine",
        "was granted, expected 30",
        rows((0.0, 1, 1)),
        {"faults": '{ kind = "crash", machine = "prefill-0", at_s = 0.04, heal_after_s = 1.0 }', "only_split": True},
    ),
    (
        "never-unstranded",
        "has had no machine",
        rows((1.2, 100, 20)),
        {"faults": '{ kind = "crash", machine = "decode-0", at_s = 0.4, heal_after_s = 3.0 }', "only_split": True},
    ),
)


def scenario_of(folder: Path, requests: str, keys: dict[str, object]) -> Scenario:
    path = folder / "bites.toml"
    text = CLUSTER.format(
        requests=requests,
        blocks=keys.get("blocks", 4000),
        mixed=keys.get("mixed", ""),
        router=keys.get("router", 'policy = "jsq"' if "only_split" in keys else ""),
        faults=keys.get("faults", ""),
    )
    path.write_text(text + (f"max_tokens = {keys['asked']}\n" if "asked" in keys else ""))
    return load(path)


def found(scenario: Scenario) -> list[str]:
    clusters = Clusters()
    run = judge(scenario, clusters)
    return [
        finding.what for finding in run.findings or [f for a in ALWAYS for f in a.check(scenario, run, 0, clusters)]
    ]


@pytest.mark.parametrize(("bug", "what", "requests", "keys"), BITES, ids=[bite[0] for bite in BITES])
def test_it_bites(bug: str, what: str, requests: str, keys: dict[str, object], tmp_path: Path) -> None:
    scenario = scenario_of(tmp_path, requests, keys)
    assert not found(scenario)
    with planted(BY_BUG[bug]):
        assert any(what in told for told in found(scenario))


@pytest.mark.parametrize("name", ["preemptions-agree", "retries-agree"])
def test_answers_that_change_for_who_is_computed_again_are_found(name: str, tmp_path: Path) -> None:
    """A preempted sequence computes too little again; a retry goes on under the old number."""
    bug = {"preemptions-agree": "recompute-short", "retries-agree": "retry-keeps-its-number"}[name]
    scenario, clusters = scenario_of(tmp_path, rows((0.0, 300, 90), (0.0, 300, 90), (0.0, 200, 90)), {}), Clusters()

    def says() -> list[str]:
        run = judge(scenario, clusters)
        assert not run.findings
        return [f.what for pick in range(0, 41, 5) for f in BY_NAME[name].check(scenario, run, pick, clusters)]

    assert not says()
    with planted(BY_BUG[bug]):
        assert says()
