"""Lanes: every cache that is to go from one machine to another, its data and its messages apart.

A record tells when a put was posted and when all of it has landed. How many of its layers are there in between is
reckoned from the pace of the machine's last prefill or put, and said to be so.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from emu.view.cluster import ClusterView, FaultView, RequestView, TransferView
from emu.view.rows import NEVER, PROMPT_TOKENS, Phase

OVERDUE_PS: Final = 10**12  # an acknowledgement
LATE: Final = 3.0  # times its usual time, from which on nothing is reckoned: a long prompt's tokens take longer


class Step(enum.IntEnum):
    """How far one message of a transfer is."""

    LATER = 0
    NOW = 1  # it is waited for
    DONE = 2


class LaneView(NamedTuple):
    """One cache on its way. `likely` layers have landed by the last pace, `late` is the time that it has had, in usual
    times of such a put (0: not known)."""

    source: int
    target: int
    request: int
    attempt: int
    since_ps: int
    layers: int  # of what was posted
    landed: int
    likely: int
    late: float
    posted_bytes: int
    lost: int  # puts
    grant: Step
    signal: Step
    acknowledge: Step

    @property
    def posted(self) -> bool:
        return self.layers > 0

    @property
    def whole(self) -> bool:
        return self.posted and self.landed >= self.layers


STEP_WORDS: Final = ("later", "waited for", "done")


def control_steps(lane: LaneView) -> tuple[tuple[str, Step], ...]:
    """The messages of a transfer, in their order."""
    return ("grant", lane.grant), ("signal", lane.signal), ("ack", lane.acknowledge)


def layers_words(lane: LaneView) -> str:
    """`34/80`; with ~ in front where it is reckoned."""
    reckoned = "~" if lane.likely > lane.landed else ""
    return f"{reckoned}{lane.likely}/{lane.layers}"


def lanes(view: ClusterView) -> list[LaneView]:
    """The oldest first: those that wait for a grant, those under way, those whose acknowledgement is overdue."""
    found = [_moving(view, transfer) for transfer in view.transfers if _is_open(view, transfer)]
    started = {(transfer.request, transfer.attempt) for transfer in view.transfers}
    for row in view.requests.values():
        if row.phase is Phase.HANDING_OVER and row.key not in started and row.prefill_machine != row.decode_machine:
            found.append(_waiting(row))
    return sorted(found, key=lambda lane: (lane.since_ps, lane.request))


def _is_open(view: ClusterView, transfer: TransferView) -> bool:
    return transfer.committed_ps == NEVER or view.at_ps - transfer.committed_ps > OVERDUE_PS


def _moving(view: ClusterView, transfer: TransferView) -> LaneView:
    landed = transfer.posted_bytes > 0 and transfer.landed_bytes >= transfer.posted_bytes
    share, late = _reckoned(view, transfer)
    committed = transfer.committed_ps != NEVER
    likely = max(transfer.landed_layers, min(int(share * transfer.layers), transfer.layers - 1))
    return LaneView(
        transfer.source,
        transfer.target,
        transfer.request,
        transfer.attempt,
        transfer.started_ps,
        transfer.layers,
        transfer.landed_layers,
        transfer.layers if landed else likely,
        0.0 if landed else late,
        transfer.posted_bytes,
        transfer.lost,
        Step.DONE,
        Step.DONE if committed else Step.NOW if landed else Step.LATER,
        Step.NOW if committed else Step.LATER,
    )


def _waiting(row: RequestView) -> LaneView:
    granted = row.granted_ps != NEVER
    places = row.prefill_machine, row.decode_machine, row.request, row.attempt
    grant = Step.DONE if granted else Step.NOW
    return LaneView(*places, row.since_ps, 0, 0, 0, 0.0, 0, 0, grant, Step.LATER, Step.LATER)


def _reckoned(view: ClusterView, transfer: TransferView) -> tuple[float, float]:
    """The share of a put that has likely landed, and how many times its usual time it has had."""
    source, row = view.machines[transfer.source], view.requests.get(transfer.request)
    if transfer.follows and row is not None and row.phase is Phase.PREFILLING:
        tokens = sum(piece.tokens for piece in source.prefills)
        usual_ps, since_ps = source.prefill_ps * (tokens + PROMPT_TOKENS), row.since_ps
    else:
        usual_ps, since_ps = source.put_ps * transfer.posted_bytes // 10**6, transfer.started_ps
        if transfer.follows and row is not None:
            since_ps = max(since_ps, row.since_ps)  # what remains of it moves since the prefill has ended
    if usual_ps <= 0:
        return 0.0, 0.0
    late = (view.at_ps - since_ps) / usual_ps
    cut = any(fault.kind == "link_down" and _between(fault, transfer) for fault in view.faults)
    return (0.0 if cut or late > LATE else min(late, 1.0)), late


def _between(fault: FaultView, transfer: TransferView) -> bool:
    return bool(fault.machines) and set(fault.machines) <= {transfer.source, transfer.target}
