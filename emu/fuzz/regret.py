"""Regret: time that a scheduler wasted though the machines had it, for what breaks no law.

The reference is this file's own: each prompt in the order of arrival goes to whichever machine is free first, and is
computed by itself. A run at under half of the machines' time whose slowest first token took more than twice as long as
the reference's is a finding; so is a machine that moves to and fro, and what `fairness` finds. Nothing is said where
memory was short or a fault struck.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from emu.cluster import Cluster, to_ps
from emu.fuzz.fairness import Fairness
from emu.fuzz.judge import Judged
from emu.record import entries as e

TIMES: Final = 2  # as long as the reference, at most
_AMPLE: Final = 4  # times the blocks that all requests together may come to


def regrets(cluster: Cluster, run: Judged) -> Iterator[str]:
    """Every way in which time was wasted, a sentence each."""
    scenario = cluster.scenario
    if scenario.faults or scenario.delays:
        return
    transfer, latency_s = scenario.transfer, scenario.network.control_latency_s
    # an offer may wait for a step, longer than a short lease; a right to put lasts a third of one, and is to be renewed
    if transfer.direction == "put" and 3 * (transfer.heartbeat_s + 2 * latency_s) < transfer.lease_s:
        yield from _lost(run)
    ample = _has_room(cluster)
    yield from Fairness(cluster, run).read(ample and ":" not in scenario.router.policy)
    if ample:
        yield from _slow(cluster, run)
        yield from _to_and_fro(run)


def _has_room(cluster: Cluster) -> bool:
    """Whether memory cannot be what anyone waited for."""
    source = cluster.scenario.workload
    most = 0 if source.max_tokens == "exact" else source.max_tokens
    tokens = sum(row.prompt_tokens + max(row.output_tokens, most) for row in source.requests)
    blocks = min(machine.kv_blocks for machine in cluster.machines)
    return blocks * cluster.scenario.scheduler.block_tokens >= _AMPLE * tokens


def _prefills(cluster: Cluster) -> list[int]:
    return [index for index, machine in enumerate(cluster.machines) if machine.group.pool != "decode"]


def _lost(run: Judged) -> Iterator[str]:
    """Recovery hides what went wrong: nothing is lost where nothing struck, as long as a right can be renewed."""
    for entry in run.entries:
        if isinstance(entry, e.AttemptLost) and entry.reason == e.Reason.LEASE_EXPIRED:
            yield f"attempt {entry.attempt} of request {entry.request} was lost, and no fault had struck"
            return


def _slow(cluster: Cluster, run: Judged) -> Iterator[str]:
    """First tokens against the reference's."""
    arrived = {entry.request: entry for entry in run.entries if type(entry) is e.Arrived}
    ended = {entry.request for entry in run.entries if type(entry) is e.RequestEnded and entry.status == 0}
    if len(arrived) != len(ended) or run.of(e.Resent):  # rejected, they waited at their clients
        return
    first = _first_tokens(run)
    machines = _prefills(cluster)
    free_ps = dict.fromkeys(machines, 0)
    busy_ps, slowest, last_ps = 0, 0, 0
    for entry in arrived.values():
        machine = min(machines, key=lambda index: max(free_ps[index], entry.at_ps))
        alone_ps = cluster.machines[machine].costs.mixed_ps(entry.prompt_tokens, 1, 0, 0, 0)
        free_ps[machine] = max(free_ps[machine], entry.at_ps) + alone_ps
        busy_ps += alone_ps
        slowest = max(slowest, free_ps[machine] - entry.at_ps)
        last_ps = max(last_ps, free_ps[machine])
    if not arrived or 2 * busy_ps >= len(machines) * (last_ps - min(entry.at_ps for entry in arrived.values())):
        return
    late = max(first, key=lambda request: first[request] - arrived[request].at_ps)
    took_ps = first[late] - arrived[late].at_ps
    if took_ps > TIMES * slowest + _overhead_ps(cluster, len(arrived)):
        yield (
            f"request {late} had its first token after {took_ps / 1e9:.3f} ms, the slowest of a first-come reference "
            f"on the same machines after {slowest / 1e9:.3f} ms, with under half of their time in use"
        )


def _overhead_ps(cluster: Cluster, requests: int) -> int:
    """What the reference leaves out: two messages, and on a mixed machine the decode step that a prompt waits for."""
    step_ps = max(machine.costs.mixed_ps(1, 1, 0, requests, 8192 * requests) for machine in cluster.machines)
    return 2 * to_ps(cluster.scenario.network.control_latency_s) + 2 * step_ps


def _first_tokens(run: Judged) -> dict[int, int]:
    """When each request's first prefill ended."""
    prefilling: dict[int, list[int]] = {}
    first: dict[int, int] = {}
    for entry in run.entries:
        if type(entry) is e.StepStarted:
            prefilling[entry.machine] = [piece.request for piece in entry.prefills]
        elif type(entry) is e.StepFinished:
            for request in prefilling.pop(entry.machine, ()):
                first.setdefault(request, entry.at_ps)
    return first


def _to_and_fro(run: Judged) -> Iterator[str]:
    """A machine that moved more often than it was given work: each loan of it is one move out and one home."""
    serves = {index: machine.pool for index, machine in enumerate(run.started.machines)}
    moves: dict[int, int] = {}
    given: dict[int, int] = {}
    for entry in run.entries:
        if type(entry) is e.MachineMoved:  # or changed its home alone
            pool = e.PoolCode(entry.pool).name.lower()
            moves[entry.machine] = moves.get(entry.machine, 0) + (pool != serves[entry.machine])
            serves[entry.machine] = pool
        elif type(entry) is e.Assigned:
            for machine in {entry.prefill_machine, entry.decode_machine}:
                given[machine] = given.get(machine, 0) + 1
    for machine, count in moves.items():
        if count > 2 * given.get(machine, 0) + 2:
            yield f"{run.started.machines[machine].name} moved {count} times for {given.get(machine, 0)} requests"
