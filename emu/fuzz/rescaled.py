"""Properties of time itself: every time doubled, every instant doubles; all arrivals later, all of it is later.

Both find constants that hide in the control plane. Runs are compared on a clock whose ties go by names alone, with step
times that divide evenly among layers, links that are not shared and hosts that draw nothing, so that no rounding stands
between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from attrs import evolve, fields, frozen

from emu.arrivals import load_workload
from emu.cluster import to_ps
from emu.fake.costs import Costs
from emu.fake.ordered_clock import OrderedClock
from emu.fuzz.clusters import Clusters
from emu.fuzz.judge import Judged, judge_cluster
from emu.record import entries as e
from emu.scenario.schema import Network, Router, RunLimits, Scenario, Transfer, WorkloadSource

INSTANTS: Final = frozenset(("at_ps", "sent_ps", "started_ps", "signalled_ps"))
Section = TypeVar("Section", bound=Router | Transfer | Network | RunLimits)
_NOT_TIMES: Final = frozenset(("answer_within_s",))  # wall time
_CARD_BYTES_PER_S: Final = 4 * 10**9


@frozen
class ScaledCosts:
    """Step times that are `factor` times those of `plain`."""

    plain: Costs
    factor: int

    @property
    def closed_form(self) -> bool:
        return self.plain.closed_form

    @property
    def identified(self) -> bool:
        return self.plain.identified

    def prefill_ps(self, tokens: int, prompts: int, cached_tokens: int = 0) -> int:
        return self.factor * self.plain.prefill_ps(tokens, prompts, cached_tokens)

    def decode_coefficients(self, sequences: int) -> tuple[int, int]:
        base, unit = self.plain.decode_coefficients(sequences)
        return self.factor * base, self.factor * unit

    def decode_ps(self, sequences: int, context_tokens: int) -> int:
        return self.factor * self.plain.decode_ps(sequences, context_tokens)

    def mixed_ps(self, tokens: int, prompts: int, cached_tokens: int, sequences: int, context_tokens: int) -> int:
        return self.factor * self.plain.mixed_ps(tokens, prompts, cached_tokens, sequences, context_tokens)

    def measured(self, sequences: int, context_tokens: int) -> bool:
        return self.plain.measured(sequences, context_tokens)

    def measured_prefill(self, tokens: int, prompts: int) -> bool:
        return self.plain.measured_prefill(tokens, prompts)


def scaled_by_two(scenario: Scenario, _run: Judged, _pick: int, clusters: Clusters) -> Iterator[str]:
    """Arrivals, latencies, leases, periods, step times and bandwidth: with all of them doubled, so is every instant."""
    if scenario.faults or scenario.delays or scenario.parity is not None:
        return
    once, twice = _on_steady_clock(scenario, clusters, 1), _on_steady_clock(scenario, clusters, 2)
    yield from _differ([_times(entry, lambda ps: 2 * ps) for entry in once], twice, "with every time doubled")


def shifted(scenario: Scenario, _run: Judged, pick: int, clusters: Clusters) -> Iterator[str]:
    """All arrivals later by whole periods of the load reports: everything is later by as much."""
    if scenario.faults or scenario.delays:
        return
    period_s = scenario.router.report_every_s or 0.5
    by_ps = to_ps(period_s) * (1 + pick)
    rows = tuple(evolve(row, at_s=(to_ps(row.at_s) + by_ps) / 10**12) for row in scenario.workload.requests)
    source = evolve(scenario.workload, requests=rows)
    later = _on_steady_clock(evolve(scenario, workload=source), clusters, 1)
    now = _on_steady_clock(scenario, clusters, 1)
    moved_ps = by_ps * clusters.of(scenario).model.layers
    yield from _differ([_moved(entry, moved_ps) for entry in now], later, f"with all arrivals {moved_ps} ps later")


def _on_steady_clock(scenario: Scenario, clusters: Clusters, times: int) -> list[e.Entry]:
    """What a run writes with every time so many times as long, but for what differs in no two such runs.

    All times are as many times as long as there are layers, so that steps divide evenly among them.
    """
    bandwidth = _CARD_BYTES_PER_S // times
    times *= clusters.of(scenario).model.layers
    slower = evolve(
        scenario,
        router=_longer(scenario.router, times),
        transfer=_longer(evolve(scenario.transfer, signal_s=0.004, layer_sync_s=0.00001), times),
        network=_longer(
            evolve(
                scenario.network,
                sharing="none",
                bandwidth_factor=1.0,
                bandwidth_bytes_per_s=bandwidth,
                data_latency_s=4e-6,
            ),
            times,
        ),
        run=_longer(scenario.run, times),
        workload=_longer_workload(scenario.workload, times),
    )
    plain = clusters.of(slower)
    machines = tuple(evolve(each, costs=ScaledCosts(each.costs, times), host=None) for each in plain.machines)
    clock = OrderedClock(scenario.interleaving, to_ps(slower.run.liveness_s), scenario.goes_first, steady=True)
    workload = load_workload(slower)
    clusters.runs += 1
    clusters.requests += len(workload)
    run = judge_cluster(evolve(plain, machines=machines), workload, clock)
    return [_without_yardstick(entry) for entry in run.entries]


def _longer(section: Section, times: int) -> Section:
    """Every duration of a section, so many times as long."""
    durations: dict[str, Any] = {}
    for attribute in fields(type(section)):
        value = getattr(section, attribute.name)
        is_time = attribute.name.endswith("_s") and not attribute.name.endswith("_per_s")
        if is_time and attribute.name not in _NOT_TIMES and value is not None:
            durations[attribute.name] = times * value
    return evolve(section, **durations)


def _longer_workload(source: WorkloadSource, times: int) -> WorkloadSource:
    patience_s = None if source.client_timeout_s is None else times * source.client_timeout_s
    rows = tuple(evolve(row, at_s=times * row.at_s) for row in source.requests)
    backoff_s = times * source.retry_backoff_s
    return evolve(source, requests=rows, client_timeout_s=patience_s, retry_backoff_s=backoff_s)


def _without_yardstick(entry: e.Entry) -> e.Entry:
    """The latencies that a request would have alone are of other hardware, whose times nobody has changed."""
    if isinstance(entry, e.RequestEnded):
        return entry._replace(alone_ttft_ps=0, alone_tbt_ps=0, alone_e2e_ps=0)
    return entry


def _times(entry: e.Entry, change: Callable[[int], int]) -> e.Entry:
    changed: dict[str, Any] = {name: change(getattr(entry, name)) for name in entry._fields if name.endswith("_ps")}
    unsaid: dict[str, Any] = {name: -1 for name in changed if getattr(entry, name) < 0}
    return entry._replace(**(changed | unsaid))


def _moved(entry: e.Entry, by_ps: int) -> e.Entry:
    named = [name for name in entry._fields if name in INSTANTS and getattr(entry, name) >= 0]
    moved: dict[str, Any] = {name: getattr(entry, name) + by_ps for name in named}
    return entry._replace(**moved)


def _differ(expected: list[e.Entry], found: list[e.Entry], how: str) -> Iterator[str]:
    for one, other in zip(expected, found, strict=False):
        if one != other:
            yield f"{how}, expected {one}, got {other}"
            return
    if len(expected) != len(found):
        yield f"{how}, expected {len(expected)} entries, got {len(found)}"
