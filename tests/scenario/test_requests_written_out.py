"""Requests that a scenario writes out itself."""

from pathlib import Path

import pytest
from command_runs import Terminal

SCENARIO = """
name = "rows"
model = "llama2-70b"
machines = [{pool = "prefill", hardware = "dgx-h100"}, {pool = "decode", hardware = "dgx-h100"}]

[[workload.requests]]
at_s = 1.5
prompt_tokens = 300
output_tokens = 4

[[workload.requests]]
at_s = 0.001
prompt_tokens = 700
output_tokens = 2
"""


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


def test_rows_arrive_at_their_times_whatever_their_order(tmp_path: Path, terminal: Terminal) -> None:
    path = tmp_path / "rows.toml"
    path.write_text(SCENARIO)
    first = terminal.summary(path, "--out", tmp_path / "kept")
    arrivals = [line.split(",")[1:4] for line in (tmp_path / "kept" / "requests.csv").read_text().splitlines()[1:]]
    assert [(float(at_s), prompt, output) for at_s, prompt, output in arrivals] == [
        (0.001, "700", "2"),
        (1.5, "300", "4"),
    ]
    assert terminal.summary(tmp_path / "kept" / "scenario.toml")["digest"] == first["digest"]


def test_rows_beside_another_source_are_refused(tmp_path: Path, terminal: Terminal) -> None:
    path = tmp_path / "rows.toml"
    path.write_text(SCENARIO)
    assert terminal.run(path, "--set", "workload.rate_rps=3.0") == 2
    assert "expected nothing beside workload.requests" in terminal.err
    assert terminal.run(path, "--set", "workload.synthetic=azure-conv", "--set", "workload.rate_rps=3.0") == 2
    assert "workload.duration_s" in terminal.err
