"""Built worlds: clusters made for the moves that drawn worlds hardly ever make, or never for long.

One prefill and one decode machine, a dozen requests that all come to the same state and leave it by the same move, and
stay there longer than a lease. What comes between is aimed as in any world; it stands in `aims`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from attrs import evolve

from emu.reliability.aims import aim_all
from emu.reliability.matrix import Cell, Matrix, Move
from emu.scenario.schema import (
    Fault,
    MachineGroup,
    Router,
    Row,
    RunLimits,
    Scenario,
    Scheduler,
    Transfer,
    WorkloadSource,
)

REQUESTS: Final = 14
_ALWAYS: Final = 100_000  # messages or puts: more than a run has
_SOURCE: Final = "prefill-0"
_TARGET: Final = "decode-0"


def fill_built(name: str, full: frozenset[Cell] = frozenset()) -> Matrix:
    """Aim into the moves that the world of that name was built for."""
    matrix = Matrix(full)
    world, moves = BUILT[name]
    for move in moves:
        aim_all(matrix, world(), move)
    return matrix


def _pair(
    name: str,
    faults: Iterable[Fault],
    *,
    requests: int = REQUESTS,
    prompt_tokens: int = 500,
    output_tokens: int = 80,
    apart_s: float = 0.02,
    target_blocks: int = 4000,
    decode_batch: int = 512,
    prefill_batch_tokens: int = 2048,
    backoff_s: float = 0.1,
    **transfer: Any,
) -> Scenario:
    """A world whose leases last a second, and whose machines speak five times a second."""
    rows = (Row(at_s=apart_s * i, prompt_tokens=prompt_tokens, output_tokens=output_tokens) for i in range(requests))
    pools: tuple[tuple[Any, int], ...] = (("prefill", 4000), ("decode", target_blocks))
    groups = tuple(
        MachineGroup(pool=pool, hardware="dgx-h100", count=1, tensor_parallel=8, kv_blocks=blocks)
        for pool, blocks in pools
    )
    moved = evolve(Transfer(mode="serialized", lease_s=1.0, heartbeat_s=0.2, max_flight_s=3.0), **transfer)
    return Scenario(
        name=name,
        model="llama2-70b",
        machines=groups,
        router=Router(policy="jsq", prefill_queue_limit_tokens=1_000_000, retry_backoff_s=backoff_s),
        scheduler=Scheduler(decode_batch=decode_batch, prefill_batch_tokens=prefill_batch_tokens),
        transfer=moved,
        workload=WorkloadSource(requests=tuple(rows), client_timeout_s=600.0, client_retries=1),
        run=RunLimits(liveness_s=120.0),
        faults=tuple(faults),
    )


def _slow(factor: float, heal_after_s: float | None = None) -> Fault:
    return Fault(kind="slow", machine=_SOURCE, factor=factor, at_s=0.0, heal_after_s=heal_after_s)


def _all(kind: Any, message: str, sender: str, receiver: str, count: int = _ALWAYS, **more: Any) -> Fault:
    return Fault(kind=kind, message=message, machines=(sender, receiver), count=count, **more)


def _cancels(first: int, from_s: float) -> tuple[Fault, ...]:
    """The clients of all requests from `first` on give up, one after the other."""
    return tuple(Fault(kind="cancel", request=i, at_s=from_s + 0.05 * (i - first)) for i in range(first, REQUESTS))


_LATE_ACKNOWLEDGEMENTS: Final = _all("delay", "Acknowledge", _TARGET, _SOURCE, by_s=1.5)
_LATER_ACKNOWLEDGEMENTS: Final = _all("delay", "Acknowledge", _TARGET, _SOURCE, by_s=4.0)


def _draining() -> Scenario:
    """The source hears neither that its puts ended nor that they arrived, before its lease has run out."""
    deaf = _all("lose", "Heartbeat", _TARGET, _SOURCE)
    mute = Fault(kind="lose_completion", machines=(_SOURCE, _TARGET), count=_ALWAYS)
    return _pair("draining", (mute, deaf, _LATE_ACKNOWLEDGEMENTS), output_tokens=150, apart_s=0.1)


def _ready() -> Scenario:
    """Two decode, the others wait with whole caches, and are cancelled, while their sources wait for a notice."""
    faults = (_LATER_ACKNOWLEDGEMENTS, *_cancels(3, 2.2))
    return _pair("ready", faults, prompt_tokens=200, output_tokens=150, decode_batch=2)


def _joining() -> Scenario:
    """As before, and all of them have their turn."""
    faults = (_LATER_ACKNOWLEDGEMENTS,)
    return _pair("joining", faults, prompt_tokens=200, output_tokens=100, decode_batch=2)


def _decoding() -> Scenario:
    """Cancelled while they decode."""
    return _pair("decoding", (_LATER_ACKNOWLEDGEMENTS, *_cancels(0, 2.2)), prompt_tokens=200, output_tokens=300)


def _crowded() -> Scenario:
    """They decode until there are no blocks for all: some give way, and sit out what is computed of those again."""
    size: dict[str, Any] = {"requests": 28, "prompt_tokens": 200, "output_tokens": 300, "target_blocks": 500}
    return _pair("crowded", (_LATER_ACKNOWLEDGEMENTS,), prefill_batch_tokens=64, **size)


def _line(mode: str, *more: Fault) -> Scenario:
    """Prompts take seconds each; all have their grants from the start."""
    return _pair(
        f"line-{mode}", (_slow(80.0), *more), prompt_tokens=1100, output_tokens=20, mode=mode, max_flight_s=12.0
    )


def _cut_short() -> Scenario:
    """Each is cancelled while its cache leaves layer by layer."""
    cancels = (Fault(kind="cancel", request=i, at_s=8.0 * i + 4.0) for i in range(REQUESTS))
    size: dict[str, Any] = {"prompt_tokens": 1100, "output_tokens": 20, "apart_s": 8.0}
    return _pair("cut-short", (_slow(80.0), *cancels), mode="layer-wise", max_flight_s=12.0, **size)


def _fenced() -> Scenario:
    """Writes land after their destination's lease and their source's, of which the source is not told."""
    unheard = _all("lose", "Heartbeat", _SOURCE, _TARGET, count=10)
    untold = _all("lose", "Cancel", "router", _SOURCE, count=REQUESTS)
    late = Fault(kind="late_write", by_s=2.6, machines=(_SOURCE, _TARGET), count=REQUESTS)
    slower = _all("delay", "Abandon", _SOURCE, _TARGET, by_s=1.0)  # than the signal
    return _pair("fenced", (late, unheard, untold, slower), backoff_s=4.0)


def _abandoned() -> Scenario:
    """The destination's lease has run out long before a slow source gives up what it never posted."""
    unheard = _all("lose", "Heartbeat", _SOURCE, _TARGET, count=30)
    faults = (_slow(80.0, heal_after_s=1.0), unheard)
    return _pair("abandoned", faults, prompt_tokens=1100, output_tokens=20, backoff_s=12.0, max_flight_s=12.0)


def _ungranted() -> Scenario:
    """No grant arrives: the destination's lease runs out under a prefill whose source never heard of it, nor that."""
    lost = _all("lose", "Grant", _TARGET, _SOURCE, count=4 * REQUESTS)
    untold = _all("lose", "Cancel", "router", _SOURCE, count=REQUESTS)
    faults = (_slow(80.0), lost, untold)
    return _pair("ungranted", faults, prompt_tokens=1100, output_tokens=20, apart_s=6.0, backoff_s=90.0)


def _full(direction: str, *more: Fault) -> Scenario:
    """The destination has room for two, who decode for seconds; the others' caches wait at their source."""
    size: dict[str, Any] = {"prompt_tokens": 600, "output_tokens": 200, "target_blocks": 110}
    return _pair(f"full-{direction}", more, direction=direction, **size)


BUILT: Final[dict[str, tuple[Callable[[], Scenario], tuple[Move, ...]]]] = {
    "draining": (_draining, (("source", "draining", "acknowledge"),)),
    "ready": (_ready, (("attempt", "ready", "end"),)),
    "joining": (_joining, (("attempt", "ready", "join"),)),
    "decoding": (_decoding, (("attempt", "decoding", "end"),)),
    "crowded": (_crowded, (("attempt", "decoding", "preempt"), ("attempt", "decoding", "sit out"))),
    "line": (
        lambda: _line("serialized"),
        (
            ("source", "granted", "compute"),
            ("attempt", "prefilling", "hand over"),
            ("attempt", "queued", "start prefill"),
        ),
    ),
    "layers": (lambda: _line("layer-wise"), (("source", "granted", "stream"), ("source", "streaming", "compute"))),
    "cut-short": (_cut_short, (("source", "streaming", "give up"),)),
    "leaving": (
        lambda: _line("serialized", *_cancels(2, 5.0)),
        (("source", "granted", "give up"), ("destination", "granted", "cancel"), ("attempt", "queued", "end")),
    ),
    "fenced": (_fenced, (("destination", "fenced", "signal"),)),
    "abandoned": (_abandoned, (("destination", "fenced", "abandon"),)),
    "ungranted": (_ungranted, (("source", "open", "compute"),)),
    "waiting": (lambda: _full("put", _slow(80.0), *_cancels(2, 2.0)), (("source", "open", "give up"),)),
    "full": (lambda: _full("put"), (("destination", "queued", "lend"),)),
    "offered": (lambda: _full("get"), (("source", "computed", "acknowledge"),)),
    "withdrawn": (lambda: _full("get", *_cancels(2, 4.5)), (("source", "computed", "withdraw"),)),
}
