"""Clusters looked up once: profiles and step times of the few kinds of machine that situations are drawn from.

A run of a situation takes milliseconds, and reading its profiles would take as long.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, evolve, field

from emu.cluster import Cluster
from emu.policies.seats import Seats
from emu.scenario.schema import MachineGroup, Scenario

Change = Callable[[Cluster], Cluster]


@define(eq=False)
class Clusters:
    """Clusters of scenarios, and how many runs of them there were, of how many requests.

    `seats`, if given, take the place of the policies that scenarios name.
    """

    seats: Seats | None = None
    runs: int = field(init=False, default=0)
    requests: int = field(init=False, default=0)
    _kept: dict[tuple[object, ...], Cluster] = field(init=False, factory=dict)

    def of(self, scenario: Scenario) -> Cluster:
        """As `Cluster.of`. Raises Refusal."""
        groups = tuple(evolve(group, count=1, kv_blocks=None) for group in scenario.machines)
        named = (scenario.router.policy, scenario.scheduler.policy, scenario.transfer.policy, scenario.policies_from)
        key = (scenario.model, scenario.costs, groups, named)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = Cluster.of(evolve(self._nameless(scenario), machines=groups))
        machines = []
        numbered: dict[str, int] = {}
        for group, machine in zip(scenario.machines, kept.machines, strict=True):
            for _ in range(group.count):
                machines.append(
                    evolve(
                        machine, name=_name(group, numbered), group=group, kv_blocks=_blocks(group, machine.kv_blocks)
                    )
                )
        seats = kept.seats if self.seats is None else self.seats
        return evolve(kept, scenario=scenario, machines=tuple(machines), seats=seats)

    def _nameless(self, scenario: Scenario) -> Scenario:
        """Without the names of policies whose seats are taken: nobody need find them."""
        if self.seats is None:
            return scenario
        return evolve(
            scenario,
            policies_from=None,
            router=evolve(scenario.router, policy="token-jsq"),
            scheduler=evolve(scenario.scheduler, policy=None),
            transfer=evolve(scenario.transfer, policy=None),
        )


def _name(group: MachineGroup, numbered: dict[str, int]) -> str:
    index = numbered.get(group.pool, 0)
    numbered[group.pool] = index + 1
    return f"{group.pool}-{index}"


def _blocks(group: MachineGroup, fitting: int) -> int:
    return group.kv_blocks or fitting
