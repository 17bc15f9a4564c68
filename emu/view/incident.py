"""Incident: what is wrong at a moment, ranked, the worst first; nothing where all is well.

Each finding names the moment it began and whom it is about, so that a screen can go there. It judges one ClusterView
and the survey's last minute, by the plain rules that stand here; laws are judged in `emu.laws`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from attrs import evolve, frozen

from emu.view.cluster import ClusterView, LoanView, MachineView, RequestView, counted, seconds
from emu.view.leases import Lease, lease_of, lease_words
from emu.view.rows import NEVER, Phase
from emu.view.survey import PS_PER_S, Interval, Mark, MarkView, Survey, Symptom
from emu.view.why import why_request

MOST: Final = 5
STUCK_PS: Final = 10 * PS_PER_S  # a request that neither computes nor moves
SLOW_PUT_PS: Final = PS_PER_S  # a put of which nothing landed
MUTE_PS: Final = PS_PER_S  # mail that a machine has not taken
SLOW_TIMES: Final = 2.5  # the median of its hardware
FEWEST: Final = 20  # prompts in a queue that is worth a word
MOST_ASKED: Final = 8  # requests that are stuck, for a deadlock
GONE_PS: Final = 3 * PS_PER_S  # what was not seen for so long is over
NOW_S: Final = 10
BEFORE_S: Final = 60


@frozen
class Finding:
    """`rank` is smaller the worse it is; `request` and `machine` are NEVER where none is named."""

    rank: int
    kind: str
    words: str
    since_ps: int
    request: int = NEVER
    machine: int = NEVER


@frozen
class Burn:
    """Requests over a span: how many ended a second within their SLOs, and which share of the ended ones did not."""

    goodput_rps: float
    missed_share: float | None


def findings(view: ClusterView, survey: Survey, broken: Iterable[MarkView] = ()) -> tuple[Finding, ...]:
    """The worst of all, at most MOST of them."""
    found: list[Finding] = [
        Finding(0, "law", mark.words, mark.at_ps, mark.request, mark.machine)
        for mark in broken
        if mark.at_ps <= view.at_ps
    ]
    for fault in view.faults:
        found.append(Finding(1, fault.kind, fault.words, fault.at_ps, machine=(*fault.machines, NEVER)[0]))
    if view.router_gone_ps != NEVER:
        found.append(Finding(1, "router", "the router is gone: nothing is placed", view.router_gone_ps))
    found += _since_first_seen(view, survey)
    found += _leases(view)
    found += _queues(view, survey)
    return tuple(sorted(found, key=lambda finding: (finding.rank, finding.since_ps))[:MOST])


def symptoms(view: ClusterView) -> Iterator[Finding]:
    """What can be seen to be wrong, without being told of a fault."""
    yield from _machines(view)
    yield from _slow(view)
    yield from _mute(view)
    yield from _requests(view)


def _since_first_seen(view: ClusterView, survey: Survey) -> Iterator[Finding]:
    """What is wrong now, since it was so first: a machine may be slow in one batch after another."""
    began = {
        (each.kind, each.machine): each.began_ps
        for each in symptoms_since(survey, view.at_ps - GONE_PS, view.at_ps)
        if each.kind == "slow steps"
    }
    for finding in symptoms(view):
        since_ps = min(finding.since_ps, began.get((finding.kind, finding.machine), finding.since_ps))
        yield evolve(finding, since_ps=since_ps)


def symptoms_since(survey: Survey, from_ps: int, to_ps: int) -> list[Symptom]:
    """Those of a span, the latest first."""
    return [each for each in reversed(survey.symptoms) if each.last_ps >= from_ps and each.seen_ps <= to_ps]


def _machines(view: ClusterView) -> Iterator[Finding]:
    for machine in view.machines:
        if machine.down_ps != NEVER and not machine.away:
            words = f"{machine.name} is down (incarnation {machine.incarnation})"
            yield Finding(1, "down", words, machine.down_ps, machine=machine.number)
        elif machine.dead_ps != NEVER and not machine.away:
            words = f"the router takes {machine.name} for dead{_evidence(machine)}"
            yield Finding(2, "silent", words, machine.dead_ps, machine=machine.number)
        if machine.memory.orphan:
            oldest = min(loan.since_ps for loan in machine.loans if loan.orphan)
            words = f"{machine.memory.orphan:,} blocks on {machine.name} belong to attempts that are over"
            yield Finding(5, "orphans", words, oldest, machine=machine.number)


def _evidence(machine: MachineView) -> str:
    """What the network says of a machine that is not heard."""
    if machine.refused_ps >= machine.dead_ps - PS_PER_S:
        return ": puts to it land nowhere, so its process is gone"
    if machine.taken_ps >= machine.dead_ps:
        return ": puts to it still land, so it stands still or is cut off"
    return ""


def _slow(view: ClusterView) -> Iterator[Finding]:
    """Machines whose last steps took far longer than those of others of their hardware."""
    kinds = {machine.hardware for machine in view.machines}
    for name, word in (("step_ps", "decode steps"), ("prefill_ps", "prefills")):
        for kind in sorted(kinds):
            times = sorted(getattr(m, name) for m in view.machines if m.hardware == kind and getattr(m, name) > 0)
            if len(times) < 2:
                continue
            usual = times[(len(times) - 1) // 2]
            for machine in view.machines:
                took = getattr(machine, name)
                if machine.hardware == kind and took > SLOW_TIMES * usual:
                    words = f"{word} on {machine.name} take {took / usual:.1f} times as long as on others"
                    yield Finding(3, "slow steps", words, machine.since_ps, machine=machine.number)


def _mute(view: ClusterView) -> Iterator[Finding]:
    """Machines that do not take what came: caches that landed and are not committed, assignments that nobody queued."""
    oldest: dict[int, tuple[int, int]] = {}
    for transfer in view.transfers:
        if transfer.committed_ps == NEVER and transfer.landed_share >= 1 and transfer.landed_ps != NEVER:
            row = view.requests.get(transfer.request)
            if row is not None and row.attempt == transfer.attempt and row.first_token_ps != NEVER:
                since = (max(transfer.landed_ps, row.since_ps), transfer.request)
                oldest[transfer.target] = min(oldest.get(transfer.target, since), since)
    for row in view.requests.values():
        if row.phase is Phase.ASSIGNED:
            since = (row.since_ps, row.request)
            oldest[row.prefill_machine] = min(oldest.get(row.prefill_machine, since), since)
    for machine, (since_ps, request) in sorted(oldest.items()):
        if view.at_ps - since_ps >= MUTE_PS:
            words = f"{view.machine_name(machine)} takes nothing: r{request} waits for it"
            yield Finding(2, "mute", words, since_ps, request, machine)


def _requests(view: ClusterView) -> Iterator[Finding]:
    stuck = [row for row in view.waiting() if view.at_ps - row.since_ps >= STUCK_PS]
    if stuck:
        worst = min(stuck, key=lambda row: (row.since_ps, row.request))
        more = f", and {len(stuck) - 1} more" if len(stuck) > 1 else ""
        words = f"r{worst.request} is stuck ({worst.phase_word}){more}"
        yield Finding(3, "stuck", words, worst.since_ps, worst.request, worst.machine)
        yield from _circle(view, sorted(stuck, key=lambda row: (row.since_ps, row.request))[:MOST_ASKED])
    pairs: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for transfer in view.transfers:
        quiet_ps = view.at_ps - max(transfer.started_ps, transfer.landed_ps)
        if transfer.committed_ps == NEVER and transfer.landed_share < 1 and quiet_ps >= SLOW_PUT_PS:
            pairs.setdefault((transfer.source, transfer.target), []).append((transfer.started_ps, transfer.request))
    for (source, target), waiting in pairs.items():
        since_ps, request = min(waiting)
        row = view.requests.get(request)
        if row is not None and row.phase is Phase.PREFILLING:
            continue  # its layers follow as they are computed
        way = f"{view.machine_name(source)} to {view.machine_name(target)}"
        words = f"{way} carries nothing of {counted(len(waiting), 'put')}"
        yield Finding(4, "pair", words, since_ps, request, source)


def _leases(view: ClusterView) -> Iterator[Finding]:
    """Blocks kept for somebody who should have renewed their lease, and cannot: of a machine those that end first."""
    if not view.faults and all(machine.down_ps == NEVER for machine in view.machines):
        return
    for machine in view.machines:
        due: list[tuple[Lease, LoanView]] = []
        for loan in machine.loans:
            lease = lease_of(view, machine, loan)
            if lease is not None and lease.silent and view.at_ps > lease.most_ps - view.lease_ps + view.heartbeat_ps:
                due.append((lease, loan))
        if due:
            lease, loan = min(due)
            more = f" (and {counted(len(due) - 1, 'lease')} more)" if len(due) > 1 else ""
            kept = f"{counted(loan.blocks, 'block')} on {machine.name} for r{loan.request}{more}"
            words = f"nobody renews the lease of {kept}: {lease_words(view, lease)}"
            since_ps = lease.most_ps - view.lease_ps + view.heartbeat_ps
            yield Finding(4, "lease", words, since_ps, loan.request, machine.number)


def _circle(view: ClusterView, stuck: Iterable[RequestView]) -> Iterator[Finding]:
    """The first that waits for itself, over the blocks of others."""
    for row in stuck:
        chain = why_request(view, row.request)
        if chain.deadlock:
            members = sorted({link.request for link in chain.links if link.request != NEVER})
            named = ", ".join(f"r{member}" for member in members[:4])
            more = f" and {len(members) - 4} more" if len(members) > 4 else ""
            words = f"{named}{more} wait for each other's blocks: a deadlock"
            yield Finding(1, "deadlock", words, row.since_ps, row.request, row.machine)
            return


def _queues(view: ClusterView, survey: Survey) -> Iterator[Finding]:
    longest = max(view.machines, key=lambda machine: len(machine.queue), default=None)
    if longest is None or len(longest.queue) < FEWEST:
        return
    lengths = [interval.queued for interval in _between(survey, view.at_ps - NOW_S * PS_PER_S, view.at_ps)]
    if len(lengths) >= 3 and lengths == sorted(lengths) and lengths[-1] > lengths[0]:
        head = view.requests.get(longest.queue[0][0])
        since_ps = view.at_ps if head is None else head.since_ps
        words = f"queues only grow: {lengths[0]} to {lengths[-1]} prompts in {NOW_S} s, {longest.name} the longest"
        yield Finding(6, "queue", words, since_ps, machine=longest.number)


def burn(survey: Survey, from_ps: int, to_ps: int) -> Burn:
    """Between two moments, to a whole interval."""
    spans = _between(survey, from_ps, to_ps) if to_ps > max(0, from_ps) else []
    ended = sum(span.good + span.missed for span in spans)
    good = sum(span.good for span in spans)
    seconds_long = len(spans) * survey.interval_ps / PS_PER_S
    missed = (ended - good) / ended if ended else None
    return Burn(good / seconds_long if seconds_long else 0.0, missed)


def marks_between(survey: Survey, from_ps: int, to_ps: int) -> list[MarkView]:
    """Marks that were kept, worst kinds first, then by time."""
    inside = [mark for mark in survey.marks if from_ps < mark.at_ps <= to_ps]
    return sorted(inside, key=lambda mark: (mark.mark, mark.at_ps))


def first_miss(survey: Survey) -> MarkView | None:
    """The first moment at which a request missed its SLOs, however."""
    misses = (Mark.FAILED, Mark.REJECTED, Mark.CANCELLED, Mark.SLO_MISS)
    return next((mark for mark in survey.marks if mark.mark in misses), None)


def oldest_by_phase(view: ClusterView) -> list[RequestView]:
    """Of each phase the request that is in it the longest, in the order of phases."""
    oldest: dict[Phase, RequestView] = {}
    for row in view.requests.values():
        held = oldest.get(row.phase)
        if held is None or (row.since_ps, row.request) < (held.since_ps, held.request):
            oldest[row.phase] = row
    return [oldest[phase] for phase in sorted(oldest)]


def headline(view: ClusterView, found: tuple[Finding, ...]) -> str:
    """One line: all is well, or how many things are wrong and the worst of them."""
    if not found:
        return f"all well: {counted(view.counts.open, 'request')} open, nothing stuck, every machine answers"
    worst = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    if worst.kind == "law":
        return f"{worst.words}{more}"
    return f"{worst.words} for {seconds(view.at_ps - worst.since_ps, 1)}{more}"


def _between(survey: Survey, from_ps: int, to_ps: int) -> list[Interval]:
    first = max(0, from_ps // survey.interval_ps)
    return survey.intervals[first : max(0, to_ps // survey.interval_ps) + 1]
