"""From a ClusterState to the frozen ClusterView that screens and texts read. Nothing here folds or draws."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from attrs import astuple

from emu.record.entries import FaultCode
from emu.view import rows as r
from emu.view.cluster import (
    Belief,
    ClusterView,
    Counts,
    FaultView,
    LoanView,
    MachineView,
    Memory,
    RequestView,
    TransferView,
)
from emu.view.rows import PREFILLING, FaultRow, Hold, Key, LoanRow, MachineRow, Phase, RequestRow, TransferRow
from emu.view.state import ClusterState

_PHASES: Final = tuple(Phase)
_WRONG: Final = {
    int(FaultCode.PAUSE): "{who} is paused",
    int(FaultCode.HANG): "{who} hangs in a step",
    int(FaultCode.SLOW): "{who} is slow",
    int(FaultCode.DRAIN): "{who} is drained",
    int(FaultCode.NIC_DOWN): "the card of {who} is down",
    int(FaultCode.LINK_DOWN): "the link {who} is down",
    int(FaultCode.LINK_SLOW): "the link {who} is slow",
    int(FaultCode.STALE_REPORT): "{who} sends old reports",
    int(FaultCode.CLOCK): "the clock of {who} is wrong",
}
_DOWN: Final = {
    int(FaultCode.CRASH): "{who} has crashed",
    int(FaultCode.RESTART): "{who} starts again",
}
_SIDES: Final = tuple(Hold)


def freeze(state: ClusterState, at_ps: int | None = None) -> ClusterView:
    """The view after the state's last entry; `at_ps` is later where time has passed without one."""
    outgoing = [0] * len(state.machines)
    incoming = [0] * len(state.machines)
    for transfer in state.transfers.values():
        if transfer.committed_ps == r.NEVER:
            outgoing[transfer.source] += 1
            incoming[transfer.target] += 1
    machines = tuple(
        _machine(state, index, row, outgoing[index], incoming[index]) for index, row in enumerate(state.machines)
    )
    return ClusterView(
        at_ps=state.at_ps if at_ps is None else max(at_ps, state.at_ps),
        entries=state.entries,
        over=state.over,
        name=state.started.name,
        block_tokens=state.started.block_tokens,
        machines=machines,
        requests=MappingProxyType({row.request: _request(state, row) for row in state.requests.values()}),
        transfers=tuple(_transfer(row) for row in state.transfers.values()),
        ended=tuple(state.ended),
        counts=Counts(state.arrived, *state.ended_by),
        faults=tuple(_fault(state, number, row) for number, row in state.faults.items() if row.kind in _WRONG),
        crashes=tuple(_fault(state, number, row) for number, row in state.faults.items() if row.kind in _DOWN),
        lease_ps=state.started.lease_ps,
        heartbeat_ps=state.started.heartbeat_ps,
        router_gone_ps=state.router_gone_ps,
        rate_permille=state.rate_permille,
    )


def _fault(state: ClusterState, number: int, row: FaultRow) -> FaultView:
    touched = tuple(machine for machine in (row.machine, row.peer) if machine >= 0)
    names = [state.started.machines[machine].name for machine in touched]
    who = " to ".join(names) if len(names) > 1 else names[0] if names else "the router"
    words = (_WRONG.get(row.kind) or _DOWN[row.kind]).format(who=who)
    return FaultView(number, row.at_ps, FaultCode(row.kind).word, touched, words)


def _request(state: ClusterState, row: RequestRow) -> RequestView:
    delivered = row.delivered
    if row.phase == r.DECODING:
        delivered += state.machines[row.decode_machine].steps - row.joined_step
    return RequestView(
        row.request,
        row.arrived_ps,
        row.prompt_tokens,
        row.max_tokens,
        row.attempt,
        row.prefill_machine,
        row.decode_machine,
        row.step,
        _PHASES[row.phase],
        row.since_ps,
        row.prefill_start_ps,
        row.first_token_ps,
        delivered,
        row.preemptions,
        row.wants_blocks,
        row.asked_ps,
        row.granted_ps,
        row.lost,
        row.tries,
    )


def _transfer(row: TransferRow) -> TransferView:
    return TransferView(*astuple(row))


def _machine(state: ClusterState, index: int, row: MachineRow, outgoing: int, incoming: int) -> MachineView:
    facts, requests = state.started.machines[index], state.requests
    loans = tuple(_loan(state, key, loan) for key, loan in row.loans.items())
    queued = 0
    for request, _ in row.queue:
        waiting = requests.get(request)
        queued += 0 if waiting is None else waiting.prompt_tokens + waiting.delivered
    return MachineView(
        number=index,
        name=facts.name,
        hardware=facts.hardware,
        pool=row.pool,
        home=row.home,
        memory=_memory(state, row, facts.kv_blocks, loans),
        queue=tuple(row.queue),
        queued_tokens=queued,
        reservations=tuple(row.reservations),
        loans=loans,
        prefills=row.prefills,
        decoding=tuple(row.decoding),
        busy=row.busy,
        since_ps=row.started_ps,
        sequences=row.sequences if row.busy else 0,
        steps=row.steps,
        step_ps=row.step_ps,
        prefill_ps=row.prefill_ps,
        put_ps=row.put_ps,
        refused_ps=row.refused_ps,
        taken_ps=row.taken_ps,
        mute_ps=row.mute_ps,
        heard_ps=row.heard_ps,
        busy_ps=row.busy_ps,
        tokens=row.tokens,
        outgoing=outgoing,
        incoming=incoming,
        belief=Belief(row.believed_tokens, row.believed_tokens_ps, row.believed_free, row.believed_free_ps),
        down_ps=row.down_ps,
        away=row.away,
        dead_ps=row.dead_ps,
        incarnation=row.incarnation,
        faults=tuple(
            FaultCode(fault.kind).word
            for fault in state.faults.values()
            if fault.kind in _WRONG and index in (fault.machine, fault.peer)
        ),
    )


def _loan(state: ClusterState, key: Key, loan: LoanRow) -> LoanView:
    transfer, owner = state.transfers.get(key), state.requests.get(key[0])
    pinned = transfer is not None and transfer.landed_bytes < transfer.posted_bytes
    orphan = owner is None or owner.attempt != key[1]
    return LoanView(*key, _SIDES[loan.side], loan.blocks, loan.since_ps, pinned, orphan)


def _memory(state: ClusterState, row: MachineRow, total: int, loans: tuple[LoanView, ...]) -> Memory:
    """A source's blocks run while its prefill does, and are held from then on."""
    reserved = held = orphan = pinned = 0
    for loan in loans:
        if loan.orphan:
            orphan += loan.blocks
        elif loan.side is Hold.TARGET:
            reserved += loan.blocks
        elif state.requests[loan.request].phase != PREFILLING:
            held += loan.blocks
            pinned += loan.blocks if loan.pinned else 0
    running = max(0, row.used_blocks - reserved - held - orphan)
    return Memory(total, running, reserved, held, orphan, pinned)
