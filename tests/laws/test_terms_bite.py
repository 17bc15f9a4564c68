"""Laws of routers' terms bite: a machine or the world is changed in one place, and the law of that name finds it."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from cluster_under_law import Row, judged, scenario_of

from emu.control.machine import Machine
from emu.scenario.schema import Fault, WorkloadSource
from emu.succession import Succession

LOAD: list[Row] = [(at * 20, 900, 30) for at in range(40)]
FAILOVER = evolve(
    scenario_of(prefill=2, decode=2),
    faults=(Fault(kind="router_failover", at_s=0.3, overlap_s=0.2),),
    workload=WorkloadSource(
        synthetic="azure-conv", rate_rps=1.0, duration_s=1.0, max_tokens=64, client_timeout_s=3.0, client_retries=3
    ),
)


def _takes_anybodys_word(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Machine, "admits", lambda _self, _message: True)


def _turns_further_than_it_was_told(patch: pytest.MonkeyPatch) -> None:
    original = Machine._inquired

    def inquired(self: Machine, inquire: Any, now: int) -> Any:
        return original(self, inquire._replace(term=inquire.term + 1), now)

    patch.setattr(Machine, "_inquired", inquired)
    patch.setattr(Succession, "hear_machine", lambda self, _machine, message: self.seats[-1].node.deliver(message))


@pytest.mark.parametrize(
    ("law", "change"),
    [("old-terms-refused", _takes_anybodys_word), ("terms-rise", _turns_further_than_it_was_told)],
)
def test_a_law_bites(law: str, change: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    _, broken = judged(FAILOVER, LOAD)
    assert broken == ()
    change(monkeypatch)
    _, broken = judged(FAILOVER, LOAD)
    assert law in {violation.law for violation in broken}
