"""The arrivals of a scenario: rows written out in it, a trace, or drawn ones. Formats belong to `emu.workload`."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from emu.cluster import to_ps
from emu.scenario.schema import Scenario, WorkloadSource
from emu.workload.synthetic import synthetic
from emu.workload.table import Workload

if TYPE_CHECKING:
    pass


def load_workload(scenario: Scenario, whole: Workload | None = None) -> Workload:
    """The scenario's arrivals, every row checked; `whole` is its trace if that was read before. Raises Refusal."""
    longest = scenario.workload.longest_prompt_tokens
    workload = _source(scenario, whole)
    return workload if longest is None else workload.cut(longest)


def _source(scenario: Scenario, whole: Workload | None) -> Workload:
    source = scenario.workload
    if source.requests:
        return _written_out(source).take(source.limit)
    if source.trace is not None:
        from emu.workload.traces import part_of_trace, read_whole_trace

        whole = read_whole_trace(source.trace) if whole is None else whole
        return part_of_trace(whole, source.trace, limit=source.limit, until_s=source.until_s, speedup=source.speedup)
    assert source.synthetic is not None
    assert source.rate_rps is not None
    assert source.duration_s is not None
    return synthetic(
        source.synthetic,
        rate_rps=source.rate_rps,
        duration_s=source.duration_s,
        arrivals=source.arrivals,
        seed=scenario.seed,
        burstiness=source.burstiness,
        limit=source.limit,
    )


def _written_out(source: WorkloadSource) -> Workload:
    """The rows of a scenario, in the order of their arrivals."""
    rows = sorted(source.requests, key=lambda row: to_ps(row.at_s))
    return Workload(
        "requests of the scenario",
        array("q", [to_ps(row.at_s) for row in rows]),
        array("i", [row.prompt_tokens for row in rows]),
        array("i", [row.output_tokens for row in rows]),
    )
