"""FaultyLink: a data plane on which machines die, and ways are cut or slow.

It takes the place of FakeLink in a run that faults may strike. A posted put cannot be recalled: it lands whatever
becomes of its poster, unless the memory that it was to write into is gone, or it has stood still and `max_flight_ps`
have passed since. Then what was not sent lands nowhere, its connection is broken, and whatever is posted on that fails
too; whose poster there is hears which layers that were. Faults of
puts hit the nth put between two machines, or any: it lands late, or with one layer garbled, fails, or is never heard
of again.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from emu.control.commands import PostSignal, Put
from emu.control.messages import Message, Signal
from emu.control.transfer.chunks import LayerRange, merge
from emu.fake.clock import PS_PER_S, HeapEntry
from emu.fake.link import Connection, FakeLink, Flow, Key
from emu.fake.model import KvMemory
from emu.fake.plan import SCALE, Counted, Strike
from emu.fake.ways import Ways
from emu.record.entries import FaultCode, Landed, LandedNowhere

Carry = Callable[[int, int, int, Message, Callable[[], object], int], None]


@define(eq=False, repr=False)
class _Half:
    """Somebody waits until half of a flow is sent; `entry` while it moves."""

    fire: Callable[[], None]
    entry: HeapEntry | None = None


@define(eq=False, kw_only=True)
class FaultyLink(FakeLink):
    """`carry` brings a signal over, as the faults on it say. A poster that hears of a failure connects anew."""

    max_flight_ps: int
    carry: Carry
    failed: Callable[[int, Key, tuple[LayerRange, ...]], None]  # error completions, by poster
    struck: Callable[[Strike, int, int, int], None] = field(init=False)
    ways: Ways = field(init=False, factory=Ways)
    _broken: set[tuple[int, Key]] = field(init=False, factory=set)
    _regions: dict[tuple[int, Key], KvMemory] = field(init=False, factory=dict)  # what was granted, by target and key
    _lost: dict[tuple[int, Key], list[LayerRange]] = field(init=False, factory=dict)  # of the puts that have failed
    _orphans: set[tuple[int, Key]] = field(init=False, factory=set)  # connections whose poster is gone
    _readers: dict[tuple[int, Key], int] = field(init=False, factory=dict)  # who reads, by source and key
    _doomed: set[Flow] = field(init=False, factory=set)  # have stood still
    _rules: list[Counted] = field(init=False, factory=list)
    _hit: dict[Flow, Strike] = field(init=False, factory=dict)  # what strikes it when it lands
    _mute: set[tuple[int, Key]] = field(init=False, factory=set)  # connections whose completions are lost
    _halves: dict[Flow, list[_Half]] = field(init=False, factory=dict)
    _waiting: list[tuple[int, PostSignal]] = field(init=False, factory=list)  # signals behind a cut

    def put(self, source: int, put: Put) -> int:
        key = (put.request_id, put.attempt)
        moved = super().put(source, put)
        flow = next(reversed(self._out[source]))
        flow.memory = self._regions[put.target, key]
        if self._rules:
            self._strike(flow)
        if (source, key) in self._broken:
            self.clock.call_at(self.clock.now_ps, self._salt, lambda: self._fail(flow))
        elif not flow.rate:
            self._doom(flow)
        return moved

    def watch_puts(self, strike: Strike) -> None:
        """From now on count puts for this fault."""
        self._rules.append(Counted(strike))

    def at_half(self, source: int, key: Key, fire: Callable[[], None]) -> None:
        """`fire` when half of the layers that were just put for this attempt have been sent, if they ever are."""
        flow = next(f for f in reversed(self._out[source]) if (f.put.request_id, f.put.attempt) == key)
        half = _Half(fire)
        self._halves.setdefault(flow, []).append(half)
        self._aim(flow, half)

    def _aim(self, flow: Flow, half: _Half) -> None:
        if half.entry is not None:
            self.clock.cancel(half.entry)
        if not flow.rate:
            half.entry = None
            return
        first, last = flow.put.layers
        layers = last - first + 1

        def reached() -> None:
            halves = self._halves[flow]
            halves.remove(half)
            if not halves:
                del self._halves[flow]
            half.fire()

        half.entry = self.clock.call_first(max(self.clock.now_ps, flow.sent_ps((layers + 1) // 2, layers)), reached)

    def _strike(self, flow: Flow) -> None:
        source, put = flow.source, flow.put
        key = (put.request_id, put.attempt)
        for rule in tuple(self._rules):
            if not rule.hits(source, put.target, put.request_id):
                continue
            if rule.spent:
                self._rules.remove(rule)
            self.struck(rule.strike, source, put.target, put.request_id)
            if rule.strike.kind is FaultCode.POST_FAIL:
                self._broken.add((source, key))
            elif rule.strike.kind is FaultCode.LOSE_COMPLETION:
                self._mute.add((source, key))
            else:
                self._hit[flow] = rule.strike

    def get(self, reader: int, source: int, put: Put, done: Signal) -> int:
        """A read from memory that is gone since it was offered fails, as does one whose source dies under it."""
        key = (put.request_id, put.attempt)
        self._regions[reader, key] = self.workers[reader].memory
        self._readers[source, key] = reader
        if self._regions.get((source, key)) is not self.workers[source].memory:
            self._broken.add((source, key))
        return super().get(reader, source, put, done)

    def signal(self, source: int, signal: PostSignal) -> None:
        key = (signal.signal.request_id, signal.signal.attempt)
        if (source, key) not in self._broken:
            super().signal(source, signal)

    def granted(self, target: int, key: Key) -> None:
        """The blocks granted for this attempt are in the memory that the machine has now, and in no later one."""
        self._regions[target, key] = self.workers[target].memory

    def fell(self, machine: int) -> None:
        """A machine has crashed: what its worker had not computed yet will never be sent."""
        now = self.clock.now_ps
        for flow in tuple(self._out[machine]):
            times = flow.layer_times
            if times is None:
                if (machine, (flow.put.request_id, flow.put.attempt)) in self._readers:
                    self._fail(flow)
                continue
            flow.advance(now)
            first, last = flow.put.layers
            done = flow.computed(now)
            if done <= first:
                self._fail(flow)
                continue
            if done <= last:
                lost = flow.total * (last + 1 - done) // (last + 1 - first)
                self._nowhere(flow, done, last, lost // PS_PER_S)
                flow.put = flow.put._replace(layers=(first, done - 1))
                flow.total -= lost // PS_PER_S * PS_PER_S
                flow.sent = min(flow.sent, flow.total)
            flow.layer_times = None
            self._go_on(flow, flow.rate)
        for (source, key), connection in tuple(self._connections.items()):
            if source == machine:
                self._orphans.add((source, key))
                self._settle(source, key, connection)

    def changed(self) -> None:
        """Ways were cut, slowed or healed."""
        for flows in self._out:
            for flow in flows:
                rate = self._rate(flow)
                if rate != flow.rate:
                    self._go_on(flow, rate)
        waiting, self._waiting = self._waiting, []
        for source, posted in waiting:
            self._arrived(source, posted)

    def _rate(self, flow: Flow) -> int:
        factor = self.ways.factor(flow.source, flow.put.target)
        if not factor:
            return 0
        rate = super()._rate(flow)
        return rate if factor == SCALE else max(1, rate * SCALE // factor)

    def _go_on(self, flow: Flow, rate: int) -> None:
        super()._go_on(flow, rate)
        for half in self._halves.get(flow, ()):
            self._aim(flow, half)
        if not rate and flow not in self._doomed:
            self._doom(flow)

    def _doom(self, flow: Flow) -> None:
        """It stands still, and will have ended in time whatever becomes of it."""
        self._doomed.add(flow)
        at_ps = self.clock.now_ps + self.max_flight_ps
        self.clock.call_at(at_ps, self._salt, lambda: self._time_is_up(flow))

    def _time_is_up(self, flow: Flow) -> None:
        """The layers that were sent have arrived. The others fail."""
        put, layers_in_all = flow.put, self.rules.layers
        if flow in self._out[flow.source] and self._has_a_target(flow):
            flow.advance(self.clock.now_ps)
            first, last = put.layers
            done = flow.sent * (last + 1 - first) // flow.total
            if 0 < done <= last - first:
                moved = put.prompt_tokens * self.rules.kv_bytes_per_token * done // layers_in_all
                flow.put, flow.total = put._replace(layers=(first + done, last)), flow.total - moved * PS_PER_S
                there = (put.target, put.request_id, put.attempt, put.target_loan)
                sent = (first, first + done - 1)
                flow.memory.copy_from(flow.origin, put.source_blocks, put.target_blocks, sent, layers_in_all)
                self.recorder.write(Landed(self.clock.now_ps, *there, *sent, len(put.target_blocks), moved))
        self._fail(flow)

    def _has_a_target(self, flow: Flow) -> bool:
        """Whether the memory that it writes into is there, and its connection whole."""
        return flow.memory is self.workers[flow.put.target].memory and not self._is_broken(flow)

    def _land(self, flow: Flow) -> None:
        strike = self._hit.pop(flow, None)
        if strike is not None and strike.kind is FaultCode.LATE_WRITE:
            self._linger(flow, strike.by_ps)
            return
        if self._has_a_target(flow):
            self._doomed.discard(flow)
            super()._land(flow)
            if strike is not None:
                middle = sum(flow.put.layers) // 2
                flow.memory.garble(flow.put.target_blocks, (middle, middle))
        else:
            self._fail(flow)

    def _linger(self, flow: Flow, by_ps: int) -> None:
        """All of it is sent; where it is meanwhile nobody knows."""
        source, target = flow.source, flow.put.target
        self._doomed.discard(flow)
        del self._out[source][flow]
        del self._in[target][flow]
        self._share(source, target)

        def land() -> None:
            self._out[source][flow] = None
            self._in[target][flow] = None
            self._land(flow)

        self.clock.call_at(self.clock.now_ps + by_ps, self._salt, land)

    def _is_broken(self, flow: Flow) -> bool:
        return (flow.source, (flow.put.request_id, flow.put.attempt)) in self._broken

    def _fail(self, flow: Flow) -> None:
        """This put lands nowhere, and its poster gets an error completion."""
        put, source = flow.put, flow.source
        if flow not in self._out[source]:
            return  # it has landed meanwhile
        key = (put.request_id, put.attempt)
        self._doomed.discard(flow)
        for half in self._halves.pop(flow, ()):
            if half.entry is not None:
                self.clock.cancel(half.entry)
        if flow.end is not None:
            self.clock.cancel(flow.end)
        del self._out[source][flow]
        del self._in[put.target][flow]
        self._nowhere(flow, *put.layers, flow.total // PS_PER_S)
        self._share(source, put.target)
        self._broken.add((source, key))
        self._lost.setdefault((source, key), []).append(put.layers)
        connection = self._connections[source, key]
        connection.flows -= 1
        connection.signal = None
        self._settle(source, key, connection)
        if not connection.flows:
            self._connections.pop((source, key), None)
            self.clock.call_at(self.clock.now_ps, self._salt, lambda: self._tell(source, key))

    def _tell(self, source: int, key: Key) -> None:
        self._broken.discard((source, key))
        self.failed(self._readers.get((source, key), source), key, merge(self._lost.pop((source, key), ())))

    def _nowhere(self, flow: Flow, first: int, last: int, moved: int) -> None:
        put, now = flow.put, self.clock.now_ps
        key = (put.request_id, put.attempt)
        self.recorder.write(LandedNowhere(now, flow.source, put.target, *key, put.target_loan, first, last, moved))

    def _settle(self, source: int, key: Key, connection: Connection) -> None:
        if (source, key) in self._broken:
            connection.signal = None
        if (source, key) in self._orphans and not connection.flows and connection.signal is None:
            self._connections.pop((source, key), None)  # nobody is there to post anything behind it
            return
        if connection.watched and not connection.flows and (source, key) in self._mute:
            connection.watched = False  # it is over, and its poster will not hear of it; the signal goes all the same
            if connection.signal is None:
                self._connections.pop((source, key), None)
                return
        super()._settle(source, key, connection)

    def _arrived(self, source: int, posted: PostSignal) -> None:
        """A signal comes to the memory that its data went to, or nowhere."""
        signal = posted.signal
        key = (signal.request_id, signal.attempt)
        if not self.ways.factor(source, posted.target):
            self._waiting.append((source, posted))
        elif self._regions[posted.target, key] is self.workers[posted.target].memory:
            self.carry(self._salt, source, posted.target, signal, lambda: self.deliver(posted.target, signal), 0)
        else:
            self._broken.add((source, key))
