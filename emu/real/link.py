"""CudaLink: one-sided copies of KV blocks from one device's pool into another's, posted and polled.

A put gathers its blocks into one piece, or a few layers at a time where it follows a prefill, sends it to the other
device and scatters it there, all behind each other on streams of their own; nobody waits for it but the clock's rounds.
When it has landed, the stamps of the blocks are read back from the target and compared. Who puts what where is decided
elsewhere, and where blocks must not be written any more, nobody here would know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from attrs import define, field, frozen

from emu.control.commands import PostSignal, Put
from emu.control.messages import Message, Signal
from emu.node.ports import Recorder
from emu.real.clock import WallClock
from emu.real.device import Mark
from emu.real.worker import TorchWorker
from emu.record.entries import Landed

Key = tuple[int, int]  # request and attempt
PIECE_LAYERS = 4
"""Layers that leave together under a prefill. To launch a copy takes the process some 0.1 ms however small it is, and
of two prompts of 400 tokens a layer at a time that took longer than to compute them."""


class KvMismatch(Exception):
    """Blocks that landed do not hold what was put."""


@define(eq=False)
class _Flow:
    """One put under way; `batch` is the number of the prefill that it follows, -1 where it follows none."""

    source: int
    put: Put
    bytes: int
    batch: int
    landed: Mark
    seen: torch.Tensor | None = None  # the stamps at the target, complete when it has landed


@define(eq=False)
class _Connection:
    """What an attempt has posted: the puts in flight, and what waits behind them."""

    flows: int = 0
    signal: PostSignal | None = None
    watched: bool = False


@define
class CudaLink:
    """All links of a cluster. `deliver(machine, message)` hands in signals; `drained(machine, key)` completions."""

    clock: WallClock
    workers: Sequence[TorchWorker]
    kv_bytes_per_token: int
    layers: int
    recorder: Recorder
    deliver: Callable[[int, Message], None]
    drained: Callable[[int, Key], None]
    _flows: list[_Flow] = field(init=False, factory=list)
    _connections: dict[tuple[int, Key], _Connection] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self.clock.watch(self._look)

    @property
    def open(self) -> int:
        """Attempts with anything posted that has not arrived."""
        return len(self._connections)

    def port(self, source: int) -> LinkPort:
        """The KvLink of one machine."""
        return LinkPort(self, source)

    def put(self, source: int, put: Put) -> int:
        first, last = put.layers
        worker = self.workers[source]
        moved = put.prompt_tokens * self.kv_bytes_per_token * (last - first + 1) // self.layers
        batch, marks = worker.prefill_marks() if put.follow else (-1, ())
        flow = _Flow(source, put, moved, batch, self.workers[put.target].device.mark())
        self._flows.append(flow)
        self._connection(source, put.request_id, put.attempt).flows += 1
        worker.device.post(lambda: self._copy(flow, marks))
        return moved

    def signal(self, source: int, signal: PostSignal) -> None:
        key = (signal.signal.request_id, signal.signal.attempt)
        connection = self._connection(source, *key)
        connection.signal = signal
        self._settle(source, key, connection)

    def watch(self, source: int, request_id: int, attempt: int) -> None:
        connection = self._connection(source, request_id, attempt)
        connection.watched = True
        self._settle(source, (request_id, attempt), connection)

    def _connection(self, source: int, request_id: int, attempt: int) -> _Connection:
        return self._connections.setdefault((source, (request_id, attempt)), _Connection())

    def _copy(self, flow: _Flow, marks: tuple[Mark, ...]) -> None:
        """In the source device's thread, behind the launch of the prefill that it may follow."""
        put = flow.put
        source, target = self.workers[flow.source], self.workers[put.target]
        first, last = put.layers
        with source.device.copying(target.device):
            leave, arrive = source.device.put(list(put.source_blocks)), target.device.put(list(put.target_blocks))
            together = PIECE_LAYERS if marks else last + 1 - first
            for low in range(first, last + 1, together):
                high = min(low + together - 1, last)
                if marks:
                    source.device.behind(marks[high])
                rows = source.pool.gather(low, high, leave)
                target.pool.scatter(low, high, arrive, rows.to(target.device.where, non_blocking=True))
            flow.seen = target.device.fetch(target.pool.seen(arrive)[first : last + 1])
            flow.landed.set()
            target.device.ring_at_copy(flow.landed)

    def _look(self) -> bool:
        for flow in [flow for flow in self._flows if self._has_landed(flow)]:
            self._flows.remove(flow)
            self._land(flow)
        return bool(self._flows)

    def _has_landed(self, flow: _Flow) -> bool:
        """A put that follows a prefill has not landed before the prefill is over: its last layer belongs to that."""
        return flow.landed.reached() and self.workers[flow.source].finished > flow.batch

    def _land(self, flow: _Flow) -> None:
        put, now = flow.put, self.clock.now_ps
        first, last = put.layers
        self._compare(flow)
        blocks = len(put.target_blocks)
        self.recorder.write(
            Landed(now, put.target, put.request_id, put.attempt, put.target_loan, first, last, blocks, flow.bytes)
        )
        key = (put.request_id, put.attempt)
        connection = self._connections[flow.source, key]
        connection.flows -= 1
        self._settle(flow.source, key, connection)

    def _compare(self, flow: _Flow) -> None:
        """Every block of every layer that came must bear the stamp of what was put."""
        assert flow.seen is not None
        content = self.workers[flow.source].answers.content(flow.put.request_id)
        if bool((flow.seen != torch.arange(content, content + len(flow.put.target_blocks))).any()):
            raise KvMismatch(f"request {flow.put.request_id}: {flow.seen.tolist()} landed, expected {content} and on")

    def _settle(self, source: int, key: Key, connection: _Connection) -> None:
        """Behind the last byte: the signal is delivered, or the completion that somebody waits for."""
        if connection.flows or not (connection.signal or connection.watched):
            return
        del self._connections[source, key]
        posted, clock = connection.signal, self.clock
        if posted is not None:
            clock.call_at(clock.now_ps, lambda: self.deliver(posted.target, posted.signal))
        if connection.watched:
            clock.call_at(clock.now_ps, lambda: self.drained(source, key))


@frozen
class LinkPort:
    """The KvLink of machine `source`."""

    link: CudaLink
    source: int

    def put(self, put: Put) -> int:
        return self.link.put(self.source, put)

    def get(self, source: int, put: Put, done: Signal) -> int:
        """The same copy, asked for by the other side; its completion is delivered here."""
        moved = self.link.put(source, put)
        self.link.signal(source, PostSignal(self.source, done))
        return moved

    def signal(self, signal: PostSignal) -> None:
        self.link.signal(self.source, signal)

    def watch(self, request_id: int, attempt: int) -> None:
        self.link.watch(self.source, request_id, attempt)
