"""What policies of one's own answer is carried out, or breaks the law policy-contract in their own words."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from attrs import evolve
from command_runs import Terminal
from small_clusters import Row, scenario_of, written

from emu.record.entries import Assigned, PolicyBroke, PolicyFault, RequestEnded, Status
from emu.scenario.schema import Scenario

EXAMPLES = Path(__file__).parents[2] / "examples" / "policies"
OWN = Path(__file__).parents[1] / "policies"
ROWS: list[Row] = [(at, prompt, output) for at in range(0, 200, 40) for prompt, output in ((300, 9), (900, 4))]
TIGHT = scenario_of(2, 2, kv_blocks=120)


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


def own(scenario: Scenario, section: str, name: str) -> Scenario:
    changed = evolve(getattr(scenario, section), policy=name if ":" in name else f"own_policies:{name}")
    return evolve(scenario, policies_from=OWN, **{section: changed})


@pytest.mark.parametrize("name", ["Spread", "Backwards"])
def test_the_machines_chosen_are_the_machines_that_work(name: str) -> None:
    run = written(own(scenario_of(2, 2), "router", name), ROWS)
    assert not run.of(PolicyBroke)
    assert {end.status for end in run.of(RequestEnded)} == {Status.COMPLETED}
    placed = {(entry.prefill_machine, entry.decode_machine) for entry in run.of(Assigned)}
    # once borrowed, a machine serves both pools
    assert placed == ({(0, 2), (1, 3)} if name == "Spread" else {(2, 0), (0, 0)})


def test_none_rejects() -> None:
    run = written(own(scenario_of(), "router", "Declines"), ROWS)
    assert not run.of(PolicyBroke)
    assert {end.status for end in run.of(RequestEnded)} == {Status.REJECTED}


@pytest.mark.parametrize(
    ("section", "name", "fault"),
    [
        ("router", "Raises", PolicyFault.RAISED),
        ("router", "Invents", PolicyFault.NOT_OFFERED),
        ("router", "Mumbles", PolicyFault.UNREADABLE),
        ("scheduler", "Beyond", PolicyFault.NOT_OFFERED),
        ("transfer", "Shrugs", PolicyFault.UNREADABLE),
    ],
)
def test_a_breach_is_on_record_and_the_run_goes_on(section: str, name: str, fault: PolicyFault) -> None:
    run = written(own(TIGHT, section, name), ROWS)
    assert {entry.fault for entry in run.of(PolicyBroke)} == {int(fault)}
    assert len(run.of(RequestEnded)) == len(ROWS)
    assert run.run.seated.contract.words


def test_the_choices_of_production_made_elsewhere_write_the_same_record() -> None:
    production = written(TIGHT, ROWS * 3).digest
    for section, name in (("scheduler", "Ordered"), ("transfer", "ByThreshold")):
        assert written(own(TIGHT, section, name), ROWS * 3).digest == production


def test_an_order_of_ones_own_is_another_order() -> None:
    assert written(own(TIGHT, "scheduler", "LastFirst"), ROWS).digest != written(TIGHT, ROWS).digest


def test_the_traceback_is_the_users_own(terminal: Terminal) -> None:
    path = EXAMPLES / "own.toml"
    name = "router.policy=most_room:MostRoom"
    assert terminal.run(path, "--set", name, "--set", "machines[1].kv_blocks=120") == 1
    assert "policy-contract" in terminal.err
    assert f'File "{EXAMPLES / "most_room.py"}"' in terminal.err
    assert "ValueError" in terminal.err
    assert "emu/policies" not in terminal.err


def program(folder: Path, text: str) -> str:
    path = folder / "router"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return f"exec:{path}"


def test_a_program_routes_as_the_same_policy_in_python_does() -> None:
    found = written(own(scenario_of(2, 2), "router", f"exec:{EXAMPLES / 'router.py'}"), ROWS)
    inside = evolve(own(scenario_of(2, 2), "router", "most_room:MostRoom"), policies_from=EXAMPLES)
    assert not found.of(PolicyBroke)
    assert found.digest == written(inside, ROWS).digest


@pytest.mark.skipif(shutil.which("rustc") is None, reason="no Rust compiler")
def test_the_rust_example_routes_as_the_python_one(tmp_path: Path) -> None:
    subprocess.run(["rustc", "-o", tmp_path / "router", EXAMPLES / "router.rs"], check=True)
    rust = written(own(scenario_of(2, 2), "router", f"exec:{tmp_path / 'router'}"), ROWS)
    python = written(own(scenario_of(2, 2), "router", f"exec:{EXAMPLES / 'router.py'}"), ROWS)
    assert rust.digest == python.digest


@pytest.mark.parametrize(
    ("text", "fault", "words"),
    [
        ("echo oh dear >&2; exit 3", PolicyFault.RAISED, "oh dear"),
        ("read line; echo oh dear >&2; exit 3", PolicyFault.RAISED, "oh dear"),
        ("while read line; do echo hello; done", PolicyFault.UNREADABLE, "'hello'"),
        ('while read line; do echo \'{"prefill": 0, "decode": 9}\'; done', PolicyFault.NOT_OFFERED, "9"),
        ("read line; exec cat /dev/zero", PolicyFault.UNREADABLE, "bytes on a line"),
        ("exec sleep 60", PolicyFault.LATE, "had not answered"),
    ],
)
def test_a_program_that_breaks_the_contract(tmp_path: Path, text: str, fault: PolicyFault, words: str) -> None:
    scenario = own(scenario_of(), "router", program(tmp_path, text))
    scenario = evolve(scenario, router=evolve(scenario.router, answer_within_s=0.2 if "sleep" in text else 20.0))
    run = written(scenario, ROWS)
    assert run.of(PolicyBroke)[0].fault == fault
    assert words in run.run.seated.contract.words[0]
    assert {end.status for end in run.of(RequestEnded)} == {Status.REJECTED}


def test_a_program_ends_with_the_run(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    answer = 'echo \'{"prefill": 0, "decode": 1}\''
    written(own(scenario_of(), "router", program(tmp_path, f"echo $$ > {note}; while read l; do {answer}; done")), ROWS)
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)
