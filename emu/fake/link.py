"""FakeLink: the data plane. One-sided puts between machines share network cards, and land whatever becomes of anyone.

The rate of a transfer is the lesser of its sender's card over the sender's transfers and its receiver's card over the
receiver's; only transfers that touch a machine whose count changed are recomputed. A put that follows a prefill cannot
be ahead of the layers computed. Progress is exact: bytes times picoseconds, in integers. Who puts what where is
decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from emu.control.commands import PostSignal, Put
from emu.control.messages import Message, Signal
from emu.fake.clock import PS_PER_S, HeapClock, HeapEntry
from emu.fake.leap import LayerTimes
from emu.fake.model import KvMemory
from emu.fake.worker import FakeWorker
from emu.node.ports import Recorder
from emu.record.entries import Landed

if TYPE_CHECKING:
    from emu.fake.signals import SignalTimes

Key = tuple[int, int]  # request and attempt


@frozen(eq=False, repr=False)
class LinkRules:
    """One cluster's data plane. Card rates are a machine's, all its cards together, in bytes a second."""

    card_bytes_per_s: tuple[int, ...]  # by machine
    signal_ps: tuple[int, ...]  # by sending machine: from the last byte to the signal's arrival
    latency_ps: int
    kv_bytes_per_token: int
    layers: int
    fair: bool = True  # transfers share cards; else each has them to itself
    signals: Mapping[int, SignalTimes] = MappingProxyType({})  # in the place of signal_ps, where they were measured


@define(eq=False, repr=False)
class Flow:
    """One put under way. `sent` counts bytes times PS_PER_S as of `since_ps`."""

    source: int
    put: Put
    total: int
    layer_times: LayerTimes | None
    since_ps: int
    origin: KvMemory  # what it reads
    memory: KvMemory  # what it writes into
    sent: int = 0
    rate: int = 0
    end: HeapEntry | None = None

    def advance(self, now_ps: int) -> None:
        """Bring `sent` up to now, at the rate held since the last time."""
        self.sent = self._sent_by(now_ps)
        self.since_ps = now_ps

    def end_ps(self) -> int:
        """When the last byte is sent, if the rate stays: the bytes left, and no layer before it is computed."""
        times, left = self.layer_times, self.total - self.sent
        end = self.since_ps + -(-left // self.rate)
        if times is not None:
            for layer in {min(self.computed(self.since_ps), times.layers - 1), times.layers - 1}:
                ready = times.ready_ps(layer)
                if ready > self.since_ps:
                    end = max(end, ready + -(-(self.total - self._below(layer)) // self.rate))
        return end

    def sent_ps(self, layers: int, of: int) -> int:
        """When the first so many of its layers are sent, if the rate stays."""
        times, mark = self.layer_times, self.total * layers // of
        end = self.since_ps + max(0, -(-(mark - self.sent) // self.rate))
        if times is not None:
            for layer in {min(self.computed(self.since_ps), layers - 1), layers - 1}:
                ready = times.ready_ps(layer)
                if ready > self.since_ps:
                    end = max(end, ready + -(-(mark - self._below(layer)) // self.rate))
        return end

    def _sent_by(self, now_ps: int) -> int:
        times, since = self.layer_times, self.since_ps
        sent = min(self.total, self.sent + self.rate * (now_ps - since))
        if times is None:
            return sent
        done, before = self.computed(now_ps), self.computed(since)
        # just before a layer is ready no more than the layers below it can have been sent; in between, the first and
        # the last such moment bound all others, since layers come evenly
        for layer in (before, done - 1):
            if before <= layer < done:
                sent = min(sent, self._below(layer) + self.rate * (now_ps - times.ready_ps(layer)))
        return min(sent, self._below(done))

    def computed(self, now_ps: int) -> int:
        """Layers that are computed by then."""
        times = self.layer_times
        assert times is not None
        layers = max(0, (now_ps - times.started_ps) * times.layers // times.duration_ps)
        while layers < times.layers and times.ready_ps(layers) <= now_ps:
            layers += 1
        return min(layers, times.layers)

    def _below(self, layer: int) -> int:
        """The bytes of the layers below `layer`."""
        assert self.layer_times is not None
        return self.total * layer // self.layer_times.layers


@define(eq=False, repr=False)
class Connection:
    """What an attempt has posted: the puts in flight, and what waits behind them."""

    flows: int = 0
    landed_ps: int = 0
    layer_wise: bool = False  # the last one to land followed a prefill
    signal: PostSignal | None = None
    watched: bool = False


@define(eq=False, repr=False)
class FakeLink:
    """All links of a cluster. `deliver(machine, message)` hands in signals; `drained(machine, key)` completions."""

    clock: HeapClock
    rules: LinkRules
    workers: Sequence[FakeWorker]
    recorder: Recorder
    deliver: Callable[[int, Message], None]
    drained: Callable[[int, Key], None]
    _salt: int = field(init=False)
    _out: list[dict[Flow, None]] = field(init=False)
    _in: list[dict[Flow, None]] = field(init=False)
    _connections: dict[tuple[int, Key], Connection] = field(init=False, factory=dict)
    _drawn: dict[tuple[int, bool, bool], int] = field(init=False, factory=dict)  # signal times so far, by curve

    def __attrs_post_init__(self) -> None:
        machines = len(self.rules.card_bytes_per_s)
        self._salt = self.clock.salt("link")
        self._out = [{} for _ in range(machines)]
        self._in = [{} for _ in range(machines)]

    @property
    def open(self) -> int:
        """Attempts with anything posted that has not arrived."""
        return len(self._connections)

    def port(self, source: int) -> LinkPort:
        """The KvLink of one machine."""
        return LinkPort(self, source)

    def put(self, source: int, put: Put) -> int:
        now = self.clock.now_ps
        first, last = put.layers
        moved = put.prompt_tokens * self.rules.kv_bytes_per_token * (last - first + 1) // self.rules.layers
        times = self.workers[source].layer_times() if put.follow else None
        workers = self.workers
        flow = Flow(source, put, moved * PS_PER_S, times, now, workers[source].memory, workers[put.target].memory)
        self._connection(source, put.request_id, put.attempt).flows += 1
        self._out[source][flow] = None
        self._in[put.target][flow] = None
        self._share(source, put.target)
        return moved

    def get(self, reader: int, source: int, put: Put, done: Signal) -> int:
        """The same bytes the same way, and the completion behind them."""
        moved = self.put(source, put)
        self.signal(source, PostSignal(reader, done))
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

    def _connection(self, source: int, request_id: int, attempt: int) -> Connection:
        key = (source, (request_id, attempt))
        connection = self._connections.get(key)
        if connection is None:
            connection = self._connections[key] = Connection(landed_ps=self.clock.now_ps)
        return connection

    def _share(self, source: int, target: int) -> None:
        """Rates anew for every flow that touches these two machines."""
        touched = {**self._out[source], **self._in[source], **self._out[target], **self._in[target]}
        for flow in touched:
            rate = self._rate(flow)
            if rate != flow.rate:
                self._go_on(flow, rate)

    def _rate(self, flow: Flow) -> int:
        cards, sender, receiver = self.rules.card_bytes_per_s, flow.source, flow.put.target
        if self.rules.fair:
            return min(cards[sender] // len(self._out[sender]), cards[receiver] // len(self._in[receiver]))
        return min(cards[sender], cards[receiver])

    def _go_on(self, flow: Flow, rate: int) -> None:
        """From now on at this rate; at 0 it stands still."""
        clock = self.clock
        if flow.since_ps != clock.now_ps:
            flow.advance(clock.now_ps)
        flow.rate = rate
        if flow.end is not None:
            clock.cancel(flow.end)
        if rate:
            at_ps = flow.end_ps() + self.rules.latency_ps
            flow.end = clock.call_at(at_ps, self._salt, lambda: self._land(flow))
        else:
            flow.end = None

    def _land(self, flow: Flow) -> None:
        put, now = flow.put, self.clock.now_ps
        del self._out[flow.source][flow]
        del self._in[put.target][flow]
        first, last = put.layers
        flow.memory.copy_from(flow.origin, put.source_blocks, put.target_blocks, put.layers, self.rules.layers)
        self.recorder.write(
            Landed(
                now,
                put.target,
                put.request_id,
                put.attempt,
                put.target_loan,
                first,
                last,
                len(put.target_blocks),
                flow.total // PS_PER_S,
            )
        )
        self._share(flow.source, put.target)
        key = (put.request_id, put.attempt)
        connection = self._connections[flow.source, key]
        connection.flows -= 1
        connection.landed_ps = now
        connection.layer_wise = flow.layer_times is not None
        self._settle(flow.source, key, connection)

    def _settle(self, source: int, key: Key, connection: Connection) -> None:
        """Behind the last byte: the signal goes out, or the completion that somebody waits for."""
        if connection.flows or not (connection.signal or connection.watched):
            return
        del self._connections[source, key]
        posted, clock = connection.signal, self.clock
        if posted is not None:
            at_ps = clock.now_ps + self._signal_ps(source, connection)
            clock.call_at(at_ps, self._salt, lambda: self._arrived(source, posted))
        if connection.watched:
            clock.call_at(clock.now_ps, self._salt, lambda: self.drained(source, key))

    def _signal_ps(self, source: int, connection: Connection) -> int:
        times = self.rules.signals.get(source)
        if times is None:
            return self.rules.signal_ps[source]
        busy = self.workers[source].layer_times() is not None
        curve = source, connection.layer_wise, busy
        before = self._drawn.get(curve, 0)
        self._drawn[curve] = before + 1
        return times.ps(before, layer_wise=connection.layer_wise, busy=busy)

    def _arrived(self, source: int, posted: PostSignal) -> None:
        del source
        self.deliver(posted.target, posted.signal)


@frozen(eq=False, repr=False)
class LinkPort:
    """The KvLink of machine `source`."""

    link: FakeLink
    source: int

    def put(self, put: Put) -> int:
        return self.link.put(self.source, put)

    def get(self, source: int, put: Put, done: Signal) -> int:
        return self.link.get(self.source, source, put, done)

    def signal(self, signal: PostSignal) -> None:
        self.link.signal(self.source, signal)

    def watch(self, request_id: int, attempt: int) -> None:
        self.link.watch(self.source, request_id, attempt)
