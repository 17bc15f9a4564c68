"""The scenarios in `scenarios/`: they load as they are, come back the same, and say what they are for."""

import subprocess
import sys
from pathlib import Path

import pytest

from emu.scenario.load import load
from emu.scenario.schema import Scenario
from emu.scenario.write import resolved_toml

FOLDER = Path(__file__).parents[2] / "scenarios"
SHIPPED = sorted(FOLDER.glob("*.toml"))
PAPERS = [path for path in SHIPPED if path.stem != "h200_pair"]  # which runs on what only its own model was measured on


def machines(scenario: Scenario) -> list[tuple[str, str, int]]:
    return [(group.pool, group.hardware, group.count) for group in scenario.machines]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_it_loads_and_comes_back_the_same(path: Path, tmp_path: Path) -> None:
    scenario = load(path)
    assert scenario.name == path.stem.replace("_", "-")
    assert path.read_text().startswith("# ")
    assert scenario.workload.synthetic is not None
    written = tmp_path / "scenario.toml"
    written.write_text(resolved_toml(scenario))
    assert load(written) == scenario


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
@pytest.mark.parametrize("override", ["model=bloom-176b", "parity=splitwise-sim"])
def test_it_loads_with_the_papers_model_and_in_parity(path: Path, override: str) -> None:
    load(path, [override])


def test_the_clusters_are_the_papers_for_conversation() -> None:
    sizes = {
        "baseline_a100": [("mixed", "dgx-a100", 70)],
        "baseline_h100": [("mixed", "dgx-h100", 40)],
        "splitwise_aa": [("prefill", "dgx-a100", 45), ("decode", "dgx-a100", 25)],
        "splitwise_hh": [("prefill", "dgx-h100", 25), ("decode", "dgx-h100", 15)],
        "splitwise_ha": [("prefill", "dgx-h100", 25), ("decode", "dgx-a100", 26)],
        "splitwise_hhcap": [("prefill", "dgx-h100", 25), ("decode", "dgx-h100-capped", 21)],
    }
    for name, groups in sizes.items():
        assert machines(load(FOLDER / f"{name}.toml")) == groups


def test_loading_imports_nothing_heavy() -> None:
    script = (
        "import sys, emu.scenario.load; print(*(m for m in ('numpy', 'rich', 'tomli_w', 'trio') if m in sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
