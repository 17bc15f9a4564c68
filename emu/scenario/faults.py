"""The rules of [[faults]] and [[delays]]: which keys each kind takes, and that they name what there is.

What one value may be stands in the schema. What a fault does is the emulated world's; nothing here knows it.
"""

from __future__ import annotations

from typing import Final

from attrs import fields

from emu.control.messages import Message
from emu.record.entries import KINDS
from emu.scenario.origin import Key, Origin, nearest, shown
from emu.scenario.schema import Fault, Scenario, machine_names

ROUTER: Final = "router"
ENTRIES: Final = (
    *(kind.__name__ for kind in KINDS if not kind.__name__.endswith(("Closed", "RunEnded"))),
    *("PrefillStarted", "PrefillDone", "Wakeup"),
)
"""What a fault may hang on. A prefill is a part of a step, of one request. At a `Wakeup` a loop of a machine (engine or
leases) has been woken and has done nothing yet: it lets the fault come first, between two awaits.

What hangs on `PrefillDone` strikes before any decode machine has heard of it, what hangs on `Committed` before the
prefill machine has its acknowledgement: messages take time, and faults come first.
"""

ON_WIRE: Final = tuple(kind.__name__ for kind in Message.__args__ if kind.__name__ not in ("Submit", "LoadReport"))
"""The control messages between machines and from the router to machines and back."""

# kind: the keys that it must have, and those that it may have, beside those that say when
_HEALS: Final = ("heal_after_s",)
_COUNTED: Final = ("machines", "request", "count")
_LINK: Final = ("machine", "machines", "plane", "one_way", "heal_after_s")
_TAKES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "crash": (("machine",), _HEALS),
    "restart": (("machine",), ("startup_s",)),
    "drain": (("machine",), ("deadline_s",)),
    "join": (("machine",), ()),
    "pause": (("machine",), _HEALS),
    "hang": (("machine",), _HEALS),
    "slow": (("machine", "factor"), _HEALS),
    "link_down": ((), _LINK),
    "link_slow": (("factor",), _LINK),
    "late_write": (("by_s",), _COUNTED),
    "post_fail": ((), _COUNTED),
    "lose_completion": ((), _COUNTED),
    "corrupt": ((), _COUNTED),
    "nic_down": (("machine",), _HEALS),
    "lose": (("message",), _COUNTED),
    "duplicate": (("message",), (*_COUNTED, "by_s")),
    "delay": (("message", "by_s"), _COUNTED),
    "reorder": (("message",), (*_COUNTED, "by_s")),
    "stale_report": (("machine",), _HEALS),
    "cancel": (("request",), ()),
    "poison": (("request",), ("startup_s",)),
    "router_crash": ((), ("startup_s",)),
    "router_failover": (("overlap_s",), ()),
    "clock": (("machine",), ("offset_s", "drift", *_HEALS)),
}
_OF_PUTS: Final = ("late_write", "post_fail", "lose_completion", "corrupt")
_WORDS: Final = {
    "machine": "the machine that the fault strikes",
    "factor": "a number of times as long",
    "message": "the name of a control message",
    "request": "the number of a request, counted from 0",
    "by_s": "how many seconds later",
    "overlap_s": "how many seconds the old router goes on",
}
_WHEN: Final = ("kind", "at_s", "on", "at", "on_machine", "on_request", "after_s", "nth")


def lasts(kind: str) -> bool:
    """Whether a fault of this kind is there until it heals."""
    return "heal_after_s" in _TAKES[kind][1] or kind == "restart"


def check_faults(scenario: Scenario, origin: Origin) -> None:
    """Refuse the first fault, or delay, that does not say what it must, or names what is not there."""
    names, clients = machine_names(scenario), scenario.workload
    for index, fault in enumerate(scenario.faults):
        key = ("faults", index)
        _check_keys(fault, key, origin)
        _check_ends(fault, key, names, origin)
        _check_when(fault, key, names, origin)
        if fault.kind == "clock":
            _check_clock(fault, scenario.transfer.clock_error, key, origin)
        if fault.kind.startswith("router_") and not (clients.client_timeout_s and clients.client_retries):
            expected = f'expected workload.client_timeout_s and client_retries beside "{fault.kind}": what the router '
            raise origin.refusal((*key, "kind"), expected + "knew comes back when clients send it again")
        if fault.kind == "late_write" and (fault.by_s or 0.0) > scenario.transfer.max_flight_s:
            expected = f"expected at most transfer.max_flight_s = {scenario.transfer.max_flight_s}, got {fault.by_s}"
            raise origin.refusal((*key, "by_s"), expected)
        if fault.message is not None:
            _check_word(fault.message, (*key, "message"), ON_WIRE, "a control message", origin)
    for index, delay in enumerate(scenario.delays):
        _check_word(delay.kind, ("delays", index, "kind"), ON_WIRE, "a control message", origin)


def _check_keys(fault: Fault, key: Key, origin: Origin) -> None:
    needs, may = _TAKES[fault.kind]
    given = [attribute.name for attribute in fields(Fault) if getattr(fault, attribute.name) != attribute.default]
    if "machines" in given and "machines" not in may:
        raise origin.refusal((*key, "machines"), f'expected machine, since "{fault.kind}" strikes one machine')
    for name in given:
        if name not in (*needs, *may, *_WHEN):
            expected = f'expected nothing beside kind = "{fault.kind}", got {shown(getattr(fault, name))}'
            raise origin.refusal((*key, name), expected)
    for name in needs:
        if name not in given:
            raise origin.refusal((*key, name), f"expected {_WORDS[name]}, got nothing")


def _check_clock(fault: Fault, error: float, key: Key, origin: Origin) -> None:
    """A clock is ahead from the start, or drifts for a while: it does not jump."""
    if fault.offset_s is None and fault.drift is None:
        raise origin.refusal(key, "expected offset_s or drift, which say how the clock differs; got neither")
    if fault.offset_s is not None and fault.at_s != 0:
        expected = "expected at_s = 0 beside it: a clock is ahead from the start, since it does not jump"
        raise origin.refusal((*key, "offset_s"), expected)
    if fault.heal_after_s is not None and fault.drift is None:
        raise origin.refusal((*key, "heal_after_s"), "expected a drift, since an offset stays; got none")
    if fault.drift is not None and abs(fault.drift) > error:
        expected = f"expected at most transfer.clock_error = {error:g} either way, got {fault.drift:g}"
        raise origin.refusal((*key, "drift"), expected)


def _check_ends(fault: Fault, key: Key, names: tuple[str, ...], origin: Origin) -> None:
    """Machines that a fault names are there; a link has two ends."""
    on_link = fault.kind.startswith("link_")
    if on_link and (fault.machine is None) == (fault.machines is None):
        got = "neither" if fault.machine is None else "both"
        expected = f"expected either machine or machines, which says what the fault strikes; got {got}"
        raise origin.refusal(key, expected)
    if fault.machines is not None and (len(fault.machines) != 2 or len(set(fault.machines)) != 2):
        raise origin.refusal((*key, "machines"), "expected two machines, the ends of a link")
    if fault.machine is not None:
        _check_word(fault.machine, (*key, "machine"), names, "a machine", origin)
    for place, name in enumerate(fault.machines or ()):
        if name != ROUTER:
            _check_word(name, (*key, "machines", place), names, "a machine", origin)
        elif (fault.plane != "control" and on_link) or fault.kind in _OF_PUTS:
            where = (*key, "plane") if on_link else (*key, "machines", place)
            raise origin.refusal(where, "expected the control plane or a machine: no KV cache goes to the router")


def _check_when(fault: Fault, key: Key, names: tuple[str, ...], origin: Origin) -> None:
    on_messages = fault.message is not None or fault.kind in _OF_PUTS
    if fault.on is not None and fault.at_s is not None:
        raise origin.refusal((*key, "on"), "expected nothing beside at_s, or no at_s")
    if fault.on is None:
        if fault.at_s is None and not on_messages and fault.kind != "poison":
            raise origin.refusal((*key, "at_s"), "expected a time, or on = an entry's name; got nothing")
        for name in ("at", "on_machine", "on_request", "after_s", *(() if on_messages else ("nth",))):
            if getattr(fault, name) is not None:
                raise origin.refusal((*key, name), "expected nothing unless on names an entry")
        return
    if on_messages:
        raise origin.refusal((*key, "on"), "expected nothing: a fault of messages or puts counts those, by nth")
    _check_word(fault.on, (*key, "on"), ENTRIES, "an entry", origin)
    if fault.at is not None and fault.on != "TransferStarted":
        raise origin.refusal((*key, "at"), f'expected on = "TransferStarted", which has a half; got {shown(fault.on)}')
    if fault.on_machine is not None:
        _check_word(fault.on_machine, (*key, "on_machine"), names, "a machine", origin)


def _check_word(word: str, key: Key, known: tuple[str, ...], what: str, origin: Origin) -> None:
    if word not in known:
        expected = f"expected the name of {what} (the nearest is {nearest(word, known)}), got {shown(word)}"
        raise origin.refusal(key, expected)
