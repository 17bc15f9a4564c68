"""Plans whose workload is a trace: its rate is scaled by a speedup, its sizes and the shape of its arrivals stay."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import emu.cli
from emu.arrivals import load_workload
from emu.plan.load import load_plan, trial_scenario
from emu.plan.planner import searches, traces_of
from emu.plan.report import PLAN_JSON
from emu.refusal import Refusal
from emu.workload.table import PS_PER_S

GAP_S, ROWS = 0.5, 400
PLAN = """
name = "replayed"
model = "llama2-70b"
designs = ["hh"]
objective = "throughput"
constraint = {machines = 3}
workload = {trace = "steady.csv"}
search = {seeds = 1, short_s = 4.0, long_s = 8.0, step_rps = 4.0, highest_rps = 24.0}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan beside a trace of two requests a second, every third with a long answer."""
    folder = tmp_path_factory.mktemp("traced")
    rows = [f"{number * GAP_S},{900 + number},{300 if number % 3 == 0 else 40}" for number in range(ROWS)]
    (folder / "steady.csv").write_text("arrival_s,prompt_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    (folder / "plan.toml").write_text(PLAN)
    return folder


@given(st.floats(0.5, 60.0), st.floats(2.0, 6.0))
def test_a_trial_sees_the_rate_that_is_asked_for(folder: Path, rate_rps: float, duration_s: float) -> None:
    plan = load_plan(folder / "plan.toml")
    (design,) = plan.designs
    workload = load_workload(trial_scenario(plan, design, (1, 1), rate_rps, duration_s, 0))
    whole = load_workload(trial_scenario(plan, design, (1, 1), 2.0, 150.0, 0))
    assert workload.arrivals_ps[-1] <= duration_s * PS_PER_S
    assert abs(len(workload) - min(ROWS, rate_rps * duration_s)) <= 1
    assert list(workload.prompt_tokens[:200]) == list(whole.prompt_tokens[: min(200, len(workload))])
    gaps_ps = {b - a for a, b in zip(workload.arrivals_ps, workload.arrivals_ps[1:], strict=False)}
    assert all(abs(gap - PS_PER_S / rate_rps) <= 1 for gap in gaps_ps)


def test_the_trace_is_read_once_for_all_trials(folder: Path) -> None:
    plan = load_plan(folder / "plan.toml")
    traces = traces_of([plan, plan])
    assert [path.name for path in traces] == ["steady.csv"]
    (search,) = searches(plan, traces)
    assert search.space.levels == 6


def test_a_plan_over_a_trace_is_answered(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert emu.cli.status_of(["plan", "plan.toml", "--jobs", "1", "--out", "kept", "--exhaustive"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "prefill + " in out
    found = json.loads((folder / "kept" / PLAN_JSON).read_text())
    (design,) = found["designs"]
    (whole,) = found["exhaustive"]
    assert design["value"] == whole["value"] >= 4.0
    assert design["interval"] is None  # one trace, one seed: nothing is known of others


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("seeds = 1", "seeds = 2"), "search.seeds: expected 1 beside workload.trace"),
        (('trace = "steady.csv"', 'trace = "steady.csv", speedup = 2.0'), "workload.speedup: expected nothing"),
        (('trace = "steady.csv"', 'trace = "steady.csv", limit = 5'), "workload.limit: expected nothing"),
        (('trace = "steady.csv"', 'trace = "lone.csv"'), "expected a trace whose requests arrive over some time"),
    ],
)
def test_a_bad_trace_plan_is_refused(folder: Path, change: tuple[str, str], said: str) -> None:
    (folder / "lone.csv").write_text("arrival_s,prompt_tokens,output_tokens\n0.0,100,10\n")
    (folder / "bad.toml").write_text(PLAN.replace(*change))
    with pytest.raises(Refusal) as refused:
        load_plan(folder / "bad.toml")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
