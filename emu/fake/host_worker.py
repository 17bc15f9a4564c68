"""HostWorker: a FakeWorker whose host was measured. Each decode step takes a time of its own, no step begins before the
copies that were posted are launched, and prompts behind prompts take longer.

Only the times of steps differ from FakeWorker; whoever makes one sees to it that no batch asks for more than one step
at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from emu.control.batch import Batch
from emu.control.commands import PostSignal, Put
from emu.control.messages import Signal as SignalMessage
from emu.fake.clock import HeapClock
from emu.fake.costs import Costs
from emu.fake.even import WHOLE
from emu.fake.host import HostTimes
from emu.fake.leap import LayerTimes
from emu.fake.model import FakeModel, KvMemory
from emu.fake.worker import FakeWorker
from emu.node.ports import KvLink, Ran, Signal


class HostWorker(FakeWorker):
    """The worker of one machine with such a host."""

    def __init__(
        self,
        clock: HeapClock,
        costs: Costs,
        model: FakeModel,
        memory: KvMemory,
        layers: int,
        layer_sync_ps: int,
        block_tokens: int,
        host: HostTimes,
    ) -> None:
        super().__init__(clock, costs, model, memory, layers, layer_sync_ps, block_tokens)
        self._host = host
        self._drawn = 0
        self._free_ps = 0  # when all that was posted is launched
        self._ended_ps = -1  # when the latest step with prompts did

    def launching(self) -> None:
        """A copy in one piece has been posted."""
        self._free_ps = max(self._free_ps, self._clock.now_ps) + self._host.launch_ps

    def start(self, batch: Batch) -> None:
        super().start(batch)
        leap, host = self._leap, self._host
        assert leap is not None
        late_ps = max(0, self._free_ps - leap.started_ps)
        if batch.prefills:
            share = host.behind if self._ended_ps == leap.started_ps else host.paused
            leap.first_ps += leap.first_ps * share // WHOLE + late_ps
            self._layer_times = LayerTimes(leap.started_ps, leap.first_ps, self._layers)
        else:
            leap.first_ps = max(1, leap.first_ps + late_ps + host.over_ps(self._drawn))
            self._drawn += 1

    async def finish(self, mail: Signal) -> Ran:
        with_prompts = self._layer_times is not None
        ran = await super().finish(mail)
        if with_prompts:
            self._ended_ps = self._clock.now_ps
        return ran._replace(closes=True)  # no step takes as long as another


@frozen(eq=False, repr=False)
class HostPort:
    """The KvLink of machine `index`: whose worker launches what it posts, if it is a HostWorker."""

    link: KvLink
    index: int
    workers: Sequence[FakeWorker]

    def put(self, put: Put) -> int:
        self._launch(self.index, put)
        return self.link.put(put)

    def get(self, source: int, put: Put, done: SignalMessage) -> int:
        self._launch(source, put)
        return self.link.get(source, put, done)

    def signal(self, signal: PostSignal) -> None:
        self.link.signal(signal)

    def watch(self, request_id: int, attempt: int) -> None:
        self.link.watch(request_id, attempt)

    def _launch(self, source: int, put: Put) -> None:
        worker = self.workers[source]
        if not put.follow and isinstance(worker, HostWorker):
            worker.launching()
