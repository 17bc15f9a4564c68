"""What is written of steps is what was done: none twice, none forgotten, however often the worker was interrupted."""

from __future__ import annotations

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from emu.control.batch import Batch
from emu.control.blocks import BlockPool
from emu.node.ports import Clock, Ran
from emu.node.steps import Steps
from emu.record import entries as e

BATCH = Batch((), (), (), (), 3, 100, 50, 0, False, True)


@define
class Desk:
    """A clock that stands where it is put, and a list of what was written."""

    now_ps: int = 0
    written: list[e.Entry] = field(factory=list)

    def now(self) -> int:
        return self.now_ps


def _steps(desk: Desk, pool: BlockPool) -> Steps:
    clock: Clock = desk  # type: ignore[assignment]  # of which only `now` is asked
    return Steps(7, pool, clock, desk.written.append)


@given(runs=st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=5), dies=st.booleans())
def test_all_steps_are_written_once(runs: list[list[int]], dies: bool) -> None:
    desk, pool = Desk(), BlockPool(64, 16)
    steps = _steps(desk, pool)
    for number, run in enumerate(runs):
        steps.open(BATCH)
        for done in run:
            pool.grown += done
            desk.now_ps += 10 * done
            steps.add(Ran(done, (), 10))
        if dies and number == len(runs) - 1:
            steps.cut(Ran(1, (), 10))
        else:
            steps.close()
        steps.close()  # again says nothing
    started = [entry for entry in desk.written if isinstance(entry, e.StepStarted)]
    told = [entry for entry in desk.written if isinstance(entry, e.StepFinished | e.StepsCut)]
    assert len(started) == len(runs)
    assert sum(entry.steps for entry in told) == sum(map(sum, runs)) + (dies and bool(runs))
    assert all(entry.steps for entry in told)
    assert all(entry.machine == 7 and entry.started_ps <= entry.at_ps for entry in told)
    assert sum(entry.grown_blocks for entry in [*started, *told]) == pool.grown == sum(map(sum, runs))


def test_a_run_keeps_the_time_of_its_first_step() -> None:
    desk = Desk()
    steps = _steps(desk, BlockPool(64, 16))
    steps.open(BATCH)
    steps.add(Ran(2, (), 100, 5, 7, 1))
    steps.add(Ran(3, (), 110, 5, 9, 2))
    steps.close()
    _, told = desk.written
    assert isinstance(told, e.StepFinished)
    assert (told.steps, told.first_step_ps, told.growth_ps, told.context_ps, told.unmeasured_steps) == (
        5,
        100,
        5,
        16,
        3,
    )
