"""A first guess at what a cluster carries, from step times alone: where a search starts, never what it says.

Prefill machines are taken to work on batches of 2,048 tokens for at most `BUSY` of the time; decode machines on the
largest batch whose step stays within 1.25 times a lone DGX-A100's and whose caches fit. Queues, bursts and transfers
are left to the runs.
"""

from __future__ import annotations

from attrs import frozen

from emu.arrivals import load_workload
from emu.cluster import Cluster
from emu.fake.costs import Costs
from emu.plan.load import trial_scenario
from emu.plan.schema import Design, Plan
from emu.workload.table import Workload

BUSY = 0.7
BATCH_TOKENS = 2048
SLOWDOWN = 1.25
LARGEST_BATCH = 512
SAMPLE = 2000


@frozen
class Estimate:
    """Requests a second that one machine of each free group, then of each fixed one, can prefill and decode."""

    groups: tuple[tuple[str, float, float, int], ...]  # pool, prefill, decode, count (0: free)

    def rate_rps(self, counts: tuple[int, ...]) -> float:
        """What the slower phase carries; machines that do both share their time."""
        numbers = iter(counts)
        prefill = decode = shared = 0.0
        for pool, prefills, decodes, fixed in self.groups:
            many = fixed or next(numbers)
            if pool == "prefill":
                prefill += many * prefills
            elif pool == "decode":
                decode += many * decodes
            else:
                shared += many / (1 / prefills + 1 / decodes)
        return min(prefill, decode) + shared


def estimate(plan: Plan, design: Design, whole: Workload | None = None) -> Estimate:
    """Of one design; a plan's workload is looked at once, under seed 0."""
    ones = tuple(1 for _ in design.free)
    scenario = trial_scenario(plan, design, ones, plan.rate_rps or 10.0, SAMPLE / (plan.rate_rps or 10.0), 0)
    cluster, workload = Cluster.of(scenario), load_workload(scenario, whole)
    prompt = sum(workload.prompt_tokens) / len(workload)
    output = sum(workload.output_tokens) / len(workload)
    groups = []
    machines = iter(cluster.machines)
    for group in design.machines:
        machine = next(machines)
        for _ in range((group.count or 1) - 1):
            next(machines)
        prefills = BUSY * _prefills(machine.costs, prompt)
        decodes = _decodes(
            machine.costs,
            cluster.alone,
            prompt + output / 2,
            output,
            machine.kv_blocks * scenario.scheduler.block_tokens,
        )
        groups.append((group.pool, prefills, decodes, group.count or 0))
    return Estimate(tuple(groups))


def _prefills(costs: Costs, prompt: float) -> float:
    tokens = max(BATCH_TOKENS, round(prompt))
    prompts = max(1, round(tokens / prompt))
    return prompts * 1e12 / costs.prefill_ps(tokens, prompts)


def _decodes(costs: Costs, alone: Costs, context: float, output: float, kv_tokens: int) -> float:
    most_ps = SLOWDOWN * alone.decode_ps(1, round(context))
    largest = max(1, min(LARGEST_BATCH, int(kv_tokens / context)))
    batch = 1
    while batch < largest and costs.decode_ps(batch + 1, round((batch + 1) * context)) <= most_ps:
        batch += 1
    return batch * 1e12 / (costs.decode_ps(batch, round(batch * context)) * max(1.0, output))
