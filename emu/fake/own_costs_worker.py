"""OwnCostsWorker: a FakeWorker whose steps take what a callable of the user's own says, each asked for by its slices.

Only the time of a step differs from FakeWorker; whoever makes one sees to it that no batch asks for more than one step
at a time.
"""

from emu.control.batch import Batch
from emu.fake.clock import HeapClock
from emu.fake.leap import LayerTimes, Leap
from emu.fake.model import FakeModel, KvMemory
from emu.fake.own_costs import OwnCosts, Slice
from emu.fake.plan import SCALE
from emu.fake.worker import FakeWorker


class OwnCostsWorker(FakeWorker):
    """The worker of one machine with step times of the user's own."""

    def __init__(
        self,
        clock: HeapClock,
        costs: OwnCosts,
        model: FakeModel,
        memory: KvMemory,
        layers: int,
        layer_sync_ps: int,
        block_tokens: int,
    ) -> None:
        super().__init__(clock, costs, model, memory, layers, layer_sync_ps, block_tokens)
        self._own = costs

    def start(self, batch: Batch) -> None:
        self._change(batch)
        self._batch, self._running, self._context_ps = batch, True, 0
        now_ps = self._clock.now_ps
        duration_ps = self._own.step_ps(self._slices(batch))
        if batch.layer_wise:
            duration_ps += self._layers * self._layer_sync_ps
        if self.factor != SCALE:
            duration_ps = duration_ps * self.factor // SCALE
        self._leap = Leap(now_ps, duration_ps, 0, 1)
        if batch.prefills:
            self._layer_times = LayerTimes(now_ps, duration_ps, self._layers)

    def _slices(self, batch: Batch) -> tuple[Slice, ...]:
        slices = [Slice("prefill", piece.first, piece.count) for piece in batch.prefills]
        if batch.sequences:
            for request_id, sequence in self._sequences.items():
                delivered = sequence.delivered + self._steps - sequence.base_step
                slices.append(Slice("decode", self._model.prompt_tokens[request_id] + delivered - 1, 1))
        return tuple(slices)
