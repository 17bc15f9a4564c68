"""An orphan lasts a lease and a sweep at most, also where nobody is told, or can be, that an attempt is over."""

import pytest
from attrs import evolve

from emu.node.machine_node import MachineNode
from emu.record import entries as e
from emu.reliability.cells import base
from emu.reliability.orphans import bound_s
from emu.reliability.trial import Trial, Trials
from emu.scenario.schema import Fault, Row, WorkloadSource

LOST = tuple(
    Fault(kind="lose", message="Cancel", machines=("router", name), count=9) for name in ("decode-0", "decode-1")
)
CUT_OFF = {
    "cancelled": (Fault(kind="cancel", request=1, at_s=2.0), *LOST),
    "decodes out of reach": (Fault(kind="link_down", machine="decode-0", at_s=2.0, heal_after_s=20.0),),
    "decodes unheard": (Fault(kind="link_down", machine="decode-0", at_s=2.0, heal_after_s=20.0, one_way=True),),
    "prefills out of reach": (Fault(kind="link_down", machine="prefill-0", at_s=0.03, heal_after_s=20.0),),
}


def struck(name: str) -> Trial:
    """Answers last for 40 s, a lease for 4."""
    rows = tuple(Row(at_s=0.1 * number, prompt_tokens=500, output_tokens=1500) for number in range(4))
    source = WorkloadSource(requests=rows, client_timeout_s=60.0, client_retries=2)
    return Trials().run(evolve(base("put"), workload=source, faults=CUT_OFF[name]))


@pytest.mark.parametrize("name", CUT_OFF)
def test_what_nobody_is_told_of_keeps_its_blocks_for_a_lease_and_a_sweep(name: str) -> None:
    trial = struck(name)
    assert any(isinstance(entry, e.AttemptLost | e.AttemptEnded) for entry in trial.entries)
    assert trial.longest_orphan_s <= bound_s(trial.scenario) < 5
    assert trial.clean


@pytest.mark.parametrize("name", ["cancelled", "decodes out of reach"])
def test_a_machine_that_asks_no_client_decodes_on_for_nobody(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MachineNode, "_ask_clients", lambda *_: None)
    assert struck(name).longest_orphan_s > 15
