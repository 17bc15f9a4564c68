"""FaultyWire: wires on which messages can be lost, doubled, late or out of order, and ways between machines cut.

It takes the place of FakeWire in a run that faults may strike. Which message a fault hits is exact: the nth of a kind,
between two machines or any, counted from the fault's time on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen

from emu.control.messages import Audit, Cancel, Grant, Heartbeat, Message, Offer, SourceGone, Unknown
from emu.fake.clock import PS_PER_S, HeapClock
from emu.fake.plan import ROUTER, SCALE, Counted, Strike
from emu.fake.ways import Ways
from emu.record.entries import FaultCode

_COPY_PS = PS_PER_S // 1000  # how long after a message its duplicate comes, unless the fault says
_HOLD_PS = PS_PER_S  # how long a message waits at most for one to overtake it, unless the fault says
Hand = Callable[[], object]


@define(eq=False, repr=False)
class FaultyWire:
    """All wires of a cluster. `struck(strike, sender, receiver, request)` is told of every message that was hit."""

    clock: HeapClock
    latency_ps: int
    deliver: Callable[[int, Message], None]
    deliver_to_router: Callable[[int, Message], None]  # from that machine
    indices: dict[str, int]  # of machines, by name
    struck: Callable[[Strike, int, int, int], None] = field(init=False)
    granted: Callable[[int, tuple[int, int]], None] = field(init=False)  # told of every grant when it is sent
    ways: Ways = field(init=False, factory=Ways)
    _rules: list[Counted] = field(init=False, factory=list)
    _held: dict[tuple[int, int, str], list[Hand]] = field(init=False, factory=dict)  # to be overtaken

    def port(self, name: str) -> FaultyPort:
        """The Wire of the machine or router of that name."""
        return FaultyPort(self, self.indices.get(name, ROUTER), self.clock.salt(f"{name}/wire"))

    def watch(self, strike: Strike) -> None:
        """From now on count messages for this fault."""
        self._rules.append(Counted(strike))

    def send(self, salt: int, source: int, target: int, message: Message) -> None:
        if type(message) is Grant:
            self.granted(source, (message.request_id, message.attempt))
        elif type(message) is Offer:
            self.granted(source, (message.request.request_id, message.attempt))
        factor = self.ways.factor(source, target)
        if not factor:
            return
        vital = type(message) not in (Audit, Heartbeat)  # two ends that only remind each other get nowhere

        def hand() -> None:
            if target == ROUTER:
                self.deliver_to_router(source, message)
            else:
                self.deliver(target, message)

        self.carry(salt, source, target, message, hand, self.latency_ps * factor // SCALE, vital)

    def carry(
        self, salt: int, source: int, target: int, message: Message, hand: Hand, latency_ps: int, vital: bool = True
    ) -> None:
        """Hand a message over after its time, as often and as late as the faults on it say."""
        clock = self.clock
        lags, hold_ps = self._lags(source, target, message)
        if hold_ps:
            self._hold((source, target, type(message).__name__), hand, salt, latency_ps, hold_ps)
            return
        for lag_ps in lags:
            clock.call_at(clock.now_ps + latency_ps + lag_ps, salt, hand, vital=vital)
        for late in self._held.pop((source, target, type(message).__name__), ()):
            clock.call_at(clock.now_ps + latency_ps, salt, late)

    def _lags(self, source: int, target: int, message: Message) -> tuple[list[int], int]:
        """How much later it comes, each time that it does; and how long it waits for another to overtake it."""
        lags, hold_ps, request = [0], 0, request_of(message)
        for rule in tuple(self._rules):
            strike = rule.strike
            if type(message).__name__ != strike.message or not rule.hits(source, target, request):
                continue
            self.struck(strike, source, target, request)
            if strike.kind is FaultCode.LOSE:
                lags = []
            elif strike.kind is FaultCode.DUPLICATE:
                lags += [lag + (strike.by_ps or _COPY_PS) for lag in lags]
            elif strike.kind is FaultCode.DELAY:
                lags = [lag + strike.by_ps for lag in lags]
            elif lags:
                hold_ps = strike.by_ps or _HOLD_PS
            if rule.spent:
                self._rules.remove(rule)
        return lags, hold_ps

    def _hold(self, lane: tuple[int, int, str], hand: Hand, salt: int, latency_ps: int, hold_ps: int) -> None:
        """Until the next of its kind between the two has gone ahead, or for `hold_ps`."""
        held = self._held.setdefault(lane, [])
        held.append(hand)

        def wait_no_longer() -> None:
            if hand in held and self._held.get(lane) is held:
                held.remove(hand)
                hand()

        self.clock.call_at(self.clock.now_ps + latency_ps + hold_ps, salt, wait_no_longer)


def request_of(message: Any) -> int:
    """The request that a message is about, of several the first; -1 of none."""
    if type(message) in (Heartbeat, Unknown):
        return message.transfers[0][0] if message.transfers else -1
    if type(message) in (Cancel, SourceGone, Audit):
        return message.attempts[0][0] if message.attempts else -1
    asked = getattr(message, "request", None)
    found: int = getattr(message, "request_id", -1) if asked is None else asked.request_id
    return found


@frozen
class FaultyPort:
    """One sender's end of its wires."""

    wire: FaultyWire
    index: int
    salt: int

    def send(self, machine: int, message: Message) -> None:
        self.wire.send(self.salt, self.index, machine, message)

    def report(self, message: Message) -> None:
        self.wire.send(self.salt, self.index, ROUTER, message)
