"""GivenUp: what is promised of attempts and machines that were given up, held against a record with faults in it.

What was sent to a machine before it was declared dead is refused when it is back. Where no fault touches what the
router and machines tell each other, an attempt that was given up goes on nowhere once that has been said, and whoever
waits for a machine, or for a cache that will not come, hears of it soon and not by a lease that runs out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from attrs import define, field

from emu.cluster import Cluster, to_ps
from emu.fuzz.judge import Judged
from emu.record import entries as e

Key = tuple[int, int]
_HEARD: Final = {
    int(code)
    for code in (
        *(e.FaultCode.CRASH, e.FaultCode.RESTART, e.FaultCode.DRAIN, e.FaultCode.JOIN, e.FaultCode.SLOW),
        *(e.FaultCode.LATE_WRITE, e.FaultCode.POST_FAIL, e.FaultCode.LOSE_COMPLETION, e.FaultCode.CORRUPT),
        *(e.FaultCode.CANCEL, e.FaultCode.DELAY, e.FaultCode.POISON),
    )
}
"""Faults beside which everything that is said is heard, at once or as late as a message is late."""
_REPEATED: Final = {int(code) for code in (e.FaultCode.LOSE, e.FaultCode.DUPLICATE, e.FaultCode.REORDER)}
"""Faults beside which all of it is heard, or said again with the heartbeats."""
_SOON_PS: Final = 4 * 10**12  # longer than any step, and far shorter than a lease or a request's patience
_SUSPECTED: Final = 2  # attempts after which a request may be kept apart from others


@define(eq=False)
class _Attempt:
    prefill: int
    decode: int
    assigned_ps: int
    committed: bool = False
    lost_ps: int = -1
    here: bool = False  # its prefill machine has a part of it that is not over


@define(eq=False)
class GivenUp:
    """One run, read once from its first entry to its last."""

    cluster: Cluster
    run: Judged
    heard: bool = field(init=False)
    repeated: bool = field(init=False)
    poisoned: bool = field(init=False)
    said_ps: int = field(init=False)
    soon_ps: int = field(init=False)
    open: dict[Key, _Attempt] = field(init=False, factory=dict)
    latest: dict[int, int] = field(init=False, factory=dict)  # open request -> its latest attempt
    died_ps: dict[int, int] = field(init=False, factory=dict)  # machine -> when it was last declared dead
    dead: dict[int, None] = field(init=False, factory=dict)
    beside: Counter[int] = field(init=False, factory=Counter)  # by request: machines that died under it
    gave_way: Counter[int] = field(init=False, factory=Counter)  # its attempts that did
    homeless: dict[int, None] = field(init=False, factory=dict)  # requests that have had no machine yet
    struck: int = field(init=False, default=0)  # messages that did not come as they were sent
    due: list[tuple[int, str, Key, str]] = field(init=False, factory=list)  # when, what, of whom, and in words

    def __attrs_post_init__(self) -> None:
        scenario = self.cluster.scenario
        struck = {entry.kind for entry in self.run.entries if isinstance(entry, e.FaultStruck)}
        late_ps = to_ps(max((delay.by_s for delay in scenario.delays), default=0.0))
        barred = late_ps < to_ps(scenario.transfer.lease_s)  # so long who was cancelled is refused when it comes late
        self.heard = struck <= _HEARD and barred
        self.repeated = struck <= _HEARD | _REPEATED and barred
        self.soon_ps = _SOON_PS + late_ps
        self.poisoned = int(e.FaultCode.POISON) in struck
        self.said_ps = 2 * to_ps(scenario.network.control_latency_s) + late_ps

    def read(self) -> Iterator[str]:
        """Every broken promise of one router, a sentence each."""
        for entry in self.run.entries:
            if isinstance(entry, e.RouterStarted):
                return  # whom an earlier router took for dead, this one need not know
            yield from self._late(entry.at_ps)
            if isinstance(entry, e.Assigned):
                yield from self._assigned(entry)
            elif isinstance(entry, e.Arrived) and not self.cluster.scenario.router.queue_limit_requests:
                self.homeless[entry.request] = None
            elif isinstance(entry, e.Queued | e.Reserved | e.Committed | e.AttemptEnded):  # all of it was dropped
                yield from self._goes_on(entry.at_ps, entry.machine, (entry.request, entry.attempt), said=False)
            elif isinstance(entry, e.StepStarted):
                for piece in entry.prefills:
                    key = piece.request, piece.attempt
                    yield from self._goes_on(entry.at_ps, entry.machine, key, said=True)
            self._follow(entry)

    def name(self, machine: int) -> str:
        return self.run.started.machines[machine].name

    def _assigned(self, entry: e.Assigned) -> Iterator[str]:
        router, request = self.cluster.scenario.router, entry.request
        most = router.max_attempts
        if self.poisoned:  # an attempt that ends with its machine's step is nobody's fault, so often
            most += min(self.beside[request], router.poison_limit)
        most += min(self.gave_way[request], router.max_attempts)
        if entry.attempt >= most:
            yield f"request {entry.request} was tried {entry.attempt + 1} times, of {most}"
        places = entry.prefill_machine, entry.decode_machine
        for machine in places:
            if machine in self.dead:
                yield f"request {entry.request} was sent to {self.name(machine)}, which was declared dead"
        self.homeless.pop(request, None)
        self.open[entry.request, entry.attempt] = _Attempt(*places, entry.at_ps)
        self.latest[entry.request] = entry.attempt

    def _goes_on(self, at_ps: int, machine: int, key: Key, *, said: bool) -> Iterator[str]:
        """Something of an attempt happens on a machine."""
        attempt = self.open.get(key)
        if attempt is None:
            return
        which = f"attempt {key[1]} of request {key[0]}"
        if attempt.assigned_ps < self.died_ps.get(machine, -1) and machine not in self.dead:
            yield f"{which} goes on at {self.name(machine)}, which was declared dead since and has come back"
        elif said and self.heard and machine not in self.dead and 0 <= attempt.lost_ps < at_ps - self.said_ps:
            yield f"{which} goes on at {self.name(machine)}, which was told that it was given up"

    def _follow(self, entry: e.Entry) -> None:
        if isinstance(entry, e.RequestEnded):
            self.homeless.pop(entry.request, None)
            ended = self.open.get((entry.request, entry.attempt))
            if ended is not None and entry.machine == ended.prefill:
                ended.here = False
            attempt = self.open.get((entry.request, self.latest.pop(entry.request, -1)))
            if attempt is not None and entry.status == e.Status.CANCELLED:
                self._lost(entry.at_ps, (entry.request, entry.attempt), attempt)
        elif isinstance(entry, e.MachineDead):
            self._died(entry)
        elif isinstance(entry, e.MachineBack):
            self._back(entry)
        elif isinstance(entry, e.MachineCrashed | e.MachineLeft):
            for attempt in self.open.values():
                attempt.here &= attempt.prefill != entry.machine
        elif isinstance(entry, e.FaultStruck) and entry.kind in _REPEATED:
            self.struck += 1
        elif isinstance(entry, e.Queued | e.Committed | e.Released | e.AttemptEnded | e.AttemptLost):
            attempt = self.open.get((entry.request, entry.attempt))
            if attempt is not None:
                self._attempt(entry, (entry.request, entry.attempt), attempt)

    def _attempt(
        self,
        entry: e.Queued | e.Committed | e.Released | e.AttemptEnded | e.AttemptLost,
        key: Key,
        attempt: _Attempt,
    ) -> None:
        if isinstance(entry, e.Committed):
            attempt.committed = True
            if self.repeated:
                transfer = self.cluster.scenario.transfer
                beats_ps = (4 + self.struck) * to_ps(transfer.heartbeat_s)
                self.due.append(
                    (entry.at_ps + self.soon_ps + beats_ps, "acknowledged", key, "has its cache at its source")
                )
        elif isinstance(entry, e.AttemptLost):
            self.gave_way[entry.request] += entry.reason == e.Reason.GAVE_WAY
            self._lost(entry.at_ps, key, attempt)
        elif entry.machine == attempt.prefill:
            attempt.here = isinstance(entry, e.Queued)

    def _lost(self, at_ps: int, key: Key, attempt: _Attempt) -> None:
        """The router, or the client, wants no more of it."""
        attempt.lost_ps = at_ps
        if self.heard and attempt.here and attempt.prefill not in self.dead:
            what = f"has a part at {self.name(attempt.prefill)}, which was told that it was given up"
            self.due.append((at_ps + self.soon_ps, "held", key, what))

    def _died(self, entry: e.MachineDead) -> None:
        self.died_ps[entry.machine] = entry.at_ps
        self.dead[entry.machine] = None
        self.due = [each for each in self.due if each[1] not in ("stranded", "homeless")]
        for key, attempt in self.open.items():
            if entry.machine in (attempt.prefill, attempt.decode) and attempt.lost_ps < 0:
                self.beside[key[0]] += self.latest.get(key[0]) == key[1]
            waits = attempt.prefill == entry.machine != attempt.decode and not attempt.committed
            if self.heard and waits and attempt.lost_ps < 0 and attempt.decode not in self.dead:
                what = f"waits for a cache from {self.name(entry.machine)}, which was declared dead"
                self.due.append((entry.at_ps + self.soon_ps, "orphan", key, what))

    def _back(self, entry: e.MachineBack) -> None:
        self.dead.pop(entry.machine, None)
        if not self.heard or self.dead or self.poisoned:  # a suspect waits on purpose
            return
        for request, number in self.latest.items():
            if number < _SUSPECTED and self.open[request, number].lost_ps >= 0:
                what = f"waits for a machine, and {self.name(entry.machine)} has come back"
                self.due.append((entry.at_ps + self.soon_ps, "stranded", (request, number), what))
        for request in self.homeless:
            what = f"has had no machine, and {self.name(entry.machine)} has come back"
            self.due.append((entry.at_ps + self.soon_ps, "homeless", (request, 0), what))

    def _late(self, at_ps: int) -> Iterator[str]:
        """What should have happened by now and has not."""
        if not self.due:
            return
        late, self.due = (
            [each for each in self.due if each[0] < at_ps],
            [each for each in self.due if each[0] >= at_ps],
        )
        for due_ps, kind, key, what in late:
            if kind == "homeless":
                if key[0] in self.homeless:
                    yield f"request {key[0]} still {what} at {due_ps / 10**12:g} s"
                continue
            attempt = self.open[key]
            is_latest = self.latest.get(key[0]) == key[1]
            died_ps = self.died_ps.get(attempt.prefill, -1)
            waits = {
                "orphan": is_latest
                and not attempt.committed
                and attempt.lost_ps < 0
                and attempt.decode not in self.dead,
                "stranded": is_latest,
                "held": attempt.here and died_ps < attempt.lost_ps,
                "acknowledged": attempt.here and died_ps < attempt.assigned_ps,
            }[kind]
            if waits:
                yield f"attempt {key[1]} of request {key[0]} still {what} at {due_ps / 10**12:g} s"
