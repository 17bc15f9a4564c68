"""Properties of runs that one fault disturbs: what it may cost, and what it must not touch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import evolve

from emu.fuzz.answers import answers
from emu.fuzz.clusters import Clusters
from emu.fuzz.judge import Judged, judge
from emu.record import entries as e
from emu.scenario.schema import Fault, Scenario

MESSAGES: Final = ("Grant", "Assign", "Reserve", "Acknowledge", "Heartbeat", "Ended", "Abandon")
_OF_THE_WORLD: Final = (e.FaultStruck, e.FaultHealed, e.MachineMoved, e.MachineClosed, e.BeliefClosed, e.RunEnded)
"""What strikes, how a run ends, and machines that go home when their router happens to look."""


def strikes_nothing(scenario: Scenario, run: Judged, pick: int, clusters: Clusters) -> Iterator[str]:
    """A fault that waits for what never comes changes nothing."""
    if scenario.faults or scenario.delays:
        return
    never = Fault(kind="lose", message=MESSAGES[pick % len(MESSAGES)], nth=1_000_000)
    other = judge(evolve(scenario, faults=(never,)), clusters)
    if _beside_faults(run) != _beside_faults(other):
        yield f"the loss of message {never.message} number {never.nth}, which never comes, changed the record"


def duplicates_are_silent(scenario: Scenario, run: Judged, pick: int, clusters: Clusters) -> Iterator[str]:
    """A message that comes twice changes nothing for any request."""
    if scenario.faults or scenario.delays:
        return
    twice = Fault(kind="duplicate", message=MESSAGES[pick % len(MESSAGES)], nth=1 + pick // len(MESSAGES))
    other = judge(_patient(evolve(scenario, faults=(twice,))), clusters)
    yield from _broken(other, twice)
    if answers(other) != answers(run):
        yield f"{twice.message} number {twice.nth}, said twice, changed who completes or an answer"


def a_loss_costs_time_only(scenario: Scenario, run: Judged, pick: int, clusters: Clusters) -> Iterator[str]:
    """A message that is lost makes requests late, and changes no answer."""
    if scenario.faults or scenario.delays or scenario.router.queue_limit_requests:
        return
    lost = Fault(kind="lose", message=MESSAGES[pick % len(MESSAGES)], nth=1 + pick // len(MESSAGES))
    before = answers(run)
    if len(before) < run.requests:
        return
    other = judge(_patient(evolve(scenario, faults=(lost,))), clusters)
    yield from _broken(other, lost)
    after = answers(other)
    for request, answer in before.items():
        if after.get(request) != answer:
            yield f"without {lost.message} number {lost.nth}, request {request} had {after.get(request)}, not {answer}"


def _broken(run: Judged, fault: Fault) -> Iterator[str]:
    for finding in run.findings[:1]:
        yield f"with {fault.kind} of {fault.message} number {fault.nth}: {finding.law}: {finding.what}"


def _patient(scenario: Scenario) -> Scenario:
    """Leases and attempts as they are by default: what is lost can be made good within them."""
    transfer = evolve(scenario.transfer, lease_s=30.0, heartbeat_s=5.0)
    router = evolve(scenario.router, max_attempts=4)
    return evolve(scenario, transfer=transfer, router=router)


def _beside_faults(run: Judged) -> list[e.Entry]:
    return [entry for entry in run.entries if not isinstance(entry, _OF_THE_WORLD)]
