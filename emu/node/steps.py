"""Steps: what one machine runs, and the entries that tell of it.

Steps of an unchanged batch are written as one entry, however often the worker was interrupted between them. When a
batch starts and ends is the engine loop's word; here it is only remembered and written.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from emu.control.batch import Batch
from emu.control.blocks import BlockPool
from emu.node.ports import Clock, Ran
from emu.record import entries as e


@define(eq=False, repr=False)
class _Run:
    """Steps of one batch that are done and not written yet."""

    started_ps: int
    sequences: int
    prompt_tokens: int
    steps: int = 0
    first_step_ps: int = 0
    growth_ps: int = 0
    context_ps: int = 0
    unmeasured_steps: int = 0


@define(eq=False, repr=False)
class Steps:
    """The run of steps that is open on a machine, if one is."""

    index: int
    pool: BlockPool
    clock: Clock
    write: Callable[[e.Entry], None]
    running: bool = field(init=False, default=False)  # steps are under way that the core has not counted
    run: _Run | None = field(init=False, default=None)
    _grown: int = field(init=False, default=0)

    def open(self, batch: Batch) -> None:
        """`batch` starts now."""
        now = self.clock.now()
        prefills = tuple(
            e.PrefillSlice(p.request_id, p.attempt, p.first, p.count, p.kind.value, p.loan, len(p.blocks))
            for p in batch.prefills
        )
        joined = tuple(piece.request_id for piece in batch.joined)
        self.run = _Run(now, batch.sequences, batch.prompt_tokens)
        self.write(
            e.StepStarted(
                now,
                self.index,
                prefills,
                joined,
                batch.left,
                batch.sequences,
                batch.context_tokens,
                int(batch.layer_wise),
                self._take_grown(),
                self.pool.free_blocks,
            )
        )

    def add(self, ran: Ran) -> None:
        """So much of the open run is done."""
        run = self.run
        assert run is not None
        if not run.steps:
            run.first_step_ps, run.growth_ps = ran.first_step_ps, ran.growth_ps
        run.steps += ran.steps
        run.context_ps += ran.context_ps
        run.unmeasured_steps += ran.unmeasured_steps

    def close(self) -> None:
        """Write what is done, if anything is."""
        run, self.run = self.run, None
        if run is not None and run.steps:
            self.write(e.StepFinished(*self._told(run)))

    def cut(self, ran: Ran) -> None:
        """The machine dies: of the open run so much was done."""
        self.add(ran)
        assert self.run is not None
        self.write(e.StepsCut(*self._told(self.run)))
        self.run = None

    def _told(self, run: _Run) -> tuple[int, int, int, int, int, int, int, int, int, int, int]:
        """The fields of the entry that tells of these steps."""
        return (
            self.clock.now(),
            self.index,
            run.started_ps,
            run.steps,
            run.sequences,
            run.prompt_tokens,
            run.first_step_ps,
            run.growth_ps,
            run.context_ps,
            run.unmeasured_steps,
            self._take_grown(),
        )

    def _take_grown(self) -> int:
        grown = self.pool.grown - self._grown
        self._grown += grown
        return grown
