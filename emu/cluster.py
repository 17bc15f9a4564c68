"""Cluster: a scenario with its profiles and its own classes looked up, all that a run needs but the workload.

Nothing runs here, and what a machine or the router may do stands in `emu.rules`.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from attrs import asdict, evolve, frozen

from emu.fake.clock import PS_PER_S
from emu.fake.costs import Costs
from emu.fake.power import load_power
from emu.fake.profiles import HardwareProfile, ModelProfile, has_table, kv_blocks, load_hardware, load_model
from emu.policies.parts import Classes
from emu.policies.seats import Seats
from emu.record.start import MachineDraw, MachineFacts, RunStarted
from emu.scenario.schema import MachineGroup, Scenario, machine_names
from emu.step_times import StepTimes
from emu.workload.table import Workload

if TYPE_CHECKING:
    from emu.fake.host import HostTimes


@frozen(eq=False, repr=False)
class Hardware:
    """One machine as the emulator needs it."""

    name: str
    group: MachineGroup
    profile: HardwareProfile
    draw: MachineDraw | None
    costs: Costs
    kv_blocks: int
    host: HostTimes | None = None  # where it was measured, and the step times are


@frozen(eq=False, repr=False)
class Cluster:
    """A scenario with its profiles looked up: all that a run needs but the workload."""

    scenario: Scenario
    model: ModelProfile
    machines: tuple[Hardware, ...]
    alone: Costs
    seats: Seats
    classes: Classes

    @classmethod
    def of(cls, scenario: Scenario) -> Cluster:
        """Raises Refusal where a profile, or a policy of one's own, cannot be used."""
        model = load_model(scenario.model)
        if scenario.costs.kv_bytes_per_token is not None:
            model = evolve(model, kv_bytes_per_token=scenario.costs.kv_bytes_per_token)
        step_times = StepTimes.of(scenario)
        machines: list[Hardware] = []
        names = iter(machine_names(scenario))
        for group in scenario.machines:
            profile, power = load_hardware(group.hardware), load_power(group.hardware)
            draw = None if power is None else power.machine(model.name, group.tensor_parallel)
            costs = step_times.on(model, profile, group.tensor_parallel)
            blocks = group.kv_blocks or kv_blocks(
                model, profile, group.tensor_parallel, scenario.scheduler.block_tokens
            )
            host = _host(scenario, group.hardware)
            for name in islice(names, group.count):
                own_host = None if host is None else host.seeded(scenario.seed, name)
                machines.append(Hardware(name, group, profile, draw, costs, blocks, own_host))
        router, own = scenario.router, scenario.policies_from
        seats = Seats.of(
            own, router.policy, scenario.scheduler.policy, scenario.transfer.policy, router.answer_within_s
        )
        classes = Classes.of(asdict(scenario.parts), own)
        return cls(scenario, model, tuple(machines), step_times.alone(model), seats, classes)

    def started(self, workload: Workload) -> RunStarted:
        """What the record says first."""
        facts = tuple(
            MachineFacts(
                machine.name,
                machine.profile.name,
                machine.group.pool,
                machine.group.tensor_parallel,
                machine.kv_blocks,
                machine.profile.cost_per_hour,
                machine.profile.power_w,
                machine.draw,
            )
            for machine in self.machines
        )
        identified = all(machine.costs.identified for machine in self.machines)
        block_tokens = self.scenario.scheduler.block_tokens
        transfer = self.scenario.transfer
        leases = to_ps(transfer.lease_s), to_ps(transfer.heartbeat_s)
        return RunStarted(
            self.scenario.name,
            self.scenario.model,
            block_tokens,
            facts,
            len(workload),
            identified,
            *leases,
            is_faulty(self.scenario),
        )


def _host(scenario: Scenario, hardware: str) -> HostTimes | None:
    if scenario.costs.model != "calibrated" or not has_table(hardware, "host"):
        return None
    from emu.fake.host import load_host

    return load_host(hardware)


def is_faulty(scenario: Scenario) -> bool:
    """Whether the scenario plans faults, actions or clients that lose patience, or is to be ready for any."""
    clients = scenario.workload
    return bool(
        scenario.run.faults_may_come
        or scenario.faults
        or scenario.delays
        or scenario.actions
        or clients.client_retries
        or clients.client_timeout_s
    )


def to_ps(seconds: float) -> int:
    return round(seconds * PS_PER_S)
