"""Laws of machines that crash bite: the world or a node is changed in one place, and the law of that name finds it."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from cluster_under_law import Row, judged, scenario_of

from emu.fake.worker import FakeWorker
from emu.places import Place, Places
from emu.scenario.schema import Fault

LOAD: list[Row] = [(at * 40, 900, 60) for at in range(30)]
CRASHES = evolve(
    scenario_of(prefill=2, decode=2),
    faults=(
        Fault(kind="restart", machine="decode-0", at_s=0.61, startup_s=0.3),
        Fault(kind="restart", machine="prefill-0", at_s=0.31, startup_s=0.3),
    ),
)


def _hears_when_down(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Place, "receive", lambda _self, hand: hand())


def _starts_as_the_same(patch: pytest.MonkeyPatch) -> None:
    original = Places.start_again

    def again(self: Places, machine: int) -> None:
        self[machine].incarnation -= 1
        original(self, machine)

    patch.setattr(Places, "start_again", again)


def _keeps_the_step_under_way(patch: pytest.MonkeyPatch) -> None:
    original = FakeWorker.cut

    def cut(self: FakeWorker) -> Any:
        ran = original(self)
        return ran._replace(steps=ran.steps + 1)

    patch.setattr(FakeWorker, "cut", cut)


@pytest.mark.parametrize(
    ("law", "change"),
    [
        ("crashed-is-silent", _hears_when_down),
        ("incarnations-rise", _starts_as_the_same),
        ("steps-agree", _keeps_the_step_under_way),
    ],
)
def test_a_law_bites(law: str, change: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    _, broken = judged(CRASHES, LOAD)
    assert broken == ()
    change(monkeypatch)
    _, broken = judged(CRASHES, LOAD)
    assert law in {violation.law for violation in broken}
