"""The lives of requests: each is in exactly one phase from its arrival to its one end, and nothing happens after it.

The phases and their moves are this file's own. Entries of an attempt that was given up say nothing about its request's
phase, and such an attempt ends nothing. How many tokens a request has is judged in `tokens`, its blocks in `loans` and
`transfers`.
"""

from __future__ import annotations

from typing import Final

from attrs import define

from emu.laws.circles import circle
from emu.laws.verdicts import Handlers, Law, Names, seconds
from emu.record import entries as e

_ROUTED, _QUEUED, _PREFILLING, _HANDING_OVER, _READY, _DECODING = range(6)
_IN_WORDS: Final = (
    "for its prefill machine to take it",
    "for its prefill",
    "for its prefill to end",
    "for its KV cache to be committed",
    "for a decode batch",
    "for its next tokens",
)
_STOPS: Final = (int(e.FaultCode.PAUSE), int(e.FaultCode.HANG))
_ATTEMPT_BITS: Final = 10  # of an attempt's number; above them stands the term of the router that placed it
_REJECTED: Final = int(e.Status.REJECTED)
_COMPLETED: Final = int(e.Status.COMPLETED)


@define(eq=False, repr=False)
class _Life:
    """An open request: on `machine` in `phase` since `since_ps`; its latest attempt goes from `source` to `target`."""

    since_ps: int
    phase: int = _ROUTED
    machine: int = -1
    attempt: int = -1
    source: int = -1
    target: int = -1
    blocks_wanted: int = 0  # by its reservation, which waits for them
    given_up: int = -1  # its latest attempt that was

    def move(self, at_ps: int, phase: int, machine: int) -> None:
        self.since_ps, self.phase, self.machine = at_ps, phase, machine


class Lives:
    """Laws: no-circular-wait, ends-once, silent-after-end, rejected-costs-nothing, one-phase, causality, all-finish.

    An attempt that was given up may go on for a while where nobody can be told. A router that knows nothing of a
    request gives up all attempts of the routers before it, whichever there were.
    """

    def __init__(self, names: Names, machines: int, requests: int, layers: int) -> None:
        self._last_layer = layers - 1
        self.ends_once = Law(
            "ends-once", "Every request that arrives ends exactly once, and not by an attempt that was given up."
        )
        self.silent = Law("silent-after-end", "Nothing happens to a request after its end.")
        self.rejected = Law("rejected-costs-nothing", "What the router rejects has no machine, token or block.")
        self.one_phase = Law(
            "one-phase",
            "Requests arrived = ended + at the router + queued + prefilling + handing over + ready + decoding, always.",
        )
        self.causality = Law(
            "causality",
            "Of an attempt: arrival <= queued <= prefill start <= transfer start, and prefill end <= first token <= "
            "commit <= second token, in ps; the last layer lands after it was computed, the signal before the commit.",
        )
        self.all_finish = Law("all-finish", "At the end of a run no request is unfinished.")
        self.circular = Law(
            "no-circular-wait",
            "At the end no caches wait for blocks in a circle, each on the machine of the next.",
        )
        self.laws = (
            self.circular,
            self.ends_once,
            self.silent,
            self.rejected,
            self.one_phase,
            self.causality,
            self.all_finish,
        )
        self._names = names
        self._arrived = self._ended = 0
        self._seen = bytearray(requests)  # 1: it has arrived
        self._refused: set[int] = set()
        self._lives: dict[int, _Life] = {}
        self._outlived: dict[int, int] = {}  # requests that have ended -> the last of their attempts given up, if any
        self._prefilling: list[list[int]] = [[] for _ in range(machines)]
        self._decoding: list[set[int]] = [set() for _ in range(machines)]
        self._stopped: list[int] = []  # machines whose process faults have stopped
        self._before = -1  # the last attempt that a router before the latest one can have placed
        self.handlers: Handlers = {
            e.Arrived: self._arrive,
            e.Assigned: self._assign,
            e.Queued: self._queue,
            e.ReserveQueued: self._reserve_queued,
            e.Reserved: self._reserved,
            e.StepStarted: self._started,
            e.StepFinished: self._finished,
            e.StepsCut: self._cut,
            e.TransferStarted: self._transfer,
            e.Landed: self._land,
            e.FaultStruck: self._strike,
            e.FaultHealed: self._heal,
            e.Committed: self._commit,
            e.Preempted: self._preempt,
            e.RequestEnded: self._end,
            e.AttemptLost: self._lose,
            e.MachineCrashed: self._crash,
            e.RouterStarted: self._succeed,
        }

    def finish(self, at_ps: int) -> None:
        waiting = [
            (request, life.source, life.target)
            for request, life in self._lives.items()
            if life.phase == _HANDING_OVER and life.blocks_wanted
        ]
        ring = circle(waiting)
        if ring:
            names = self._names
            told = (f"request {r}'s on {names[source]} for blocks on {names[target]}" for r, source, target in ring)
            self.circular.broken(at_ps, f"caches wait in a circle: {', '.join(told)}")
        for request, life in self._lives.items():
            words = f"for {life.blocks_wanted} blocks" if life.blocks_wanted else _IN_WORDS[life.phase]
            machine = life.target if life.phase == _HANDING_OVER else life.machine
            where = self._names[machine] if machine >= 0 else "the router"
            what = f"request {request} waits since {seconds(life.since_ps)} on {where} {words}"
            self.all_finish.broken(at_ps, what)

    def _has_arrived(self, request: int) -> bool:
        return request < len(self._seen) and self._seen[request] == 1

    def _is_old(self, request: int, life: _Life | None, attempt: int | None = None) -> bool:
        """Whether this may be an attempt that was given up, where entries name it by its request alone."""
        given_up = self._outlived.get(request, -1) if life is None else life.given_up
        return given_up >= 0 if attempt is None else attempt <= given_up

    def _absent(self, at_ps: int, request: int, what: str) -> None:
        """Something happened to a request that is not open."""
        if request in self._refused:
            self.rejected.broken(at_ps, f"request {request} was rejected by the router and {what}")
        elif self._has_arrived(request):
            self.silent.broken(at_ps, f"request {request} has ended and {what}")
        else:
            self.causality.broken(at_ps, f"request {request} has not arrived and {what}")

    def _misplaced(self, at_ps: int, request: int, life: _Life | None, what: str) -> None:
        if life is None:
            self._absent(at_ps, request, what)
        else:
            place = self._names[life.machine] if life.machine >= 0 else "the router"
            waits = f"it waited on {place} {_IN_WORDS[life.phase]}"
            self.causality.broken(at_ps, f"request {request} {what} when {waits}")

    def _arrive(self, entry: e.Arrived) -> None:
        request = entry.request
        self._arrived += 1
        if request >= len(self._seen):
            self._seen.extend(bytes(request + 1 - len(self._seen)))
        if self._seen[request]:
            self.one_phase.broken(entry.at_ps, f"request {request} arrived twice")
        self._seen[request] = 1
        self._lives[request] = _Life(entry.at_ps)

    def _assign(self, entry: e.Assigned) -> None:
        at_ps, request, attempt, source, target, _, _, _ = entry
        life = self._lives.get(request)
        if life is None or attempt <= life.attempt:
            self._misplaced(at_ps, request, life, f"was assigned (attempt {attempt})")
            return
        life.attempt, life.source, life.target = attempt, source, target
        life.move(at_ps, _ROUTED, -1)

    def _queue(self, entry: e.Queued) -> None:
        at_ps, machine, request, attempt, _ = entry
        life = self._lives.get(request)
        if (
            life is None
            or life.phase != _ROUTED
            or attempt != life.attempt
            or machine != life.source
            or attempt <= life.given_up
        ):
            if not self._is_old(request, life, attempt):
                self._misplaced(at_ps, request, life, f"was queued on {self._names[machine]}")
            return
        life.since_ps = at_ps
        life.phase = _QUEUED
        life.machine = machine

    def _reserve_queued(self, entry: e.ReserveQueued) -> None:
        life = self._lives.get(entry.request)
        if life is not None:  # else it had one token, and the machine does not know of its end yet
            life.blocks_wanted = entry.blocks
        self._asked(entry.at_ps, entry.machine, entry.request, entry.attempt, life)

    def _reserved(self, entry: e.Reserved) -> None:
        life = self._lives.get(entry.request)
        if life is not None:
            life.blocks_wanted = 0
        self._asked(entry.at_ps, entry.machine, entry.request, entry.attempt, life)

    def _asked(self, at_ps: int, machine: int, request: int, attempt: int, life: _Life | None) -> None:
        """A reservation reached `machine`."""
        if self._is_old(request, life, attempt):
            return
        if life is None:
            if request in self._refused or not self._has_arrived(request):
                self._absent(at_ps, request, f"had blocks reserved on {self._names[machine]}")
        elif attempt != life.attempt or machine != life.target:
            self._misplaced(at_ps, request, life, f"had blocks reserved on {self._names[machine]}")

    def _started(self, entry: e.StepStarted) -> None:
        at_ps, machine, prefills, joined, left, _, _, _, _, _ = entry
        lives, decoding = self._lives, self._decoding[machine]
        for request in left:
            decoding.discard(request)
            life = lives.get(request)
            if life is not None and life.phase == _DECODING and life.machine == machine:  # no room in a mixed batch
                life.phase = _READY
        for piece in prefills:
            request, attempt = piece[0], piece[1]
            life = lives.get(request)
            if life is None or life.phase != _QUEUED or life.machine != machine or attempt != life.attempt:
                if self._is_old(request, life, attempt):
                    continue
                self._misplaced(at_ps, request, life, f"was prefilled on {self._names[machine]}")
                continue
            life.since_ps = at_ps
            life.phase = _PREFILLING
            self._prefilling[machine].append(request)
        for request in joined:
            life = lives.get(request)
            if life is None or life.phase != _READY or life.machine != machine:
                if self._is_old(request, life):
                    continue
                self._misplaced(at_ps, request, life, f"joined a decode batch on {self._names[machine]}")
                continue
            life.since_ps = at_ps
            life.phase = _DECODING
            decoding.add(request)

    def _lose(self, entry: e.AttemptLost) -> None:
        at_ps, request, attempt, _ = entry
        life = self._lives.get(request)
        all_before = life is not None and life.attempt <= attempt == self._before
        if life is None or (attempt != life.attempt and not all_before) or attempt <= life.given_up:
            self._misplaced(at_ps, request, life, f"lost attempt {attempt}")
            return
        life.given_up = attempt
        life.blocks_wanted = 0
        life.move(at_ps, _ROUTED, -1)

    def _succeed(self, entry: e.RouterStarted) -> None:
        self._before = (entry.term << _ATTEMPT_BITS) - 1

    def _crash(self, entry: e.MachineCrashed) -> None:
        self._prefilling[entry.machine].clear()
        self._decoding[entry.machine].clear()

    def _cut(self, entry: e.StepsCut) -> None:
        """A crash at the very instant at which a prefill ends: nobody notices that it did, and its cache is whole."""
        if entry.prompt_tokens and entry.started_ps + entry.first_step_ps <= entry.at_ps:
            self._finished(entry)

    def _finished(self, entry: e.StepFinished | e.StepsCut) -> None:
        machine = entry.machine
        prefilling = self._prefilling[machine]
        for request in prefilling:
            life = self._lives.get(request)
            if life is None or life.phase != _PREFILLING or life.machine != machine:
                continue  # cancelled under way, or another attempt's
            life.since_ps = entry.at_ps
            life.phase = _HANDING_OVER if life.target != machine else _READY
        prefilling.clear()

    def _transfer(self, entry: e.TransferStarted) -> None:
        at_ps, source, target, request, attempt, _, _, _, _ = entry
        life = self._lives.get(request)
        if life is not None:
            going = life.phase in (_PREFILLING, _HANDING_OVER) and life.machine == source and life.target == target
            if going:
                return
        if self._is_old(request, life, attempt):
            return
        what = f"had its KV cache put from {self._names[source]} to {self._names[target]}"
        self._misplaced(at_ps, request, life, what)

    def _strike(self, entry: e.FaultStruck) -> None:
        if entry.kind in _STOPS:
            self._stopped.append(entry.machine)

    def _heal(self, entry: e.FaultHealed) -> None:
        if entry.kind in _STOPS:
            self._stopped.remove(entry.machine)

    def _land(self, entry: e.Landed) -> None:
        life = self._lives.get(entry.request)
        if life is None or life.machine in self._stopped or self._is_old(entry.request, life, entry.attempt):
            return  # that its prefill ended is not noticed there, or this is another's
        if life.phase == _PREFILLING and entry.last_layer == self._last_layer:
            where = self._names[entry.target]
            what = f"the last layer of request {entry.request} landed on {where} before it was computed"
            self.causality.broken(entry.at_ps, what)

    def _commit(self, entry: e.Committed) -> None:
        at_ps, machine, request, attempt, _, _, _, signalled_ps = entry
        life = self._lives.get(request)
        if signalled_ps > at_ps:
            self.causality.broken(at_ps, f"request {request} was committed before its signal came")
        if life is None or life.phase != _HANDING_OVER or life.target != machine or attempt != life.attempt:
            if not self._is_old(request, life, attempt):
                self._misplaced(at_ps, request, life, f"was committed on {self._names[machine]}")
            return
        life.since_ps = at_ps
        life.phase = _READY
        life.machine = machine

    def _preempt(self, entry: e.Preempted) -> None:
        life = self._lives.get(entry.request)
        if life is None or life.phase != _DECODING or life.machine != entry.machine:
            if self._is_old(entry.request, life, entry.attempt):
                return
            self._misplaced(entry.at_ps, entry.request, life, f"was preempted on {self._names[entry.machine]}")
            return
        life.move(entry.at_ps, _QUEUED, entry.machine)

    def _end(self, entry: e.RequestEnded) -> None:
        at_ps, machine, request, attempt, status, _, tokens, _, loan, blocks, *_ = entry
        life = self._lives.pop(request, None)
        if life is None:
            if self._has_arrived(request):
                self.ends_once.broken(at_ps, f"request {request} ended a second time, on {self._names[machine]}")
            else:
                self.ends_once.broken(at_ps, f"request {request} ended and has not arrived")
            return
        self._ended += 1
        by_router = machine < 0 and status != _REJECTED
        if life.given_up >= 0 or by_router:
            self._outlived[request] = life.attempt if by_router else life.given_up
        if machine >= 0 and (attempt != life.attempt or attempt <= life.given_up):
            self.ends_once.broken(
                at_ps, f"request {request} was ended by attempt {attempt} after attempt {life.given_up}"
            )
        if status == _REJECTED and machine == -1:
            self._refused.add(request)
            if life.attempt >= 0 or tokens or loan or blocks:
                what = (
                    f"request {request} was rejected by the router after attempt {life.attempt}, with {blocks} blocks"
                )
                self.rejected.broken(at_ps, what)
        elif by_router:
            pass  # its client withdrew it, wherever it was, or it had no attempt left
        elif machine != life.machine or (status == _COMPLETED and life.phase < _HANDING_OVER):
            self._misplaced(at_ps, request, life, f"ended on {self._names[machine]} (status {status})")
        if self._arrived != self._ended + len(self._lives):
            what = f"{self._arrived} requests arrived, {self._ended} ended and {len(self._lives)} are in a phase"
            self.one_phase.broken(at_ps, what)
