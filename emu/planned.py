"""Planned: a scenario's faults and delays, in its words and seconds, as strikes of the world, in codes and picoseconds.

Names were checked when the scenario was read. What a strike does stands in `emu.strikes`.
"""

from __future__ import annotations

from emu.fake.clock import PS_PER_S
from emu.fake.plan import ANY, ROUTER, SCALE, Strike, Trigger
from emu.record.entries import FaultCode
from emu.scenario.schema import Delay, Fault

ROUTER_STARTUP_S = 1.0
STARTUP_S = 10.0  # of a machine that starts again, unless the fault says


def strike_of(fault: Fault, names: dict[str, int]) -> Strike:
    """A scenario's fault as the world has it. Names were checked when the scenario was read."""

    def place(name: str | None) -> int:
        return ANY if name is None else names.get(name, ROUTER)

    first, second = fault.machines if fault.machines is not None else (fault.machine, None)
    heal_s = fault.heal_after_s
    if fault.kind in ("restart", "poison"):
        heal_s = STARTUP_S if fault.startup_s is None else fault.startup_s
    elif fault.kind == "router_crash":
        heal_s = ROUTER_STARTUP_S if fault.startup_s is None else fault.startup_s
    elif fault.kind == "router_failover":
        heal_s = fault.overlap_s
    trigger = None
    if fault.on is not None:
        of_request = ANY if fault.on_request is None else fault.on_request
        trigger = Trigger(
            fault.on, fault.nth or 1, place(fault.on_machine), of_request, ps(fault.after_s), fault.at == "half"
        )
    return Strike(
        number=0,
        kind=FaultCode[fault.kind.upper()],
        at_ps=ps(fault.at_s),
        trigger=trigger,
        machine=place(first),
        peer=place(second),
        request=ANY if fault.request is None else fault.request,
        heal_after_ps=None if heal_s is None else ps(heal_s),
        factor=permille(fault.factor),
        control=fault.plane != "data",
        data=fault.plane != "control",
        one_way=fault.one_way,
        message=fault.message or "",
        nth=fault.nth or 1,
        times=fault.count or 1,
        by_ps=ps(fault.by_s if fault.kind != "clock" else fault.offset_s),
        drift_ppm=round((fault.drift or 0.0) * 10**6),
        deadline_ps=None if fault.deadline_s is None else ps(fault.deadline_s),
    )


def strike_of_delay(delay: Delay) -> Strike:
    """An exact deviation of one message."""
    return Strike(0, FaultCode.DELAY, message=delay.kind, nth=delay.nth, by_ps=ps(delay.by_s))


def permille(factor: float | None) -> int:
    return SCALE if factor is None else max(1, round(factor * SCALE))


def ps(seconds: float | None) -> int:
    return round((seconds or 0.0) * PS_PER_S)
