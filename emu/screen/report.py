"""The report of a run: from its summary to what a reader of the paper wants to know, in the order of the questions.

Pure: a summary in, lines out. Tables stand in `emu.screen.tables`, the way of writing numbers in
`emu.screen.quantities`; whatever has to be computed from entries belongs to `emu.record`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from emu.screen import tables
from emu.screen.lines import BLANK, COLUMNS, Line, Said, folded, labelled, width_of
from emu.screen.quantities import count, digits, energy, power, seconds, several, share, size, span

PLACEMENTS = {
    "1": "in their own pool",
    "2": "with the mixed pool",
    "3": "with a borrowed machine",
    "4": "on a machine gone home",
    "5": "with both phases on one machine",
}
"""The paper's placement steps (its section 4.1) in a few words."""
ENERGIES = (("prefill", "in prefill"), ("decode", "in decode"), ("mixed", "in mixed steps"), ("idle", "idle"))
Facts: TypeAlias = Iterator[tuple[str, str | Said]]
"""A label and what is to be said under it."""


def report(summary: Mapping[str, Any]) -> Iterator[Line]:
    """The parts, top to bottom."""
    yield from _title(summary["scenario"])
    yield from labelled(_what_ran(summary))
    yield BLANK
    yield from labelled(_what_came_out(summary))
    yield BLANK
    yield from tables.latencies(summary)
    if summary["slo"]["limits"]:
        yield BLANK
        yield from tables.limits(summary["slo"])
        if any(limit["unit"] == "x" for limit in summary["slo"]["limits"]):
            yield (Said("x: times what the same request takes alone on a DGX-A100", "dim"),)
    yield BLANK
    yield from tables.pools(summary["pools"])
    yield BLANK
    yield from tables.batched_tokens(summary["pools"])
    for facts in (_control, _money_and_power, _how_it_ran):
        yield BLANK
        yield from labelled(facts(summary))


def _title(scenario: Mapping[str, Any]) -> Iterator[Line]:
    """The name and what was chosen, on one line where they fit."""
    name = scenario["name"]
    choices = f"{scenario['model']}, policy {scenario['policy']}, seed {scenario['seed']}"
    if width_of(name) + 3 + width_of(choices) <= COLUMNS:
        yield (Said(name, "bold"), Said(f"   {choices}"))
        return
    yield from ((Said(part, "bold"),) for part in folded(name, COLUMNS))
    yield from ((Said(part),) for part in folded(choices, COLUMNS))


def _what_ran(summary: Mapping[str, Any]) -> Facts:
    for group in summary["machines"]:
        machines = f"{several(group['count'], 'machine')} of {group['hardware']}"
        cut = f"tensor parallel {group['tensor_parallel']}"
        yield (group["pool"], f"{machines}, {cut}, {several(group['kv_blocks'], 'KV block')} each")
    workload = summary["workload"]
    rate = f", {digits(workload['rate_rps'])} a second" if workload["rate_rps"] is not None else ""
    yield ("workload", f"{workload['name']}: {several(workload['requests'], 'request')}{rate}")
    if workload["left_out"]:
        yield ("left out", f"{several(workload['left_out'], 'row')} of the trace: {workload['left_out_reason']}")
    reuse = summary.get("prefix_reuse")
    if reuse:
        offered = f"{share(reuse['share'])} of the prompt tokens begin as an earlier prompt did"
        yield ("prefix reuse", f"{offered}; not exploited yet")


def _what_came_out(summary: Mapping[str, Any]) -> Facts:
    requests, throughput = summary["requests"], summary["throughput"]
    ends = ("completed", "rejected", "failed", "cancelled")
    yield ("requests", f"{count(requests['arrived'])} arrived: {_listed(requests, ends)}")
    pace = f"{digits(throughput['requests_per_s'])} requests a second, "
    pace += f"{digits(throughput['output_tokens_per_s'])} output tokens a second"
    yield ("throughput", pace)
    yield ("goodput", f"{digits(summary['goodput_rps'])} requests a second within the limits")


def _control(summary: Mapping[str, Any]) -> Facts:
    transfers = summary["transfers"]
    if transfers["count"]:
        sent = f"{count(transfers['count'])}, {size(transfers['bytes'])}"
        yield ("transfers", f"{sent}, {share(transfers['overlapped_share'])} of their time under prefill")
        remainder = transfers["remainder_s"]
        left = f"p50 {seconds(remainder['p50'])}, p99 {seconds(remainder['p99'])}"
        yield ("", f"what prefill did not hide: {left}")
    else:
        yield ("transfers", "none")
    steps = summary["placement_steps"].items()
    placed = ", ".join(f"{count(times)} {PLACEMENTS.get(step, step)}" for step, times in steps if times)
    yield ("placement", placed or "none")
    queue, moves = summary["queue"], summary["machine_moves"]
    yield ("machine moves", f"{count(moves)} from pool to pool")
    peaks = f"{several(queue['peak_requests'], 'request')} waiting for prefill at the most"
    yield ("queues", f"{peaks}, {several(queue['peak_reservations'], 'reservation')} for KV blocks")
    yield ("preemptions", count(summary["preemptions"]))


def _money_and_power(summary: Mapping[str, Any]) -> Facts:
    price, watts = summary["cost_per_hour"], summary["power_w"]
    yield ("cost", f"${price:,.2f} an hour")
    yield ("provisioned", f"{power(watts)}; {energy(summary['energy_wh'])} over the run")
    yield from _drawn(summary)
    yield from _how_sure(summary)


def _drawn(summary: Mapping[str, Any]) -> Facts:
    draw, used = summary["power"], summary["energy"]
    if draw is None or draw["mean_w"] is None:
        yield ("power drawn", "not known: a machine's profile says nothing of it")
        return
    share_w = f"{share(draw['mean_w'] / summary['power_w'])} and {share(draw['peak_w'] / summary['power_w'])}"
    yield ("power drawn", f"{power(draw['mean_w'])} on average, {power(draw['peak_w'])} at the peak ({share_w})")
    phases = ", ".join(f"{energy(used[f'{phase}_wh'])} {word}" for phase, word in ENERGIES if used[f"{phase}_wh"])
    yield ("energy drawn", f"{energy(used['drawn_wh'])}: {phases}")
    if used["per_request_wh"] is not None:
        each = f"{energy(used['per_request_wh'])} a request, {digits(used['per_output_token_j'])} J an output token"
        yield ("", f"{each}, idle machines included")


def _how_sure(summary: Mapping[str, Any]) -> Facts:
    costs = summary["costs"]
    if not costs["identified"] and costs["context_time_share"]:
        rests = f"{share(costs['context_time_share'])} of step time rests on the cost of context in a batch"
        yield ("unidentified", f"{rests}, which was not measured")
    outside = costs["unmeasured_step_share"]
    if outside:
        yield ("extrapolated", f"{share(outside)} of the steps lie outside what was measured")


def _how_it_ran(summary: Mapping[str, Any]) -> Facts:
    laws = summary["laws"]
    broken = laws["broken"]
    if broken:
        yield ("laws", Said(f"{count(laws['checked'])} checked, BROKEN: {', '.join(broken)}", "bold red"))
    else:
        yield ("laws", Said(f"{count(laws['checked'])} checked, all held", "green"))
    wall, cpu = span(summary["wall_s"]), span(summary["cpu_s"])
    yield ("time", f"{span(summary['virtual_s'])} of virtual time in {wall} ({cpu} of CPU)")
    pace = f"{digits(summary['requests_per_cpu_s'])} requests a CPU second"
    each = f"{digits(summary['wakeups_per_request'])} wakeups and {digits(summary['entries_per_request'])} entries"
    yield ("pace", f"{pace}; {each} a request")
    yield ("digest", summary["digest"])


def _listed(counts: Mapping[str, int], names: tuple[str, ...]) -> str:
    return ", ".join(f"{count(counts[name])} {name}" for name in names)
