"""Show: what the screens show, as plain text: a whole run, one request's life, one machine at a moment, one law.

Pure text out of frozen views and entries; reading a folder is `emu.view.reader`'s, printing the command line's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from emu.record import entries as e
from emu.record.start import RunStarted
from emu.view.cluster import ClusterView, MachineView, seconds
from emu.view.incident import BEFORE_S, NOW_S, Burn, burn, findings, headline, oldest_by_phase, symptoms_since
from emu.view.lanes import STEP_WORDS, LaneView, control_steps, lanes, layers_words
from emu.view.leases import lease_of, lease_words
from emu.view.life import stages
from emu.view.rows import NEVER, Hold
from emu.view.survey import PS_PER_S, Survey
from emu.view.why import waits_for, why_machine
from emu.view.words import Words

BAR: Final = 30
MOST_SYMPTOMS: Final = 12


def run_text(view: ClusterView, survey: Survey) -> str:
    """The cluster at a moment: headline, counts, a line a machine, and the oldest request of each phase."""
    counts = view.counts
    found = findings(view, survey)
    lines = [
        f"{view.name} at {seconds(view.at_ps)}, after {view.entries:,} entries" + (" (the end)" if view.over else ""),
        headline(view, found),
        *(f"  {seconds(view.at_ps - each.since_ps):>12}  {each.words}" for each in found[1:]),
        f"arrived {counts.arrived:,}  completed {counts.completed:,}  rejected {counts.rejected:,}  "
        f"failed {counts.failed:,}  cancelled {counts.cancelled:,}  open {counts.open:,}",
        "",
        f"{'machine':<14}{'pool':<9}{'does':<9}{'batch':>6}{'queue':>7}{'tokens':>9}{'in':>4}{'out':>4}"
        f"{'KV used':>9}{'reserved':>9}{'held':>7}{'orphan':>7}",
    ]
    lines += [_machine_line(machine) for machine in view.machines]
    edge_ps = max(0, view.at_ps - NOW_S * PS_PER_S)
    lines += ["", _burn_line(f"last {NOW_S} s", burn(survey, edge_ps, view.at_ps))]
    lines.append(_burn_line(f"{BEFORE_S} s before", burn(survey, edge_ps - BEFORE_S * PS_PER_S, edge_ps)))
    seen = symptoms_since(survey, 0, view.at_ps)
    if seen:
        lines += ["", "seen to be wrong, the latest first:"]
        for symptom in seen[:MOST_SYMPTOMS]:
            span = f"{seconds(symptom.began_ps)} to {seconds(min(view.at_ps, symptom.last_ps))}"
            lines.append(f"  {span:>26}  {symptom.words}")
    oldest = oldest_by_phase(view)
    if oldest:
        lines += ["", "the oldest of each phase:"]
        for row in oldest:
            age = seconds(view.at_ps - row.since_ps)
            lines.append(f"  {row.phase_word:<14}{age:>12}  {waits_for(view, row.request)}")
    moving = lanes(view)
    if moving:
        lines += ["", "caches on their way:", *(_lane_line(view, lane) for lane in moving)]
    return "\n".join(lines)


def _burn_line(span: str, found: Burn) -> str:
    missed = "nothing ended" if found.missed_share is None else f"{100 * found.missed_share:.1f} % missed their SLOs"
    return f"{span + ':':<14}{found.goodput_rps:8.1f} good requests/s, {missed}"


def _lane_line(view: ClusterView, lane: LaneView) -> str:
    way = f"{view.machine_name(lane.source)} to {view.machine_name(lane.target)}"
    data = f"{layers_words(lane)} layers, {lane.posted_bytes / 1e6:,.0f} MB" if lane.posted else "no put yet"
    steps = "  ".join(f"{word} {STEP_WORDS[step]}" for word, step in control_steps(lane))
    return f"  r{lane.request:<7} {way:<26} {seconds(view.at_ps - lane.since_ps):>12}  {data}; {steps}"


def _machine_line(machine: MachineView) -> str:
    memory = machine.memory
    used = memory.total - memory.free
    pool = machine.pool_word if machine.pool == machine.home else f"{machine.pool_word}*"
    batch = machine.sequences + len(machine.prefills)
    share = f"{100 * used / memory.total:.1f} %" if memory.total else "-"
    return (
        f"{machine.name:<14}{pool:<9}{machine.doing:<9}{batch:>6}{len(machine.queue):>7}{machine.queued_tokens:>9,}"
        f"{machine.incoming:>4}{machine.outgoing:>4}{share:>9}{memory.reserved:>9,}{memory.held:>7,}{memory.orphan:>7,}"
    )


def machine_text(view: ClusterView, machine: MachineView) -> str:
    """One machine at a moment: its batch, its blocks by reason, its leases, and what the router believed."""
    memory = machine.memory
    away = "" if machine.pool == machine.home else f", home {machine.home_word}"
    lines = [
        f"{machine.name} ({machine.hardware}, {machine.pool_word}{away}) at {seconds(view.at_ps)}",
        why_machine(view, machine.number).text(),
        "",
        f"blocks: {memory.free:,} of {memory.total:,} free",
    ]
    for word in ("running", "reserved", "held", "orphan"):
        blocks = getattr(memory, word)
        filled = round(BAR * blocks / memory.total) if memory.total else 0
        pinned = f", {memory.pinned:,} of them pinned by puts" if word == "held" and memory.pinned else ""
        lines.append(f"  {word:<9}{blocks:>9,} {'#' * filled:<{BAR}}{pinned}")
    lines += [
        f"queue: {len(machine.queue)} prompts, {machine.queued_tokens:,} tokens"
        + (f": {_requests(machine.queue)}" if machine.queue else ""),
        f"reservations that wait: {len(machine.reservations)}"
        + (f": {_requests(machine.reservations)}" if machine.reservations else ""),
        f"decoding: {len(machine.decoding)} sequences"
        + (f": {_requests((request, 0) for request in machine.decoding)}" if machine.decoding else ""),
        f"transfers: {machine.incoming} in, {machine.outgoing} out",
        _belief(view, machine),
    ]
    for loan in machine.loans:
        why = "reserved for" if loan.side is Hold.TARGET else "held for"
        pinned = ", pinned" if loan.pinned else ""
        orphan = ", ORPHAN" if loan.orphan else ""
        age = seconds(view.at_ps - loan.since_ps)
        lease = lease_of(view, machine, loan)
        ends = f", {lease_words(view, lease)}" if lease is not None else ""
        lines.append(f"  loan: {loan.blocks:,} blocks {why} r{loan.request} for {age}{pinned}{orphan}{ends}")
    return "\n".join(lines)


def _belief(view: ClusterView, machine: MachineView) -> str:
    belief = machine.belief
    parts = []
    if belief.tokens_ps != NEVER:
        age = seconds(view.at_ps - belief.tokens_ps)
        parts.append(f"{belief.tokens:,} queued tokens {age} ago (now {machine.queued_tokens:,})")
    if belief.free_ps != NEVER:
        age = seconds(view.at_ps - belief.free_ps)
        parts.append(f"{belief.free_blocks:,} free blocks {age} ago (now {machine.memory.free:,})")
    return "the router believed: " + ("; ".join(parts) if parts else "nothing, it never chose this machine")


def _requests(keys: Iterable[tuple[int, int]], most: int = 8) -> str:
    named = [f"r{request}" for request, _ in keys]
    return ", ".join(named[:most]) + (f" and {len(named) - most} more" if len(named) > most else "")


def request_text(started: RunStarted, request: int, entries: Sequence[e.Entry]) -> str:
    """One request's life: what it was, the phases it went through, and every entry about it with the gap before."""
    words = Words(started)
    life = list(stages(entries, request))
    if not entries:
        return f"r{request}: the record says nothing of it"
    first_ps = entries[0][0]
    lines = [f"r{request}"]
    for word, machine, began_ps, ended_ps in life:
        where = f" on {words.name(machine)}" if machine != NEVER else ""
        lines.append(f"  {word:<10}{seconds(ended_ps - began_ps):>12}{where}")
    lines += ["", f"{'time':>14}  {'since arrival':>14}"]
    for entry in entries:
        lines.append(f"{entry[0] / 10**12:14.6f}  {'+' + seconds(entry[0] - first_ps, 6):>14}  {words.say(entry)}")
    return "\n".join(lines)


def law_text(name: str, statement: str, summary: Mapping[str, Any]) -> str:
    """One law: what it says, and where this run broke it."""
    laws = summary.get("laws", {})
    found = [broken for broken in laws.get("violations", []) if broken["law"] == name]
    lines = [f"{name}: {statement}"]
    if name not in laws.get("broken", []):
        lines.append("held throughout this run")
        return "\n".join(lines)
    lines.append("BROKEN")
    lines += [f"  at {broken['at_s']:.6f} s: {broken['what']}" for broken in found]
    return "\n".join(lines)
