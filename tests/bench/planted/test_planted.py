"""The planted bugs can be planted, and there are as many of each kind as the benchmark needs."""

import inspect

import pytest

from bench.planted.planted_bugs import BUGS
from bench.planted.planting import NotThere, Planted, _find, planted
from emu.control.blocks import BlockPool


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_is_planted_and_taken_out_again(bug: Planted) -> None:
    code = _find(bug)[2].__code__
    with planted(bug):
        changed = _find(bug)[2].__code__
        same = (changed.co_code, changed.co_consts, changed.co_names) == (code.co_code, code.co_consts, code.co_names)
    assert not same
    assert _find(bug)[2].__code__ == code


def test_there_are_enough_of_each_kind() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 40
    assert sum(bug.window for bug in BUGS) >= 15
    assert sum(bug.wastes for bug in BUGS) >= 8


def test_what_has_changed_cannot_be_planted() -> None:
    bug = Planted("gone", "emu.control.blocks:BlockPool.lend", "no such text", "", "")
    before = inspect.getsource(BlockPool.lend)
    with pytest.raises(NotThere), planted(bug):
        pass
    assert inspect.getsource(BlockPool.lend) == before
