"""The data plane: transfers share cards exactly, follow the layers of a prefill, and land whatever else happens."""

from fractions import Fraction
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from emu.control.commands import PostSignal, Put
from emu.control.messages import Message, Signal
from emu.fake.clock import PS_PER_S, HeapClock
from emu.fake.leap import LayerTimes
from emu.fake.link import FakeLink, Flow, LinkRules
from emu.fake.model import KvMemory
from emu.fake.worker import FakeWorker
from emu.record.entries import Entry, Landed

LAYERS = 4


class Machine:
    """As much of a worker as a link sees."""

    def __init__(self) -> None:
        self.memory = KvMemory()
        self.times: LayerTimes | None = None

    def layer_times(self) -> LayerTimes | None:
        return self.times


class Net:
    """A link between machines, and what came out of it."""

    def __init__(self, cards: tuple[int, ...], *, fair: bool = True, signal_ps: int = 0) -> None:
        self.clock = HeapClock()
        self.machines = [Machine() for _ in cards]
        self.landed: dict[int, int] = {}
        self.arrived: list[tuple[int, int, Message]] = []
        self.drained: list[tuple[int, int]] = []
        rules = LinkRules(cards, (signal_ps,) * len(cards), 0, 1, LAYERS, fair)
        workers = [cast(FakeWorker, machine) for machine in self.machines]
        self.link = FakeLink(self.clock, rules, workers, self, self._deliver, self._drain)

    def write(self, entry: Entry) -> None:
        assert isinstance(entry, Landed)
        self.landed[entry.request] = entry.at_ps

    def _deliver(self, machine: int, message: Message) -> None:
        self.arrived.append((self.clock.now(), machine, message))

    def _drain(self, machine: int, key: tuple[int, int]) -> None:
        self.drained.append((machine, key[0]))

    def put_at(self, at_ps: int, source: int, target: int, request: int, tokens: int, *, follow: bool = False) -> None:
        put = Put(request, 0, target, (), 1, (), tokens, (0, LAYERS - 1), follow)
        self.clock.call_at(at_ps, 0, lambda: self.link.port(source).put(put))

    def run(self) -> None:
        while self.clock.deadline_to_sleep_time(0) == 0:
            pass
        if self.clock.failure is not None:
            raise self.clock.failure


def test_one_transfer_has_the_slower_card_to_itself() -> None:
    net = Net((1000, 500))
    net.put_at(0, 0, 1, request=1, tokens=2000)
    net.run()
    assert net.landed == {1: 4 * PS_PER_S}


def test_transfers_share_the_card_that_they_have_in_common() -> None:
    net = Net((1000, 1000, 1000))
    net.put_at(0, 0, 2, request=1, tokens=1000)
    net.put_at(0, 1, 2, request=2, tokens=2000)
    net.run()
    assert net.landed == {1: 2 * PS_PER_S, 2: 3 * PS_PER_S}


def test_without_sharing_each_transfer_has_the_card_to_itself() -> None:
    net = Net((1000, 1000, 1000), fair=False)
    net.put_at(0, 0, 2, request=1, tokens=1000)
    net.put_at(0, 1, 2, request=2, tokens=2000)
    net.run()
    assert net.landed == {1: PS_PER_S, 2: 2 * PS_PER_S}


def test_a_transfer_between_other_machines_changes_nothing() -> None:
    alone, beside = Net((1000,) * 4), Net((1000,) * 4)
    for net in (alone, beside):
        net.put_at(0, 0, 1, request=1, tokens=1234)
    beside.put_at(10, 2, 3, request=2, tokens=5000)
    alone.run()
    beside.run()
    assert beside.landed[1] == alone.landed[1]


def test_a_put_that_follows_a_prefill_ends_one_layer_behind_it() -> None:
    net = Net((1000, 1000))
    net.machines[0].times = LayerTimes(0, 100 * PS_PER_S, LAYERS)
    net.put_at(0, 0, 1, request=1, tokens=4000, follow=True)
    net.run()
    assert net.landed == {1: 101 * PS_PER_S}


def test_a_slow_link_starts_with_the_first_layer_and_never_stops() -> None:
    net = Net((10, 10))
    net.machines[0].times = LayerTimes(0, 4 * PS_PER_S, LAYERS)
    net.put_at(0, 0, 1, request=1, tokens=4000, follow=True)
    net.run()
    assert net.landed == {1: 401 * PS_PER_S}


def test_the_signal_comes_behind_the_data_and_not_before_it_was_posted() -> None:
    net = Net((1000, 1000), signal_ps=7)
    signal = PostSignal(1, Signal(1, 0, 0, 1, ((0, LAYERS - 1),), ()))
    net.put_at(0, 0, 1, request=1, tokens=1000)
    net.clock.call_at(5, 0, lambda: net.link.port(0).signal(signal))
    net.run()
    assert net.arrived == [(PS_PER_S + 7, 1, signal.signal)]
    late = Net((1000, 1000), signal_ps=7)
    late.put_at(0, 0, 1, request=1, tokens=1000)
    late.clock.call_at(3 * PS_PER_S, 0, lambda: late.link.port(0).signal(signal))
    late.run()
    assert late.arrived == [(3 * PS_PER_S + 7, 1, signal.signal)]
    assert late.link.open == 0


def test_a_drain_is_told_when_the_last_put_has_landed() -> None:
    net = Net((1000, 1000))
    net.put_at(0, 0, 1, request=1, tokens=1000)
    net.clock.call_at(5, 0, lambda: net.link.port(0).watch(1, 0))
    net.run()
    assert net.drained == [(0, 1)]
    assert net.link.open == 0


Change = tuple[int, int]  # after how long, and the new rate


@given(
    st.integers(1, 6),
    st.integers(1, 400),
    st.integers(1, 60),
    st.lists(st.tuples(st.integers(1, 50), st.integers(1, 40)), min_size=1, max_size=6),
)
def test_progress_is_that_of_sending_layer_after_layer(
    layers: int, layer_size: int, duration: int, changes: list[Change]
) -> None:
    """Against a model that sends each layer in turn, never before it is computed, under rates that change."""
    times = LayerTimes(0, duration * layers, layers)
    flow = Flow(0, cast(Put, None), layers * layer_size, times, 0, KvMemory(), KvMemory(), rate=changes[0][1])
    schedule, now = [(0, changes[0][1])], 0
    for wait, rate in changes[1:]:
        now += wait
        flow.advance(now)
        assert flow.sent == int(_sent(layers, layer_size, times, schedule, now))
        flow.rate = rate
        schedule.append((now, rate))
    sent_all = Fraction(_end(layers, layer_size, times, schedule))
    assert 0 <= flow.end_ps() - sent_all < 1


def _end(layers: int, layer_size: int, times: LayerTimes, schedule: list[Change]) -> Fraction:
    """When the last byte is sent, but not before the last change of the rate."""
    at = Fraction(0)
    for layer in range(layers):
        at = max(at, Fraction(times.ready_ps(layer)))
        left = Fraction(layer_size)
        for place, (since, rate) in enumerate(schedule):
            until = schedule[place + 1][0] if place + 1 < len(schedule) else None
            start = max(at, Fraction(since))
            if until is not None and start >= until:
                continue
            need = left / rate
            if until is None or start + need <= until:
                at, left = start + need, Fraction(0)
                break
            left -= (until - start) * rate
            at = Fraction(until)
    return max(at, Fraction(schedule[-1][0]))


def _sent(layers: int, layer_size: int, times: LayerTimes, schedule: list[Change], now: int) -> Fraction:
    """Bytes sent by `now`."""
    sent, at = Fraction(0), Fraction(0)
    for layer in range(layers):
        at = max(at, Fraction(times.ready_ps(layer)))
        left = Fraction(layer_size)
        for place, (since, rate) in enumerate(schedule):
            until = min(now, schedule[place + 1][0] if place + 1 < len(schedule) else now)
            start = max(at, Fraction(since))
            if start >= until:
                continue
            done = min(left, (until - start) * rate)
            left -= done
            sent += done
            at = start + done / rate
            if not left:
                break
        if left:
            return sent
    return sent
