"""What importing a layer loads, in a fresh process: the import contracts, and how lightly the command starts."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
WAITS = ("trio",)
HEAVY = ("trio", "numpy", "rich", "tomli_w")
ROUTER_MAY_NOT = (
    "emu.control.prefill",
    "emu.control.decode",
    "emu.control.mixed",
    "emu.control.machine",
    "emu.control.transfer.sender",
    "emu.control.transfer.receiver",
)
DECIDES = ("emu.control.router", "emu.control.pools", "emu.control.placement", *ROUTER_MAY_NOT)
CONTROL_MAY_NOT = ("emu.record", "emu.node", "emu.fake", "emu.refusal", "random", "logging", *HEAVY)


def loaded_by(module: str) -> set[str]:
    """The modules that are there after importing this one, of this checkout, and nothing else."""
    here = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); before = set(sys.modules)"
    script = f"{here}; import {module}; print(*set(sys.modules) - before)"
    found = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    return set(found.stdout.split())


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("emu.refusal", ("attrs", "attr", *HEAVY)),
        ("emu.workload.traces", ("emu.control", "emu.fake", "emu.run", "trio", "rich")),
        ("emu.control.router", (*CONTROL_MAY_NOT, *ROUTER_MAY_NOT)),
        ("emu.control.machine", (*CONTROL_MAY_NOT, "emu.control.router", "emu.control.pools", "emu.control.placement")),
        ("emu.record.entries", ("emu.control", "emu.node", "emu.fake", *HEAVY)),
        ("emu.record.log", ("emu.control", "emu.node", "emu.fake", *HEAVY)),
        ("emu.record.summary", ("emu.control", "emu.node", "emu.fake", "emu.laws", "trio", "rich")),
        ("emu.laws.checker", ("emu.control", "emu.node", "emu.fake", "trio", "rich")),
        ("emu.view.reader", ("emu.control", "emu.node", "emu.fake", "emu.laws", "emu.scenario", *HEAVY)),
        ("emu.node.machine_node", ("emu.fake", "emu.scenario", "emu.run", "emu.control.router")),
        ("emu.node.router_node", ("emu.fake", "emu.scenario", "emu.run", "emu.control.machine")),
        ("emu.fake.client", ("emu.run", "emu.scenario", *DECIDES)),
        ("emu.fake.link", ("emu.run", "emu.scenario", *DECIDES)),
        ("emu.fake.worker", ("emu.run", "emu.scenario", *DECIDES)),
        ("emu.scenario.load", ("emu.run", "emu.node", "emu.laws", "trio", "numpy", "rich", "tomli_w")),
        ("emu.run", ("emu.execute", "emu.screen", "emu.output", "emu.cli", "rich")),
        ("emu.screen.page", ("emu.run", "emu.fake", "emu.control", "emu.node", "trio", "rich")),
        ("emu.execute", ("emu.cli", "emu.screen", "rich")),
        ("emu.cli", ("emu.run", "emu.scenario", "emu.screen", "emu.execute", "attrs", "json", *HEAVY)),
    ],
)
def test_a_layer_loads_nothing_from_above(module: str, never: tuple[str, ...]) -> None:
    assert not loaded_by(module) & set(never)


def test_nothing_but_nodes_the_world_and_what_runs_them_can_wait() -> None:
    """Every module of the layers that must not wait, in one process."""
    package = CHECKOUT / "emu"
    layers = ("control", "record", "laws", "workload", "scenario", "screen", "view")
    files = [path for layer in layers for path in sorted((package / layer).rglob("*.py"))]
    names = {".".join(path.relative_to(package.parent).with_suffix("").parts) for path in files}
    assert not loaded_by(", ".join(sorted(name.removesuffix(".__init__") for name in names))) & set(WAITS)
