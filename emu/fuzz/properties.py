"""Properties: what must hold between two runs, exactly. Laws judge one record; these compare records.

Each property takes a situation, what its run wrote and one drawn number, and says what it found. `plain`, first in the
table, compares nothing: it is what an example shrinks to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal

from attrs import evolve, frozen

from emu.fuzz.answers import answers, answers_alone
from emu.fuzz.clusters import Clusters
from emu.fuzz.disturbed import a_loss_costs_time_only, duplicates_are_silent, strikes_nothing
from emu.fuzz.judge import Finding, Judged, judge
from emu.fuzz.promises import broken_promises
from emu.fuzz.regret import regrets
from emu.fuzz.rescaled import scaled_by_two, shifted
from emu.record import entries as e
from emu.refusal import Refusal
from emu.scenario.schema import Fault, Row, Scenario, machine_names

Compare = Callable[[Scenario, Judged, int, Clusters], Iterator[str]]
MODES: Final[tuple[Literal["auto", "serialized", "layer-wise"], ...]] = ("auto", "serialized", "layer-wise")
SPLITS: Final = (8, 4, 2)
MOMENTS: Final = (e.Assigned, e.Queued, e.Reserved, e.Granted, e.TransferStarted, e.Committed, e.StepStarted)
PICKS: Final = 41  # numbers that a property may be given, from 0
AT_THE_END: Final = (e.MachineClosed, e.BeliefClosed, e.RunEnded, e.MachineMoved)
"""What a run that ends earlier says earlier."""


@frozen
class Property:
    """`statement` is what must hold; `compare` yields a sentence for each way in which it did not."""

    name: str
    statement: str
    compare: Compare
    renumbers: bool = False  # the other run has other wakeups, so that whatever numbers them would name others

    def check(self, scenario: Scenario, run: Judged, pick: int, clusters: Clusters) -> tuple[Finding, ...]:
        if self.renumbers and (unnumbered := _unnumbered(scenario)) != scenario:
            scenario, run = unnumbered, judge(unnumbered, clusters)
        at_ps = run.entries[-1].at_ps if run.entries else 0
        found = self.compare(scenario, run, pick, clusters)
        return tuple(Finding(self.name, self.statement, at_ps, what) for what in found)


def _unnumbered(scenario: Scenario) -> Scenario:
    faults = tuple(fault for fault in scenario.faults if fault.on != "Wakeup")
    return evolve(scenario, goes_first=(), faults=faults)


def _plain(_scenario: Scenario, _run: Judged, _pick: int, _clusters: Clusters) -> Iterator[str]:
    yield from ()


def _repeatable(scenario: Scenario, run: Judged, _pick: int, clusters: Clusters) -> Iterator[str]:
    stranger = evolve(scenario, interleaving=scenario.interleaving + 1)
    judge(stranger, clusters)
    if judge(scenario, clusters).digest != run.digest:
        yield "the same scenario, run again with another run in between, wrote another record"


def _leaps(scenario: Scenario, run: Judged, pick: int, clusters: Clusters) -> Iterator[str]:
    steps = 1 + pick % 3
    stepped = judge(evolve(scenario, scheduler=evolve(scenario.scheduler, max_steps=steps)), clusters)
    yield from _differ(run, stepped, f"with leaps of {steps} at most")


def _no_foresight(scenario: Scenario, run: Judged, pick: int, clusters: Clusters) -> Iterator[str]:
    """An answer that would have gone on changes nothing before the token at which it ended."""
    if scenario.workload.max_tokens == "exact":
        return
    rows = _in_order(scenario)
    changed = pick % len(rows)
    if rows[changed].output_tokens >= scenario.workload.max_tokens:
        return
    longer = evolve(rows[changed], output_tokens=rows[changed].output_tokens + 7)
    ends = [end for end in run.entries if type(end) is e.RequestEnded and end.request == changed]
    if not ends:
        return
    until_ps = ends[0].at_ps
    other = judge(_with_rows(scenario, (*rows[:changed], longer, *rows[changed + 1 :])), clusters)
    yield from _differ_before(run, other, until_ps, f"request {changed} has a longer answer")


def _later_arrivals(scenario: Scenario, run: Judged, pick: int, clusters: Clusters) -> Iterator[str]:
    rows = _in_order(scenario)
    at_s = rows[-1].at_s + 0.001 * (1 + pick % 50)
    late = tuple(Row(at_s=at_s, prompt_tokens=500, output_tokens=3) for _ in range(3))
    other = judge(_with_rows(scenario, (*rows, *late)), clusters)
    until_ps = round(at_s * 10**12)
    yield from _differ_before(run, other, until_ps, f"three more requests arrive at {at_s:g} s")


def _same_answers(scenario: Scenario, run: Judged, _pick: int, _clusters: Clusters) -> Iterator[str]:
    alone, found = answers_alone(scenario), answers(run)
    for request, answer in found.items():
        if alone.get(request) != answer:
            had = f"{answer[0]} tokens (digest {answer[1]})"
            yield f"request {request} had {had}, alone it has {alone.get(request)}"


def _modes(scenario: Scenario, run: Judged, pick: int, clusters: Clusters) -> Iterator[str]:
    """However caches travel, answers are the same."""
    mode = MODES[pick % 3]
    other = judge(evolve(scenario, transfer=evolve(scenario.transfer, mode=mode, policy=None)), clusters)
    yield from _answered_alike(run, other, f"with transfer.mode = {mode}")


def _directions(scenario: Scenario, run: Judged, _pick: int, clusters: Clusters) -> Iterator[str]:
    """Whether caches are put or read, answers are the same."""
    transfer = scenario.transfer
    direction: Literal["put", "get"] = "put" if transfer.direction == "get" else "get"
    mode = "serialized" if transfer.mode == "layer-wise" else transfer.mode
    other = judge(evolve(scenario, transfer=evolve(transfer, direction=direction, mode=mode, policy=None)), clusters)
    yield from _beside(run, other, f"with transfer.direction = {direction}")


def _splits(scenario: Scenario, run: Judged, pick: int, clusters: Clusters) -> Iterator[str]:
    """Over however many GPUs each machine splits its layers, answers are the same."""
    groups = tuple(
        evolve(group, tensor_parallel=SPLITS[(pick + place) % len(SPLITS)], kv_blocks=group.kv_blocks or 4000)
        if group.tensor_parallel > 1
        else group
        for place, group in enumerate(scenario.machines)
    )
    try:
        other = judge(evolve(scenario, machines=groups), clusters)
    except Refusal:
        return  # the weights do not fit on so few, or nobody has measured it
    yield from _answered_alike(run, other, f"split over {', '.join(str(group.tensor_parallel) for group in groups)}")


def _preemptions(scenario: Scenario, run: Judged, pick: int, clusters: Clusters) -> Iterator[str]:
    """With memory for the largest request, up to half of what all of them need, some give way to others."""
    source, size = scenario.workload, scenario.scheduler.block_tokens
    needs = [-(-(row.prompt_tokens + _answer(row, source.max_tokens)) // size) for row in source.requests]
    least = max(needs) + 1
    blocks = least + pick * max(0, sum(needs) - least) // (2 * PICKS)
    groups = tuple(evolve(group, kv_blocks=blocks) for group in scenario.machines)
    scheduler = evolve(scenario.scheduler, reserve="growth", watermark=0.0)
    other = judge(evolve(scenario, machines=groups, scheduler=scheduler), clusters)
    yield from _beside(run, other, f"with {blocks} blocks a machine")


def _answer(row: Row, asked: int | Literal["exact"]) -> int:
    return row.output_tokens if asked == "exact" else min(row.output_tokens, asked)


def _retries(scenario: Scenario, run: Judged, pick: int, clusters: Clusters) -> Iterator[str]:
    """A machine that crashes just when something happened, and comes back, costs requests time, and no answer."""
    moments = [entry for entry in run.entries if isinstance(entry, MOMENTS)]
    names = machine_names(scenario)
    if not moments or len(names) < 2:
        return
    moment, machine = moments[pick * len(moments) // PICKS], names[pick % len(names)]
    late_s = (0.0, 0.003)[pick % 2]
    crash = Fault(kind="crash", machine=machine, at_s=moment.at_ps / 10**12 + late_s, heal_after_s=0.3)
    other = judge(evolve(scenario, faults=(*scenario.faults, crash)), clusters)
    yield from _beside(run, other, f"with a crash of {machine} at {crash.at_s} s")


def _beside(run: Judged, other: Judged, how: str) -> Iterator[str]:
    """The other run keeps all laws, and what completes in both has one answer."""
    for finding in other.findings[:1]:
        yield f"{how}: {finding.law}: {finding.what}"
    yield from _answered_alike(run, other, how)


def _answered_alike(run: Judged, other: Judged, how: str) -> Iterator[str]:
    """Of those that complete in both; where something is rejected or fails, others may be."""
    mine, theirs = answers(run), answers(other)
    for request in sorted(mine.keys() & theirs.keys()):
        if mine[request] != theirs[request]:
            yield f"request {request} had another answer {how}"


def _monotone(scenario: Scenario, _run: Judged, pick: int, clusters: Clusters) -> Iterator[str]:
    """One request alone is not slower for more bandwidth, or more blocks."""
    rows = _in_order(scenario)
    alone = evolve(_with_rows(scenario, (rows[pick % len(rows)],)), faults=(), delays=())
    slow = judge(alone, clusters)
    if not answers(slow):
        return
    network = alone.network
    wider = evolve(alone, network=evolve(network, bandwidth_factor=2 * network.bandwidth_factor))
    roomier = evolve(
        alone,
        machines=tuple(evolve(group, kv_blocks=group.kv_blocks and 2 * group.kv_blocks) for group in alone.machines),
    )
    for what, scenario_ in (("twice the bandwidth", wider), ("twice the blocks", roomier)):
        fast = judge(scenario_, clusters)
        if not answers(fast):
            yield f"request {pick % len(rows)} alone completed, and with {what} did not"
        elif _ended_ps(fast) > _ended_ps(slow):
            ended = f"ended at {_ended_ps(slow)} ps, and with {what} at {_ended_ps(fast)} ps"
            yield f"request {pick % len(rows)} alone {ended}"


def _renaming(scenario: Scenario, run: Judged, _pick: int, clusters: Clusters) -> Iterator[str]:
    """A request that is rejected at its arrival costs nothing, and gives every other the next name."""
    unbounded = any(group.kv_blocks is None for group in scenario.machines)
    source = scenario.router
    # draws go by arrival, limits count the giant for a moment, and a fault may name a request
    if unbounded or source.policy == "random" or source.queue_limit_requests or scenario.faults or scenario.delays:
        return
    largest = max(group.kv_blocks or 0 for group in scenario.machines)
    giant = Row(at_s=0.0, prompt_tokens=scenario.scheduler.block_tokens * (largest + 1), output_tokens=1)
    other = judge(_with_rows(scenario, (giant, *_in_order(scenario))), clusters)
    mine = [(end.at_ps, end.request, end.status, end.output_tokens) for end in _ends(run)]
    theirs = [(end.at_ps, end.request - 1, end.status, end.output_tokens) for end in _ends(other) if end.request]
    if mine != theirs:
        yield "a rejected giant at 0 s, which renames all others, changed when or how they ended"


def _regret(scenario: Scenario, run: Judged, _pick: int, clusters: Clusters) -> Iterator[str]:
    yield from regrets(clusters.of(scenario), run)


def _promises(scenario: Scenario, run: Judged, _pick: int, clusters: Clusters) -> Iterator[str]:
    yield from broken_promises(clusters.of(scenario), run)


PLAIN: Final = Property("plain", "", _plain)
REGRET: Final = Property("no-regret", "A scheduler wastes no time, and lets nobody go before others.", _regret)
PROMISES: Final = Property("promises-kept", "What is decided is as docs/design.md promises.", _promises)
ALWAYS: Final = (PROMISES, REGRET)
"""Those that cost no further run, and are looked at in every example."""
PROPERTIES: Final = (
    PLAIN,
    *ALWAYS,
    Property("same-answers", "Whatever happens to a request, its answer is the one that it has alone.", _same_answers),
    Property("leap-is-steps", "Leaping and stepping write the same record.", _leaps, True),
    Property("no-foresight", "Nothing before a token depends on whether it is the last.", _no_foresight, True),
    Property("no-prophecy", "Arrivals change nothing before them.", _later_arrivals, True),
    Property("repeatable", "The same scenario writes the same record, whatever ran before.", _repeatable),
    Property("modes-agree", "Serialized or layer by layer, answers are the same.", _modes),
    Property("directions-agree", "Caches put or read, answers are the same.", _directions),
    Property("splits-agree", "However each machine splits the model, answers are the same.", _splits),
    Property("preemptions-agree", "Who gives way to others has the same answer.", _preemptions),
    Property("retries-agree", "Who is tried again has the same answer.", _retries),
    Property("monotone", "One request alone is not slower for more bandwidth or blocks.", _monotone),
    Property("renaming", "Names of requests change nothing but names.", _renaming, True),
    Property("scaled", "With every time doubled, every instant doubles.", scaled_by_two),
    Property("shifted", "With all arrivals later, everything is later by as much.", shifted),
    Property("strikes-nothing", "A fault that never strikes changes nothing.", strikes_nothing, True),
    Property("duplicates-silent", "A message that comes twice changes nothing for any request.", duplicates_are_silent),
    Property("loss-costs-time", "A lost message costs time and no answer.", a_loss_costs_time_only),
)
BY_NAME: Final = {each.name: each for each in PROPERTIES}


def _in_order(scenario: Scenario) -> tuple[Row, ...]:
    return tuple(sorted(scenario.workload.requests, key=lambda row: row.at_s))


def _with_rows(scenario: Scenario, rows: tuple[Row, ...]) -> Scenario:
    return evolve(scenario, workload=evolve(scenario.workload, requests=rows))


def _ends(run: Judged) -> list[e.RequestEnded]:
    return [entry for entry in run.entries if type(entry) is e.RequestEnded]


def _ended_ps(run: Judged) -> int:
    return max(end.at_ps for end in _ends(run))


def _differ(mine: Judged, theirs: Judged, how: str) -> Iterator[str]:
    if mine.digest == theirs.digest:
        return
    for one, other in zip(mine.entries, theirs.entries, strict=False):
        if one != other:
            yield f"{how} the record differs at {one.at_ps} ps: {one} became {other}"
            return
    yield f"{how} the record has {len(theirs.entries)} entries in place of {len(mine.entries)}"


def _differ_before(mine: Judged, theirs: Judged, until_ps: int, how: str) -> Iterator[str]:
    before = [
        [entry for entry in run.entries if entry.at_ps < until_ps and not isinstance(entry, AT_THE_END)]
        for run in (mine, theirs)
    ]
    if before[0] != before[1]:
        pairs = zip(*before, strict=False)
        first = next((f"{one} became {other}" for one, other in pairs if one != other), "an entry more or fewer")
        yield f"{how}, and before {until_ps} ps the record differs: {first}"
