"""Survey: a whole record at a glance, for timelines: figures by interval, and the moments worth jumping to.

Its size is bounded: intervals double when there are too many, and of each kind of mark the first thousands are kept
while all are counted by interval. What single requests do at a moment is `emu.view.state`'s.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from math import exp, log
from typing import Any, Final, NamedTuple

from attrs import define, field

from emu.record import entries as e
from emu.record.power import MachineMeter, PoolDraw
from emu.record.slo import SPLITWISE, Limit
from emu.record.start import MachineDraw
from emu.view import rows as r
from emu.view.cluster import EndedView
from emu.view.rows import NEVER
from emu.view.state import ClusterState
from emu.view.words import Words

PS_PER_S: Final = 10**12
MOST_INTERVALS: Final = 4096
MOST_MARKS: Final = 4096
_BIN: Final = log(1.05)
_METRICS: Final = {"ttft": "ttft", "tbt": "gap", "tpot": "gap", "e2e": "e2e"}


class Mark(enum.IntEnum):
    """What a moment is worth jumping to for, the worst first."""

    LAW = 0
    FAULT = 1
    DEAD = 2
    HEAL = 3
    LOST = 4
    FAILED = 5
    REJECTED = 6
    CANCELLED = 7
    SLO_MISS = 8
    POOL_MOVE = 9
    PREEMPTED = 10
    SYMPTOM = 11


class MarkView(NamedTuple):
    """One moment: what it is, in words, and whom it names (NEVER: nobody)."""

    at_ps: int
    mark: int
    words: str
    request: int
    machine: int


class Symptom(NamedTuple):
    """Something that began to be wrong at `began_ps`, and was seen to be from `seen_ps` to `last_ps`."""

    kind: str
    words: str
    request: int
    machine: int
    began_ps: int
    seen_ps: int
    last_ps: int


@define(eq=False)
class Interval:
    """Counts of one interval, and gauges as they were when it began."""

    arrived: int = 0
    completed: int = 0
    good: int = 0
    missed: int = 0
    tokens: int = 0
    queued: int = 0
    moving: int = 0
    decoding: int = 0
    busy: int = 0
    used_permille: int = 0  # of the fullest machine's blocks
    power_w: int = 0  # what the machines draw, 0 where a profile does not say
    pools: list[int] = field(factory=lambda: [0, 0, 0])
    ttft: dict[int, int] = field(factory=dict)  # bins of 5 %
    tpot: dict[int, int] = field(factory=dict)
    ttft_of_limit: dict[int, int] = field(factory=dict)  # shares of a request's SLO, a limit as PS_PER_S
    gap_of_limit: dict[int, int] = field(factory=dict)
    e2e_of_limit: dict[int, int] = field(factory=dict)
    marks: list[int] = field(factory=lambda: [0] * len(Mark))

    def add(self, later: Interval) -> None:
        """Take in the interval behind this one. Gauges stay those of the beginning, or the higher."""
        for name in ("arrived", "completed", "good", "missed", "tokens"):
            setattr(self, name, getattr(self, name) + getattr(later, name))
        for name in ("queued", "moving", "decoding", "busy", "used_permille", "power_w"):
            setattr(self, name, max(getattr(self, name), getattr(later, name)))
        for name in BINS:
            mine = getattr(self, name)
            for number, times in getattr(later, name).items():
                mine[number] = mine.get(number, 0) + times
        self.marks = [a + b for a, b in zip(self.marks, later.marks, strict=True)]


BINS: Final = ("ttft", "tpot", "ttft_of_limit", "gap_of_limit", "e2e_of_limit")


def percentile_s(bins: Mapping[int, int], percent: float) -> float | None:
    """Of a histogram of 5 % bins, in seconds; None where it is empty."""
    wanted = sum(bins.values()) * percent / 100
    for number in sorted(bins):
        wanted -= bins[number]
        if wanted <= 0:
            return exp((number + 0.5) * _BIN) / PS_PER_S
    return None


@define(eq=False)
class Limits:
    """When an ended request is good: within the P99 column of the paper's slowdowns, or of limits in seconds.

    `tbt` in seconds is held against the mean gap, which is all that is known of a request here.
    """

    absolute: tuple[Limit, ...] | None = None

    def good(self, ended: EndedView) -> bool:
        if ended.status != e.Status.COMPLETED or ended.ttft_ps == NEVER:
            return False
        mean_gap = (ended.e2e_ps - ended.ttft_ps) / max(1, ended.output_tokens - 1)
        values = {"ttft": ended.ttft_ps, "tbt": mean_gap, "tpot": mean_gap, "e2e": ended.e2e_ps}
        if self.absolute is None:
            alone = {"ttft": ended.alone_ttft_ps, "tbt": ended.alone_tbt_ps, "e2e": ended.alone_e2e_ps}
            return all(
                values[metric] < limits[-1][1] * alone[metric] or not alone[metric] for metric, limits in SPLITWISE
            )
        return all(values.get(metric, 0) < limit_s * PS_PER_S for metric, _, limit_s in self.absolute)

    def shares(self, ended: EndedView) -> Iterator[tuple[str, float]]:
        """Of a completed request its TTFT, mean gap and E2E, each by its limit: the one of the highest percentile."""
        gap_ps = (ended.e2e_ps - ended.ttft_ps) / max(1, ended.output_tokens - 1)
        values = {"ttft": ended.ttft_ps, "gap": gap_ps, "e2e": ended.e2e_ps}
        if self.absolute is None:
            alone = {"ttft": ended.alone_ttft_ps, "gap": ended.alone_tbt_ps, "e2e": ended.alone_e2e_ps}
            limits = {_METRICS[metric]: steps[-1][1] * alone[_METRICS[metric]] for metric, steps in SPLITWISE}
        else:
            found = sorted((percent, metric, limit_s) for metric, percent, limit_s in self.absolute)
            limits = {_METRICS[metric]: limit_s * PS_PER_S for _, metric, limit_s in found if metric in _METRICS}
        for name, limit_ps in limits.items():
            if limit_ps:
                yield name, values[name] / limit_ps


@define(eq=False)
class Survey:
    """Give it each entry behind the state's own `take`. `interval_ps` is how long each of `intervals` is."""

    limits: Limits
    interval_ps: int = PS_PER_S
    intervals: list[Interval] = field(factory=list)
    marks: list[MarkView] = field(factory=list)
    symptoms: list[Symptom] = field(factory=list)  # in the order in which they were seen first
    kinds: set[int] = field(factory=set)  # of marks that there are
    left_out: int = 0  # marks that are counted and not listed
    _kept: list[int] = field(factory=lambda: [0] * len(Mark))
    _next_ps: int = 0
    _handlers: Mapping[type, Callable[[Any, ClusterState], None]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._handlers = {
            e.Arrived: self._arrived,
            e.MachineMoved: self._moved,
            e.FaultStruck: self._struck,
            e.FaultHealed: self._healed,
            e.MachineDead: self._dead,
            e.MachineCrashed: self._dead,
            e.MachineBack: self._back,
            e.AttemptLost: self._lost,
            e.LandedNowhere: self._lost,
            e.Preempted: self._preempted,
            e.RequestEnded: self._ended,
        }

    def take(self, entry: e.Entry, state: ClusterState) -> None:
        """`state` has taken the entry already."""
        if entry[0] >= self._next_ps:
            self._begin(entry[0], state)
        read = self._handlers.get(type(entry))
        if read is not None:
            read(entry, state)

    def mark(self, at_ps: int, mark: Mark, words: str, request: int = NEVER, machine: int = NEVER) -> None:
        """A moment that is worth jumping to."""
        number = at_ps // self.interval_ps
        self.kinds.add(int(mark))
        if number < len(self.intervals):
            self.intervals[number].marks[mark] += 1
        if self._kept[mark] >= MOST_MARKS:
            self.left_out += 1
            return
        self._kept[mark] += 1
        self.marks.append(MarkView(at_ps, int(mark), words, request, machine))

    def _begin(self, at_ps: int, state: ClusterState) -> None:
        """A new interval, and those between in which nothing happened."""
        number = at_ps // self.interval_ps
        while number >= MOST_INTERVALS:
            self._halve()
            number = at_ps // self.interval_ps
        while len(self.intervals) <= number:
            self.intervals.append(_gauges(state))
        self._next_ps = len(self.intervals) * self.interval_ps

    def _halve(self) -> None:
        pairs = self.intervals
        for first, second in zip(pairs[::2], pairs[1::2], strict=False):
            first.add(second)
        self.intervals = pairs[::2]
        self.interval_ps *= 2

    def _arrived(self, _: e.Arrived, __: ClusterState) -> None:
        self.intervals[-1].arrived += 1

    def _struck(self, entry: e.FaultStruck, state: ClusterState) -> None:
        self.mark(entry.at_ps, Mark.FAULT, Words(state.started).say(entry), entry.request, entry.machine)

    def _healed(self, entry: e.FaultHealed, state: ClusterState) -> None:
        self.mark(entry.at_ps, Mark.HEAL, Words(state.started).say(entry), NEVER, entry.machine)

    def _dead(self, entry: e.MachineDead | e.MachineCrashed, state: ClusterState) -> None:
        self.mark(entry.at_ps, Mark.DEAD, Words(state.started).say(entry), NEVER, entry.machine)

    def _back(self, entry: e.MachineBack, state: ClusterState) -> None:
        self.mark(entry.at_ps, Mark.HEAL, Words(state.started).say(entry), NEVER, entry.machine)

    def _lost(self, entry: e.AttemptLost | e.LandedNowhere, state: ClusterState) -> None:
        self.mark(entry.at_ps, Mark.LOST, Words(state.started).say(entry), entry.request)

    def _moved(self, entry: e.MachineMoved, state: ClusterState) -> None:
        name = state.started.machines[entry.machine].name
        words = f"{name} joins the {('prefill', 'decode', 'mixed')[entry.pool]} pool"
        self.mark(entry.at_ps, Mark.POOL_MOVE, words, machine=entry.machine)

    def _preempted(self, entry: e.Preempted, _: ClusterState) -> None:
        words = f"r{entry.request} preempted"
        self.mark(entry.at_ps, Mark.PREEMPTED, words, entry.request, entry.machine)

    def _ended(self, entry: e.RequestEnded, state: ClusterState) -> None:
        if not state.ended or state.ended[-1].request != entry.request:
            return
        now, ended = self.intervals[-1], state.ended[-1]
        now.tokens += ended.output_tokens
        if ended.status == e.Status.COMPLETED:
            now.completed += 1
            _count(now.ttft, ended.ttft_ps)
            for name, share in self.limits.shares(ended):
                _count(getattr(now, f"{name}_of_limit"), round(share * PS_PER_S))
            if ended.output_tokens > 1:
                _count(now.tpot, (ended.e2e_ps - ended.ttft_ps) // (ended.output_tokens - 1))
        if self.limits.good(ended):
            now.good += 1
            return
        now.missed += 1
        mark = {e.Status.FAILED: Mark.FAILED, e.Status.REJECTED: Mark.REJECTED, e.Status.CANCELLED: Mark.CANCELLED}.get(
            e.Status(ended.status), Mark.SLO_MISS
        )
        word = "missed its SLO" if mark is Mark.SLO_MISS else mark.name.lower()
        self.mark(entry.at_ps, mark, f"r{ended.request} {word}", ended.request, entry.machine)


def _draw_w(machine: r.MachineRow, draw: MachineDraw | None) -> int:
    """What a machine draws in what it does now."""
    if draw is None or machine.down_ps != NEVER:
        return 0
    if not machine.busy:
        return round(draw.idle_w)
    tokens = sum(piece.tokens for piece in machine.prefills)
    return MachineMeter.of(PoolDraw(), draw).draw_mw(tokens, machine.sequences) // 1000


def _count(bins: dict[int, int], duration_ps: int) -> None:
    number = int(log(duration_ps) / _BIN) if duration_ps > 0 else 0
    bins[number] = bins.get(number, 0) + 1


def _gauges(state: ClusterState) -> Interval:
    now = Interval()
    for row in state.requests.values():
        if row.phase in (r.ARRIVED, r.ASSIGNED, r.QUEUED, r.PREEMPTED):
            now.queued += 1
        elif row.phase == r.HANDING_OVER:
            now.moving += 1
        elif row.phase in (r.READY, r.DECODING):
            now.decoding += 1
    for machine, facts in zip(state.machines, state.started.machines, strict=True):
        now.busy += machine.busy
        now.pools[machine.pool] += 1
        now.power_w += _draw_w(machine, facts.draw)
        now.used_permille = max(now.used_permille, machine.used_blocks * 1000 // max(1, facts.kv_blocks))
    return now
