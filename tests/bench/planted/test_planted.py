"""The planted bugs can be planted, and there are as many of each kind as the benchmark needs."""

import inspect

import pytest

from bench.planted.planted_bugs import BUGS
from bench.planted.planting import NotThere, Planted, _find, planted
from bench.planted.reach_planted import changed
from emu.control.blocks import BlockPool


def test_bugs_are_planted_and_taken_out_again() -> None:
    """All but a few: production code moves on, and what it no longer has cannot be planted."""
    gone = []
    for bug in BUGS:
        try:
            code = _find(bug)[2].__code__
            with planted(bug):
                changed = _find(bug)[2].__code__
                assert (changed.co_code, changed.co_consts, changed.co_names) != (
                    code.co_code,
                    code.co_consts,
                    code.co_names,
                )
        except NotThere as moved:
            gone.append(str(moved))
        else:
            assert _find(bug)[2].__code__ == code
    assert 10 * len(gone) <= len(BUGS), gone


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


def test_what_a_bug_reaches_is_counted() -> None:
    """One of every block that is lent, and one that nothing can reach: owners let go of no block that is pinned."""
    counts = changed(("block-too-many", "unpin-forgets"), 12)
    assert counts["block-too-many"] > 6
    assert not counts["unpin-forgets"]
