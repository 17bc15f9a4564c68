"""ClusterState: the fold that follows a record from entry to entry, and knows the cluster after each.

It keeps what is open, and a bounded number of what has ended: its size follows the load and never the length of the
record. What it knows is read through `emu.view.freeze`, kept and restored by `emu.view.snapshot`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from emu.record import entries as e
from emu.record.start import RunStarted
from emu.view import rows as r
from emu.view.cluster import POOL_WORDS, EndedView
from emu.view.rows import NEVER, PROMPT_TOKENS, FaultRow, Key, LoanRow, MachineRow, RequestRow, TransferRow

RECENT: Final = 512  # requests that ended and are still listed
_LASTING: Final = frozenset(
    map(
        int,
        (
            e.FaultCode.PAUSE,
            e.FaultCode.HANG,
            e.FaultCode.SLOW,
            e.FaultCode.DRAIN,
            e.FaultCode.NIC_DOWN,
            e.FaultCode.LINK_DOWN,
            e.FaultCode.LINK_SLOW,
            e.FaultCode.STALE_REPORT,
            e.FaultCode.CLOCK,
        ),
    )
)
"""Faults that are there until they heal; the others are over when they have struck, or are told by what follows."""
_TAKES_DOWN: Final = (int(e.FaultCode.CRASH), int(e.FaultCode.RESTART))
"""Kept until the machine starts again: these can be healed early too."""
_SILENCES: Final = (int(e.FaultCode.PAUSE), int(e.FaultCode.LINK_DOWN))
"""Peers may not hear of each other while these last, nor of a machine that is down."""


class ClusterState:
    """The cluster after `entries` entries, the last of them at `at_ps`. Give each entry to `take`, in order."""

    def __init__(self, started: RunStarted) -> None:
        self.started = started
        self.at_ps = 0
        self.entries = 0
        self.over = False
        self.arrived = 0
        self.rate_permille = 1000
        self.router_gone_ps = NEVER  # since when there is none; one that another has taken over from is not missed
        self.term = 0
        self.ended_by = [0] * len(e.Status)
        self.machines = [MachineRow(POOL_WORDS.index(m.pool), POOL_WORDS.index(m.pool)) for m in started.machines]
        self.requests: dict[int, RequestRow] = {}
        self.transfers: dict[Key, TransferRow] = {}
        self.faults: dict[int, FaultRow] = {}
        self.ended: deque[EndedView] = deque(maxlen=RECENT)
        self._nobody = RequestRow(NEVER, 0, 0, 0)  # takes what an entry says of a request or an attempt that is over

    def take(self, entry: e.Entry) -> None:
        """The next entry of the record."""
        self.entries += 1
        self.at_ps = entry[0]
        _HANDLERS[type(entry)](self, entry)

    def _row(self, request: int, attempt: int) -> RequestRow:
        row = self.requests.get(request)
        return self._nobody if row is None or row.attempt != attempt else row

    def _arrived(self, entry: e.Arrived) -> None:
        at_ps, request, prompt_tokens, max_tokens = entry
        self.arrived += 1
        self.requests[request] = RequestRow(request, at_ps, prompt_tokens, max_tokens, since_ps=at_ps)

    def _assigned(self, entry: e.Assigned) -> None:
        at_ps, request, attempt, prefill, decode, step, believed_tokens, believed_free = entry
        row = self.requests.get(request, self._nobody)
        row.attempt, row.prefill_machine, row.decode_machine, row.step = attempt, prefill, decode, step
        row.phase, row.since_ps, row.asked_ps = r.ASSIGNED, at_ps, NEVER
        row.granted_ps, row.tries = NEVER, row.tries + 1
        source, target = self.machines[prefill], self.machines[decode]
        source.believed_tokens, source.believed_tokens_ps = believed_tokens, at_ps
        target.believed_free, target.believed_free_ps = believed_free, at_ps

    def _moved(self, entry: e.MachineMoved) -> None:
        machine = self.machines[entry.machine]
        machine.pool, machine.home = entry.pool, entry.home

    def _queued(self, entry: e.Queued) -> None:
        at_ps, machine, request, attempt, _ = entry
        self.machines[machine].queue[request, attempt] = at_ps
        row = self._row(request, attempt)
        row.phase, row.since_ps = r.QUEUED, at_ps

    def _reserve_queued(self, entry: e.ReserveQueued) -> None:
        at_ps, machine, request, attempt, blocks, _ = entry
        self.machines[machine].reservations[request, attempt] = at_ps
        row = self._row(request, attempt)
        row.wants_blocks, row.asked_ps = blocks, at_ps

    def _reserved(self, entry: e.Reserved) -> None:
        at_ps, machine, request, attempt, _, blocks, _ = entry
        there, key = self.machines[machine], (request, attempt)
        there.reservations.pop(key, None)
        there.loans[key] = LoanRow(r.TARGET, blocks, at_ps)
        there.used_blocks += blocks
        row = self._row(request, attempt)
        row.wants_blocks, row.asked_ps = 0, NEVER

    def _granted(self, entry: e.Granted) -> None:
        self._row(entry.request, entry.attempt).granted_ps = entry.at_ps

    def _step_started(self, entry: e.StepStarted) -> None:
        at_ps, machine, prefills, joined, left, sequences, context_tokens, _, _, free_blocks = entry
        there = self.machines[machine]
        there.used_blocks = self.started.machines[machine].kv_blocks - free_blocks
        find = self.requests.get
        for request in left:
            there.decoding.pop(request, None)
            leaver = find(request)
            if leaver is not None and leaver.phase == r.DECODING and leaver.decode_machine == machine:
                leaver.delivered += there.steps - leaver.joined_step
                leaver.phase, leaver.since_ps = r.READY, at_ps
        for request in joined:
            there.decoding[request] = None
            joiner = find(request)
            if joiner is not None and joiner.decode_machine == machine:
                joiner.phase, joiner.since_ps, joiner.joined_step = r.DECODING, at_ps, there.steps
        for request, attempt, _, _, _, _, blocks in prefills:
            there.queue.pop((request, attempt), None)
            row = self._row(request, attempt)
            row.phase, row.since_ps = r.PREFILLING, at_ps
            if row.prefill_start_ps == NEVER:
                row.prefill_start_ps = at_ps
            if row.decode_machine != machine:
                there.loans[request, attempt] = LoanRow(r.SOURCE, blocks, at_ps)
        there.prefills = prefills
        there.busy, there.started_ps = True, at_ps
        there.sequences, there.context_tokens = sequences, context_tokens

    def _step_finished(self, entry: e.StepFinished) -> None:
        at_ps, machine, started_ps, steps, sequences, prompt_tokens, _, _, _, _, grown = entry
        there = self.machines[machine]
        there.used_blocks += grown
        there.busy_ps += at_ps - started_ps
        there.tokens += prompt_tokens + steps * sequences
        there.busy, there.started_ps = False, at_ps
        if sequences:
            there.steps += steps
            if not prompt_tokens:
                there.step_ps = (at_ps - started_ps) // steps
        if prompt_tokens and not sequences:
            there.prefill_ps = (at_ps - started_ps) // (prompt_tokens + PROMPT_TOKENS)
        if there.prefills:
            for request, attempt, _, _, _, _, _ in there.prefills:
                row = self._row(request, attempt)
                row.since_ps = at_ps
                row.phase = r.READY if row.decode_machine == machine else r.HANDING_OVER
                row.delivered += 1
                if row.first_token_ps == NEVER:
                    row.first_token_ps = at_ps
            there.prefills = ()

    def _transfer_started(self, entry: e.TransferStarted) -> None:
        at_ps, source, target, request, attempt, first, last, moved, follows = entry
        key = request, attempt
        transfer = self.transfers.get(key)
        if transfer is None:
            transfer = self.transfers[key] = TransferRow(source, target, request, attempt, at_ps, follows=follows)
        transfer.layers += last - first + 1
        transfer.posted_bytes += moved

    def _landed(self, entry: e.Landed) -> None:
        at_ps, _, request, attempt, _, first, last, _, moved = entry
        transfer = self.transfers.get((request, attempt))
        if transfer is not None:
            transfer.landed_layers += last - first + 1
            transfer.landed_bytes += moved
            transfer.landed_ps = self.machines[transfer.target].taken_ps = at_ps
            if not transfer.follows and moved:
                self.machines[transfer.source].put_ps = (at_ps - transfer.started_ps) * 10**6 // moved

    def _committed(self, entry: e.Committed) -> None:
        at_ps, machine, request, attempt = entry[:4]
        self.machines[machine].loans.pop((request, attempt), None)
        transfer = self.transfers.get((request, attempt))
        if transfer is not None:
            transfer.committed_ps = at_ps
        row = self._row(request, attempt)
        row.phase, row.since_ps = r.READY, at_ps

    def _released(self, entry: e.Released) -> None:
        _, machine, request, attempt, _, blocks, _, _ = entry
        there, key = self.machines[machine], (request, attempt)
        there.used_blocks -= blocks
        there.reservations.pop(key, None)
        there.loans.pop(key, None)
        transfer = self.transfers.get(key)
        if transfer is not None and transfer.source == machine:
            del self.transfers[key]

    def _preempted(self, entry: e.Preempted) -> None:
        at_ps, machine, request, attempt, delivered, _, blocks = entry
        there = self.machines[machine]
        there.used_blocks -= blocks
        there.decoding.pop(request, None)
        there.queue[request, attempt] = at_ps
        row = self._row(request, attempt)
        row.phase, row.since_ps, row.delivered = r.PREEMPTED, at_ps, delivered
        row.preemptions += 1

    def _request_ended(self, entry: e.RequestEnded) -> None:
        at_ps, machine, request, attempt, status, reason, tokens, _, _, blocks, ttft_ps, tbt_ps, e2e_ps = entry
        self.ended_by[status] += 1
        row = self.requests.pop(request, None)
        if machine != NEVER:
            there = self.machines[machine]
            there.used_blocks -= blocks
            there.decoding.pop(request, None)
            there.queue.pop((request, attempt), None)
            if blocks:
                there.loans.pop((request, attempt), None)
        if row is None:
            return
        came = NEVER if row.first_token_ps == NEVER else row.first_token_ps - row.arrived_ps
        self.ended.append(
            EndedView(
                request,
                at_ps,
                row.arrived_ps,
                row.prompt_tokens,
                tokens,
                status,
                reason,
                row.attempt,
                row.prefill_machine,
                row.decode_machine,
                came,
                ttft_ps,
                tbt_ps,
                e2e_ps,
            )
        )

    def _steps_cut(self, entry: e.StepsCut) -> None:
        there = self.machines[entry.machine]
        there.used_blocks += entry.grown_blocks
        there.busy_ps += entry.at_ps - entry.started_ps
        there.steps += entry.steps if entry.sequences else 0
        there.tokens += entry.steps * entry.sequences
        there.busy, there.started_ps, there.prefills = False, entry.at_ps, ()

    def _struck(self, entry: e.FaultStruck) -> None:
        at_ps, fault, kind, machine, peer, _, _ = entry
        if kind in _LASTING or (kind in _TAKES_DOWN and self.machines[machine].down_ps == NEVER):
            self.faults[fault] = FaultRow(at_ps, kind, machine, peer)
        if kind in _SILENCES:
            self._mute(at_ps, machine, peer)

    def _healed(self, entry: e.FaultHealed) -> None:
        self.faults.pop(entry.fault, None)
        if entry.kind in _SILENCES:
            for there in (self.machines[end] for end in (entry.machine, entry.peer) if end >= 0):
                there.heard_ps = entry.at_ps

    def _mute(self, at_ps: int, *ends: int) -> None:
        for there in (self.machines[end] for end in ends if end >= 0):
            if there.mute_ps <= there.heard_ps:
                there.mute_ps = at_ps

    def _crashed(self, entry: e.MachineCrashed) -> None:
        self._mute(entry.at_ps, entry.machine)
        there = self.machines[entry.machine]
        self.machines[entry.machine] = MachineRow(
            there.pool,
            there.home,
            started_ps=entry.at_ps,
            steps=there.steps,
            busy_ps=there.busy_ps,
            tokens=there.tokens,
            down_ps=entry.at_ps,
            dead_ps=there.dead_ps,
            refused_ps=there.refused_ps,
            taken_ps=there.taken_ps,
            mute_ps=there.mute_ps,
            heard_ps=there.heard_ps,
            incarnation=entry.incarnation,
        )

    def _left(self, entry: e.MachineLeft) -> None:
        self._crashed(e.MachineCrashed(*entry))
        self.machines[entry.machine].away = True

    def _started(self, entry: e.MachineStarted) -> None:
        there = self.machines[entry.machine]
        there.away = False
        there.heard_ps = entry.at_ps
        there.down_ps, there.started_ps, there.incarnation = NEVER, entry.at_ps, entry.incarnation

    def _landed_nowhere(self, entry: e.LandedNowhere) -> None:
        transfer = self.transfers.get((entry.request, entry.attempt))
        if transfer is not None:
            transfer.lost += 1
        self.machines[entry.target].refused_ps = entry.at_ps

    def _dead(self, entry: e.MachineDead) -> None:
        self.machines[entry.machine].dead_ps = entry.at_ps

    def _back(self, entry: e.MachineBack) -> None:
        self.machines[entry.machine].dead_ps = NEVER

    def _attempt_lost(self, entry: e.AttemptLost) -> None:
        row = self.requests.get(entry.request, self._nobody)
        if row.attempt > entry.attempt:
            return
        if row.phase == r.DECODING:
            row.delivered += self.machines[row.decode_machine].steps - row.joined_step
        row.phase, row.since_ps, row.asked_ps, row.lost = r.ARRIVED, entry.at_ps, NEVER, row.lost + 1

    def _router_gone(self, entry: e.RouterGone) -> None:
        if entry.term >= self.term:
            self.router_gone_ps = entry.at_ps

    def _router_started(self, entry: e.RouterStarted) -> None:
        """It believes all machines at home."""
        self.router_gone_ps, self.term = NEVER, entry.term
        for machine, facts in zip(self.machines, self.started.machines, strict=True):
            machine.pool = machine.home = POOL_WORDS.index(facts.pool)

    def _attempt_ended(self, entry: e.AttemptEnded) -> None:
        there, key = self.machines[entry.machine], (entry.request, entry.attempt)
        there.used_blocks -= entry.blocks
        there.queue.pop(key, None)
        if entry.blocks:
            there.loans.pop(key, None)
        row = self._row(*key)
        if row is self._nobody or row.phase == r.ARRIVED or row.decode_machine != entry.machine:
            there.decoding.pop(entry.request, None)

    def _resumed(self, entry: e.Resumed) -> None:
        self._row(entry.request, entry.attempt).delivered = entry.delivered

    def _rate_changed(self, entry: e.RateChanged) -> None:
        self.rate_permille = entry.permille

    def _said(self, entry: e.Entry) -> None:
        """What changes nothing that is seen of a machine or a request."""

    def _run_ended(self, _: e.RunEnded) -> None:
        self.over = True


_HANDLERS: Final[Mapping[type, Callable[[ClusterState, Any], None]]] = {
    e.Arrived: ClusterState._arrived,
    e.Assigned: ClusterState._assigned,
    e.MachineMoved: ClusterState._moved,
    e.Queued: ClusterState._queued,
    e.ReserveQueued: ClusterState._reserve_queued,
    e.Reserved: ClusterState._reserved,
    e.Granted: ClusterState._granted,
    e.StepStarted: ClusterState._step_started,
    e.StepFinished: ClusterState._step_finished,
    e.TransferStarted: ClusterState._transfer_started,
    e.Landed: ClusterState._landed,
    e.Committed: ClusterState._committed,
    e.Released: ClusterState._released,
    e.Preempted: ClusterState._preempted,
    e.RequestEnded: ClusterState._request_ended,
    e.MachineClosed: ClusterState._said,
    e.BeliefClosed: ClusterState._said,
    e.RunEnded: ClusterState._run_ended,
    e.StepsCut: ClusterState._steps_cut,
    e.FaultStruck: ClusterState._struck,
    e.FaultHealed: ClusterState._healed,
    e.MachineCrashed: ClusterState._crashed,
    e.MachineStarted: ClusterState._started,
    e.LandedNowhere: ClusterState._landed_nowhere,
    e.MachineLeft: ClusterState._left,
    e.Resent: ClusterState._said,
    e.PolicyBroke: ClusterState._said,
    e.MachineDead: ClusterState._dead,
    e.MachineBack: ClusterState._back,
    e.AttemptLost: ClusterState._attempt_lost,
    e.AttemptEnded: ClusterState._attempt_ended,
    e.RouterStarted: ClusterState._router_started,
    e.RouterGone: ClusterState._router_gone,
    e.TermTaken: ClusterState._said,
    e.Resumed: ClusterState._resumed,
    e.RateChanged: ClusterState._rate_changed,
}
"""By kind of entry; bound to no state, which would keep it in a circle that only the collector of garbage opens."""
