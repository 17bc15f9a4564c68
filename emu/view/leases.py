"""Leases: how long a machine still keeps blocks for a transfer's other end, as far as a record tells.

Heartbeats are no entries of a record: a lease is known to within one of their periods. Where the other end can speak,
it has spoken within the last period; where it is down or paused, in the last one before that. Which plane of a link is
cut a record does not say: it may be either. A heartbeat that was lost by itself is not seen here.
"""

from __future__ import annotations

from typing import NamedTuple

from emu.view.cluster import ClusterView, LoanView, MachineView
from emu.view.rows import Hold, Phase


class Lease(NamedTuple):
    """When it ends, if nobody renews it from now on: not before the one time, not after the other."""

    least_ps: int
    most_ps: int
    silent: bool  # its other end cannot speak now, or may not be able to


def lease_of(view: ClusterView, machine: MachineView, loan: LoanView) -> Lease | None:
    """Of blocks that `machine` keeps for the other end; None where no lease is known, as of orphans."""
    row = view.requests.get(loan.request)
    if not view.lease_ps or loan.orphan or row is None:
        return None
    peer = view.machines[row.decode_machine if loan.side is Hold.SOURCE else row.prefill_machine]
    since_ps = loan.since_ps
    if loan.side is Hold.SOURCE and row.phase is Phase.HANDING_OVER:
        since_ps = max(since_ps, row.since_ps)  # it was given anew when the prefill had ended
    cut_ps, perhaps_ps = _silent_since(view, machine, peer)
    latest_ps = view.at_ps if cut_ps is None else max(since_ps, cut_ps)
    earliest_ps = (latest_ps if perhaps_ps is None else min(latest_ps, perhaps_ps)) - view.heartbeat_ps
    if cut_ps is None and perhaps_ps is None:
        for end in (machine, peer):
            if end.mute_ps >= 0 and view.at_ps - end.heard_ps < view.heartbeat_ps:
                earliest_ps = min(earliest_ps, end.mute_ps - view.heartbeat_ps)
    silent = cut_ps is not None or perhaps_ps is not None
    return Lease(max(since_ps, earliest_ps) + view.lease_ps, latest_ps + view.lease_ps, silent)


def lease_words(view: ClusterView, lease: Lease) -> str:
    """`lease ends in 3.1 to 8.1 s`, or `lease renewed, 25.0 to 30.0 s left`."""
    least_s, most_s = (max(0.0, (end - view.at_ps) / 10**12) for end in (lease.least_ps, lease.most_ps))
    span = f"{least_s:.1f} s" if most_s - least_s < 0.05 else f"{least_s:.1f} to {most_s:.1f} s"
    return f"lease ends in {span}" if lease.silent else f"lease renewed, {span} left"


def _silent_since(view: ClusterView, machine: MachineView, peer: MachineView) -> tuple[int | None, int | None]:
    """Since when neither hears the other, for certain and perhaps; None where it does."""
    ends = {machine.number, peer.number}
    between = [fault for fault in view.faults if fault.machines and ends >= set(fault.machines)]
    sure = [end.down_ps for end in (machine, peer) if end.down_ps >= 0]
    sure += [fault.at_ps for fault in between if fault.kind == "pause"]
    cut = [fault.at_ps for fault in between if fault.kind == "link_down"]
    return min(sure, default=None), min(cut, default=None)
