"""Offers: what an operator may do at a moment: to the machine, the request or the link that is pointed at, or to all.

Each is a fault as a scenario's [[faults]] has it, or an action as its [[actions]] have it, without its time. What it
does is the emulated world's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from emu.view.cluster import ClusterView, FaultView
from emu.view.rows import NEVER
from tui.glyphs import Target
from tui.scene import Scene

_OF_MACHINE: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("crash {name} for 20 s", {"kind": "crash", "heal_after_s": 20.0}),
    ("crash {name} for good", {"kind": "crash"}),
    ("restart {name}", {"kind": "restart"}),
    ("drain {name}", {"kind": "drain"}),
    ("drain {name}, and end it after 10 s", {"kind": "drain", "deadline_s": 10.0}),
    ("pause {name} for 10 s", {"kind": "pause", "heal_after_s": 10.0}),
    ("let the worker of {name} hang for 10 s", {"kind": "hang", "heal_after_s": 10.0}),
    ("slow {name} down 4 times, for 20 s", {"kind": "slow", "factor": 4.0, "heal_after_s": 20.0}),
    ("cut all links of {name} for 10 s", {"kind": "link_down", "heal_after_s": 10.0}),
    ("cut the data plane of {name} for 10 s", {"kind": "link_down", "heal_after_s": 10.0, "plane": "data"}),
    ("slow the links of {name} down 10 times, for 20 s", {"kind": "link_slow", "factor": 10.0, "heal_after_s": 20.0}),
    ("take a network card of {name} down for 20 s", {"kind": "nic_down", "heal_after_s": 20.0}),
    ("let the clock of {name} run 2 % fast for 30 s", {"kind": "clock", "drift": 0.02, "heal_after_s": 30.0}),
    ("let {name} send old reports for 10 s", {"kind": "stale_report", "heal_after_s": 10.0}),
)
_DOWN: Final[tuple[tuple[str, dict[str, Any]], ...]] = (("let {name} join", {"kind": "join"}),)
_OF_LINK: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("cut {source} to {target} for 10 s", {"kind": "link_down", "heal_after_s": 10.0}),
    ("cut the data plane {source} to {target} for 10 s", {"kind": "link_down", "heal_after_s": 10.0, "plane": "data"}),
    (
        "cut the control plane {source} to {target} for 10 s",
        {"kind": "link_down", "heal_after_s": 10.0, "plane": "control"},
    ),
    ("slow {source} to {target} down 10 times, for 20 s", {"kind": "link_slow", "factor": 10.0, "heal_after_s": 20.0}),
    ("let the next put {source} to {target} land 2 s late", {"kind": "late_write", "by_s": 2.0}),
    ("let the next put {source} to {target} fail", {"kind": "post_fail"}),
    ("lose the completion of the next put {source} to {target}", {"kind": "lose_completion"}),
    ("spoil the next put {source} to {target}", {"kind": "corrupt"}),
)
_MESSAGES: Final = ("Grant", "Signal", "Acknowledge", "Reserve", "Assign")
_OF_MESSAGES: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("lose the next {message} of anyone", {"kind": "lose"}),
    ("let the next {message} of anyone come twice", {"kind": "duplicate"}),
    ("let the next {message} of anyone come 1 s late", {"kind": "delay", "by_s": 1.0}),
)
_OF_ROUTER: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("crash the router; another starts after 1 s", {"kind": "router_crash"}),
    ("let another router take over; the old one goes on for 0.5 s", {"kind": "router_failover", "overlap_s": 0.5}),
)
_RATES: Final = (0.25, 0.5, 1.0, 2.0, 4.0)


class Deed(NamedTuple):
    """What it does, in words; an entry of [[faults]] or of [[actions]]."""

    words: str
    values: dict[str, Any]
    is_fault: bool = True


def rate_deed(factor: float) -> Deed:
    """Arrivals so many times as dense as the workload has them."""
    many = "as the workload has them" if factor == 1 else f"{factor:g} times as densely"
    return Deed(f"let requests arrive {many}", {"kind": "rate", "factor": factor}, is_fault=False)


def offers(scene: Scene) -> list[Deed]:
    """All there is for what is selected: heals, the request, its link, the machine, messages of anyone, arrivals."""
    view = scene.view
    number = min(scene.machine, len(view.machines) - 1)
    found = [*_heals(view), *_of_request(view, scene.request), *_of_machine(view, number)]
    found += [Deed(words, dict(fault)) for words, fault in _OF_ROUTER]
    return [*found, *_of_messages(), *map(rate_deed, _RATES)]


def offers_at(scene: Scene, target: Target) -> list[Deed]:
    """What may be done to what was pointed at; [] where that is neither machine, request nor link."""
    view = scene.view
    if target.kind == "machine":
        number = int(target.value)
        return [*_heals(view, {number}), *_of_machine(view, number)]
    if target.kind == "request":
        return list(_of_request(view, int(target.value)))
    if target.kind == "link":
        ends = ends_of(target)
        return [*_heals(view, set(ends)), *_of_link(view, *ends)]
    return []


def ends_of(link: Target) -> tuple[int, int]:
    """The machines of a link's target."""
    source, _, target = str(link.value).partition(">")
    return int(source), int(target)


def _heals(view: ClusterView, machines: set[int] | None = None) -> Iterator[Deed]:
    """What lasts, of these machines or of all."""
    for fault in (*view.faults, *view.crashes):
        if fault.kind != "drain" and (machines is None or machines & set(fault.machines)):
            yield Deed(_heal_words(fault), {"kind": "heal", "fault": fault.number}, is_fault=False)


def _heal_words(fault: FaultView) -> str:
    return f"heal it now: {fault.words}"


def _of_request(view: ClusterView, request: int) -> Iterator[Deed]:
    row = view.requests.get(request)
    if row is None:
        return
    yield Deed(f"cancel r{request}", {"kind": "cancel", "request": request})
    yield Deed(f"make r{request} poison: whoever runs it next crashes", {"kind": "poison", "request": request})
    if NEVER not in (row.prefill_machine, row.decode_machine) and row.prefill_machine != row.decode_machine:
        yield from _of_link(view, row.prefill_machine, row.decode_machine)


def _of_link(view: ClusterView, source: int, target: int) -> Iterator[Deed]:
    names = [view.machine_name(source), view.machine_name(target)]
    for words, fault in _OF_LINK:
        yield Deed(words.format(source=names[0], target=names[1]), {**fault, "machines": names})


def _of_machine(view: ClusterView, number: int) -> Iterator[Deed]:
    machine = view.machines[number]
    for words, fault in _OF_MACHINE if machine.down_ps == NEVER else _DOWN:
        yield Deed(words.format(name=machine.name), {**fault, "machine": machine.name})
    if machine.down_ps == NEVER:
        cut = {"kind": "link_down", "machines": [machine.name, "router"], "plane": "control", "heal_after_s": 10.0}
        yield Deed(f"cut {machine.name} off from the router for 10 s", cut)


def _of_messages() -> Iterator[Deed]:
    for words, fault in _OF_MESSAGES:
        for message in _MESSAGES:
            yield Deed(words.format(message=message), {**fault, "message": message})
