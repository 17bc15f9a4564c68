"""Cells: every kind of fault against every phase of a request, aimed by the run without faults, counted by the record.

A cell counts a strike only where the record has it, at a time when the request that it was aimed at was open and in
that phase. A cell that cannot be reached says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from attrs import asdict, define, evolve, field

from emu.reliability.orphans import bound_s
from emu.reliability.phases import PHASES, Stay, stays
from emu.reliability.trial import Trial, Trials
from emu.scenario.draw import KINDS
from emu.scenario.schema import (
    Fault,
    MachineGroup,
    Network,
    Router,
    Row,
    RunLimits,
    Scenario,
    Transfer,
    WorkloadSource,
    machine_names,
)

_PS_PER_S: Final = 10**12
_ON_ONE: Final = ("crash", "restart", "drain", "pause", "hang", "slow", "nic_down", "stale_report", "clock")
_MESSAGES: Final = ("Assign", "Reserve", "Grant", "Offer", "Heartbeat", "Signal", "Acknowledge")
_OF_MESSAGES: Final = ("lose", "duplicate", "delay", "reorder")
_OF_PUTS: Final = ("late_write", "post_fail", "lose_completion", "corrupt")
_TRANSFERRING: Final = PHASES[2]
_MOVING: Final = PHASES[2:4]


@define(eq=False)
class Cell:
    """What all strikes of one kind in one phase came to."""

    strikes: int = 0
    lost: int = 0
    corrupted: int = 0
    laws: set[str] = field(factory=set)
    longest_orphan_s: float = 0.0
    detect_s: list[float] = field(factory=list)
    tokens_again: int = 0
    bad: list[str] = field(factory=list)  # the faults

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "laws": sorted(self.laws)}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Cell:
        """What `document` gave."""
        return cls(**{**document, "laws": set(document["laws"])})

    def add(self, trial: Trial) -> None:
        self.strikes += 1
        self.lost += len(trial.lost)
        self.corrupted += len(trial.corrupted)
        self.laws.update(trial.broken)
        self.longest_orphan_s = max(self.longest_orphan_s, trial.longest_orphan_s)
        self.detect_s += [ps / _PS_PER_S for ps in trial.recovery.detect_ps]
        self.tokens_again += trial.recovery.prompt_tokens_again + max(
            0, trial.recovery.tokens_made - trial.recovery.tokens_had
        )
        if not trial.clean or trial.longest_orphan_s > bound_s(trial.scenario):
            self.bad.append(repr(trial.scenario.faults))


def base(direction: str) -> Scenario:
    """Two machines a phase, requests in bursts that queue, transfers that last, every wait short."""
    rows = tuple(
        Row(at_s=0.5 * (index // 4), prompt_tokens=700 + 150 * (index % 5), output_tokens=20 + 7 * (index % 4))
        for index in range(16)
    )
    groups = tuple(
        MachineGroup(pool=pool, hardware="dgx-h100", count=2, tensor_parallel=8, kv_blocks=600)
        for pool in ("prefill", "decode")
    )
    transfer = Transfer(mode="serialized", lease_s=4.0, heartbeat_s=0.02, max_flight_s=1.2, clock_error=0.05)
    if direction == "get":
        transfer = evolve(transfer, direction="get")
    return Scenario(
        name="table",
        model="llama2-70b",
        machines=groups,
        router=Router(detect_after_s=0.3, retry_backoff_s=0.05, patrol_s=0.5),
        transfer=transfer,
        network=Network(bandwidth_factor=0.01),
        workload=WorkloadSource(requests=rows, client_timeout_s=30.0, client_retries=3),
        run=RunLimits(liveness_s=60.0),
    )


def table(
    trials: Trials, direction: str, kinds: Sequence[str] = KINDS, aimed_at: int = 8
) -> dict[tuple[str, str], Cell]:
    """The cells that were reached, by kind and phase; each is aimed at so many requests."""
    scenario = base(direction)
    plain = stays(trials.run(scenario).entries)
    cells: dict[tuple[str, str], Cell] = {}
    for kind in kinds:
        for stay, fault in _aimed(kind, plain, machine_names(scenario), aimed_at):
            trial = trials.run(evolve(scenario, faults=(fault,)))
            phase = _phase_struck(trial, stay.request, plain)
            if phase is not None:
                cells.setdefault((kind, phase), Cell()).add(trial)
    return cells


def why_not(kind: str, phase: str) -> str:
    """Why a cell has no strike."""
    if kind in _OF_PUTS:
        return "a put is struck when it is posted"
    if kind in _OF_MESSAGES:
        return "no message of the request's is sent then"
    if kind == "poison":
        return "it strikes when a step with the request starts"
    if kind == "join":
        return "a machine that joins has no request"
    return f"not reached in {phase!r}"


def _phase_struck(trial: Trial, request: int, plain: tuple[Stay, ...]) -> str | None:
    """In which phase the first strike found the request, if it was live then."""
    for strike in trial.struck[:1]:
        if strike.live:
            for stay in plain:
                if stay.request == request and stay.start_ps <= strike.at_ps < stay.end_ps:
                    return stay.phase
    return None


def _aimed(kind: str, plain: tuple[Stay, ...], names: tuple[str, ...], most: int) -> Iterator[tuple[Stay, Fault]]:
    """Faults of this kind, each aimed at a request in a phase."""
    for phase in PHASES:
        there = [stay for stay in plain if stay.phase == phase]
        for stay in there[:: max(1, len(there) // most)][:most]:
            for fault in _faults(kind, stay, names):
                yield stay, fault


def _faults(kind: str, stay: Stay, names: tuple[str, ...]) -> Iterator[Fault]:
    at_s, request = stay.middle_ps / _PS_PER_S, stay.request
    source, target = names[stay.source], names[stay.target]
    keys: dict[str, dict[str, Any]] = {
        "restart": {"startup_s": 0.7},
        "drain": {"deadline_s": 20.0},
        "slow": {"factor": 4.0, "heal_after_s": 1.0},
        "crash": {"heal_after_s": 1.5},
        "clock": {"drift": 0.05, "heal_after_s": 30.0},
    }
    if kind in _ON_ONE:
        for machine in (source, target):
            yield Fault(kind=kind, machine=machine, at_s=at_s, **keys.get(kind, {"heal_after_s": 0.8}))  # type: ignore[arg-type]
    elif kind in ("link_down", "link_slow"):
        factor = 10.0 if kind == "link_slow" else None
        for one_way in (False, True):
            yield Fault(
                kind=kind,  # type: ignore[arg-type]
                machines=(source, target),
                at_s=at_s,
                heal_after_s=0.8,
                factor=factor,
                one_way=one_way,
            )
    elif kind in _OF_PUTS:
        if stay.phase == _TRANSFERRING:
            by_s = 1.0 if kind == "late_write" else None
            yield Fault(kind=kind, request=request, by_s=by_s)  # type: ignore[arg-type]
    elif kind in _OF_MESSAGES:
        for message in _MESSAGES if stay.phase == PHASES[0] else ():  # the first of each from then on
            by_s = 0.3 if kind == "delay" else None
            yield Fault(kind=kind, message=message, request=request, at_s=stay.start_ps / _PS_PER_S, by_s=by_s)  # type: ignore[arg-type]
        if stay.phase in _MOVING:  # of several transfers a heartbeat is counted to the first
            by_s = 0.3 if kind == "delay" else None
            yield Fault(kind=kind, message="Heartbeat", request=request, at_s=at_s, by_s=by_s)  # type: ignore[arg-type]
    elif kind == "router_crash":
        yield Fault(kind="router_crash", at_s=at_s, startup_s=0.7)
    elif kind == "router_failover":
        yield Fault(kind="router_failover", at_s=at_s, overlap_s=0.7)
    elif kind == "cancel":
        yield Fault(kind="cancel", request=request, at_s=at_s)
    elif kind == "poison":
        yield Fault(kind="poison", request=request, at_s=stay.start_ps / _PS_PER_S, startup_s=0.7)
