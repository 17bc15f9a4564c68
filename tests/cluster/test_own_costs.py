"""Step times of one's own: asked with the right slices, carried out exactly, refused where they do not fit."""

from pathlib import Path

import pytest
from attrs import evolve
from small_clusters import Row, scenario_of, written

from emu.cli import status_of
from emu.cluster import Cluster
from emu.fake.costs import alone_ps
from emu.fake.own_costs import Hardware, OwnCosts
from emu.fake.profiles import load_hardware, load_model, shipped_folder
from emu.record.entries import Committed, Preempted, PrefillSlice, RequestEnded
from emu.refusal import Refusal
from emu.scenario.schema import CostsChoice, Scenario

OWN = Path(__file__).parents[1] / "policies"
ROWS: list[Row] = [(at, prompt, output) for at in range(0, 200, 40) for prompt, output in ((300, 40), (900, 14))]
SCENARIO = """
name = "own"
model = "llama2-70b"
[[machines]]
pool = "prefill"
hardware = "dgx-h100"
[[machines]]
pool = "decode"
hardware = "dgx-h100"
[workload]
synthetic = "azure-conv"
rate_rps = 2.0
duration_s = 4.0
[costs]
model = "COSTS"
"""


def own(scenario: Scenario, name: str) -> Scenario:
    return evolve(scenario, policies_from=OWN, costs=CostsChoice(model=f"own_step_times:{name}"))


@pytest.mark.parametrize(
    "scenario", [scenario_of(2, 2), scenario_of(1, 1, kv_blocks=90), scenario_of(0, 0, 2, kv_blocks=120)]
)
def test_a_callable_that_says_what_the_profile_says_gives_the_same_run(scenario: Scenario) -> None:
    """Every slice is right, then: counts, caches and contexts, through growth, preemption and mixed steps."""
    plain, mine = written(scenario, ROWS), written(own(scenario, "as_calibrated"), ROWS)
    for kind in (PrefillSlice, Committed, Preempted, RequestEnded):
        assert mine.of(kind) == plain.of(kind)


def test_every_step_takes_what_it_says() -> None:
    run = written(own(scenario_of(1, 1), "Constant"), [(0, 900, 11)])
    (end,) = run.of(RequestEnded)
    steps_ps = 11 * 10**10  # a prefill and ten decodes, ten milliseconds each
    assert steps_ps < end.at_ps < steps_ps + 10**10  # and the transfer


def test_alone_is_summed_step_by_step() -> None:
    model, machine = load_model("llama2-70b"), load_hardware("dgx-h100")
    costs = OwnCosts(
        "x:y", lambda slices, _: 0.001 * sum(piece.first + 1 for piece in slices), Hardware(model, machine, 8)
    )

    ttft_ps, gap_ps, e2e_ps = alone_ps(costs, 10, 4)
    assert ttft_ps == 10**9
    assert e2e_ps == ttft_ps + (11 + 12 + 13) * 10**9
    assert gap_ps == 12 * 10**9
    assert costs.decode_ps(3, 30) == 30 * 10**9
    with pytest.raises(TypeError, match="no closed form"):
        costs.decode_coefficients(3)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("own_step_times:absent", "expected absent in"),
        ("no_such_module:Name", "expected a module no_such_module in"),
        ("own_step_times:NUMBER", "to be called with 2 arguments"),
        ("own_step_times:NeedsAnArgument", "to be made without arguments"),
        ("own_step_times:NeverCalled", "to be called with 2 arguments"),
        ("own_step_times:one_argument", "to be called with 2 arguments"),
        ("own_step_times:raises", "raised KeyError"),
        ("own_step_times:nothing", "to answer seconds above zero"),
        ("own_step_times:words", "to answer seconds above zero"),
        ("calibratd", "(the nearest is calibrated)"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, line: str
) -> None:
    (tmp_path / "s.toml").write_text(SCENARIO.replace("COSTS", name))
    monkeypatch.chdir(OWN)  # found from the working directory as well as from the scenario's folder
    assert status_of(["run", str(tmp_path / "s.toml"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_it_is_found_beside_the_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "beside.py").write_text("def Steps(slices, hardware):\n    return 0.02\n")
    (tmp_path / "s.toml").write_text(SCENARIO.replace("COSTS", "beside:Steps"))
    assert status_of(["run", str(tmp_path / "s.toml"), "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_a_bad_answer_during_a_run_ends_it_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.toml").write_text(SCENARIO.replace("COSTS", "own_step_times:not_for_long_prompts"))
    monkeypatch.chdir(OWN)
    assert status_of(["run", str(tmp_path / "s.toml"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "it answered '-1.0'" in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "s.toml"]


def test_profiles_of_ones_own_are_used_before_shipped_ones(tmp_path: Path) -> None:
    shipped = shipped_folder("steps").joinpath("llama2-70b.dgx-h100.tp8.toml").read_text()
    (tmp_path / "mine.toml").write_text(shipped.replace('hardware = "dgx-h100"', 'hardware = "mine"'))
    hardware = shipped_folder("hardware").joinpath("dgx-h100.toml").read_text()
    (tmp_path / "machine.toml").write_text(hardware.replace('name = "dgx-h100"', 'name = "mine"'))
    machine = str(tmp_path / "machine.toml")
    groups = tuple(evolve(group, hardware=machine) for group in scenario_of().machines)
    scenario = evolve(scenario_of(), machines=groups, costs=CostsChoice(profiles=(tmp_path / "mine.toml",)))
    assert Cluster.of(scenario).machines[0].costs.prefill_ps(512, 1) == 54_051_428_308
    with pytest.raises(Refusal, match="no step times"):
        Cluster.of(evolve(scenario, costs=CostsChoice()))
