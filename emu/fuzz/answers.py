"""What clients had of a run, for properties that compare runs: who completed, and with which answer."""

from __future__ import annotations

from attrs import evolve

from emu.fuzz.clusters import Clusters
from emu.fuzz.judge import Judged, judge
from emu.record.entries import RequestEnded, Status
from emu.scenario.schema import MachineGroup, Network, Router, Scenario, Scheduler, Transfer

Answers = dict[int, tuple[int, int]]  # request -> output tokens and digest


def answers(run: Judged) -> Answers:
    """Of the completed requests."""
    return {
        end.request: (end.output_tokens, end.output_digest)
        for end in run.entries
        if type(end) is RequestEnded and end.status == Status.COMPLETED
    }


def spacious(scenario: Scenario) -> Scenario:
    """The same requests on so many machines that none meets another's, without faults or choices."""
    first = scenario.machines[0]
    group = MachineGroup(pool="mixed", hardware=first.hardware, count=8, tensor_parallel=first.tensor_parallel)
    return evolve(
        scenario,
        machines=(group,),
        router=Router(policy="round-robin"),
        scheduler=Scheduler(),
        transfer=Transfer(),
        network=Network(),
        faults=(),
        delays=(),
        policies_from=None,
    )


def answers_alone(scenario: Scenario) -> Answers:
    return answers(judge(spacious(scenario), Clusters()))
