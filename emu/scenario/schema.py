"""What a scenario may say: frozen values, each key with its unit, its default and its range.

These classes are the schema: loading refuses whatever they do not name. They hold no rule that spans two keys or looks
at a file (`emu.scenario.checks`), and nothing here knows what a run does with them.
"""

from pathlib import Path
from typing import Any, Literal, TypeAlias

from attrs import asdict, field, fields, frozen

from emu.scenario.ranges import (
    LONGEST_S,
    MOST_BLOCKS,
    MOST_MACHINES,
    at_least,
    between,
    bytes_count,
    period_seconds,
    positive_seconds,
    ratio,
    seconds,
    text,
)

Pool: TypeAlias = Literal["prefill", "decode", "mixed"]
Plane: TypeAlias = Literal["control", "data", "both"]
FaultKind: TypeAlias = Literal[
    "crash",
    "restart",
    "drain",
    "join",
    "pause",
    "hang",
    "slow",
    "late_write",
    "post_fail",
    "lose_completion",
    "corrupt",
    "nic_down",
    "link_down",
    "link_slow",
    "lose",
    "duplicate",
    "delay",
    "reorder",
    "stale_report",
    "poison",
    "cancel",
    "router_crash",
    "router_failover",
    "clock",
]
ActionKind: TypeAlias = Literal["rate", "heal"]


class Section:
    """What all tables of a scenario share: equal ones say the same. attrs would write it for each of them, at every
    start, and take 33 M instructions for that."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and _said(other) == _said(self)

    def __hash__(self) -> int:
        return hash(tuple(_said(self).values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in _said(self).items())})"


def _said(section: Any) -> dict[str, Any]:
    return asdict(section, recurse=False)


@frozen(kw_only=True, eq=False, repr=False)
class MachineGroup(Section):
    """`count` equal machines of one pool."""

    pool: Pool
    hardware: str = field(validator=text())  # a shipped profile's name, or an absolute path
    count: int = field(default=1, validator=at_least(1, MOST_MACHINES))
    tensor_parallel: int = field(default=0, validator=at_least(0, 1024))  # GPUs; 0: all, and load() puts their number
    kv_blocks: int | None = field(
        default=None, validator=at_least(1, MOST_BLOCKS)
    )  # blocks a machine; None: what its memory leaves


@frozen(kw_only=True, eq=False, repr=False)
class Router(Section):
    """The cluster-level scheduler and the load reports that it lives on."""

    policy: str = field(default="splitwise", validator=text())  # load() puts token-jsq where all machines are mixed
    answer_within_s: float = field(default=5.0, validator=positive_seconds())  # wall time, of a policy = "exec:..."
    prefill_queue_limit_tokens: int = field(default=8192, validator=at_least(1))
    report_every_s: float = field(default=0.1, validator=period_seconds(or_zero=True))  # 0: after every change
    queue_limit_requests: int = field(default=0, validator=at_least(0))  # 0: no limit
    go_home: Literal["drained", "idle"] = "drained"
    repurpose_after_s: float = field(default=60.0, validator=period_seconds())
    detect_after_s: float = field(default=0.5, validator=period_seconds())  # without a report: the machine is silent
    max_attempts: int = field(default=4, validator=at_least(1, 1024))  # of one request, before it is failed
    retry_backoff_s: float = field(default=0.1, validator=seconds())  # before the second attempt, then twice as long
    poison_limit: int = field(default=2, validator=at_least(1))  # machines that one request may crash
    resume: Literal["scratch", "delivered"] = "scratch"  # where an attempt that follows another begins
    patrol_s: float = field(default=1.0, validator=period_seconds())  # looking for what was lost, where faults are


@frozen(kw_only=True, eq=False, repr=False)
class Scheduler(Section):
    """The machine-level schedulers."""

    policy: str | None = field(default=None, validator=text())  # "package.module:Name"; None: first come, first served
    max_overtaken: int = field(default=8, validator=at_least(1))  # by so many later prompts, where policy orders them
    prefill_batch_tokens: int = field(default=2048, validator=at_least(1))
    decode_batch: int = field(default=512, validator=at_least(1))  # sequences
    block_tokens: int = field(default=16, validator=between(1, 1024))  # tokens of a KV block
    reserve: Literal["growth", "max_tokens"] = "growth"
    preempted: Literal["recompute", "keep"] = "recompute"
    max_preemptions: int = field(default=4, validator=at_least(0))  # times a request
    watermark: float = field(default=0.01, validator=between(0, 1, below=True))  # share of the blocks left free
    max_steps: int = field(default=0, validator=at_least(0))  # decode steps in one sleep; 0: as many as can be


@frozen(kw_only=True, eq=False, repr=False)
class Transfer(Section):
    """How the KV cache of a prompt travels from the prefill machine to the decode machine."""

    policy: str | None = field(default=None, validator=text())  # "package.module:Name", in the place of mode
    direction: Literal["put", "get"] = "put"
    mode: Literal["auto", "serialized", "layer-wise"] = "auto"
    threshold_tokens: int = field(default=512, validator=at_least(0))  # auto: layer-wise from here on
    lease_s: float = field(default=30.0, validator=positive_seconds())
    heartbeat_s: float = field(default=5.0, validator=period_seconds())
    signal_s: float | None = field(default=None, validator=seconds())  # None: the sending hardware's
    layer_sync_s: float | None = field(default=None, validator=seconds())  # None: the sending hardware's
    max_flight_s: float = field(default=10.0, validator=positive_seconds())  # a posted put has ended by then
    clock_error: float = field(default=0.0, validator=between(0, 0.5))  # share by which clocks may run fast or slow


@frozen(kw_only=True, eq=False, repr=False)
class Network(Section):
    """Wires (control messages) and links (KV cache)."""

    control_latency_s: float = field(default=0.0002, validator=seconds())
    data_latency_s: float = field(default=5e-6, validator=seconds())
    sharing: Literal["fair", "none"] = "fair"
    bandwidth_factor: float = field(default=1.0, validator=ratio())  # multiplies the bandwidth of every card
    bandwidth_bytes_per_s: int | None = field(default=None, validator=bytes_count(1000))  # a machine; None: its cards'


@frozen(kw_only=True, eq=False, repr=False)
class Row(Section):
    """One request, written out. Its output has `output_tokens` unless its client asks for fewer."""

    at_s: float = field(validator=seconds())
    prompt_tokens: int = field(validator=at_least(1))
    output_tokens: int = field(validator=at_least(1))


@frozen(kw_only=True, eq=False, repr=False)
class WorkloadSource(Section):
    """Where requests come from: a trace, a generator or rows written out, and never two of them."""

    requests: tuple[Row, ...] = ()  # in any order; those of one instant arrive as they stand
    trace: Path | None = None  # absolute
    synthetic: Literal["azure-conv", "azure-code"] | None = None
    rate_rps: float | None = field(default=None, validator=ratio())  # synthetic
    duration_s: float | None = field(default=None, validator=positive_seconds())  # synthetic
    arrivals: Literal["poisson", "gamma", "constant"] = "poisson"  # synthetic
    burstiness: float = field(default=1.0, validator=ratio(1e-3, 1e3))  # gamma's shape; below 1 arrivals cluster
    limit: int | None = field(default=None, validator=at_least(1))  # the first so many requests
    until_s: float | None = field(default=None, validator=positive_seconds())  # trace
    speedup: float = field(default=1.0, validator=ratio())  # trace: arrivals so many times as dense
    longest_prompt_tokens: int | None = field(default=None, validator=at_least(1))  # longer ones are cut to this
    max_tokens: int | Literal["exact"] = field(
        default=2048, validator=at_least(1)
    )  # what clients ask for; exact: their true length
    client_timeout_s: float | None = field(default=None, validator=positive_seconds())  # without a further token
    client_retries: int = field(default=0, validator=at_least(0))  # of a request that was refused or not answered
    retry_backoff_s: float = field(default=1.0, validator=positive_seconds())  # after a refusal, then twice as long


@frozen(kw_only=True, eq=False, repr=False)
class CostsChoice(Section):
    """Which step times hold, and how large a token's KV cache is."""

    model: str = field(default="calibrated", validator=text())  # or splitwise-sim, or "package.module:Name"
    profiles: tuple[Path, ...] = ()  # steps files of one's own, absolute, looked at before those that ship
    kv_bytes_per_token: int | None = field(default=None, validator=bytes_count(1024))  # None: the model profile's


@frozen(kw_only=True, eq=False, repr=False)
class Fault(Section):
    """One exact fault: what strikes whom, and when. Which keys a kind takes stands in `emu.scenario.faults`.

    It strikes at `at_s`, or `after_s` after the `nth` entry `on` of the record (of `on_machine`, of `on_request`); with
    `at = "half"`, after half of the layers of that transfer have been sent.
    A fault of messages strikes the `nth` of them from then on, and `count` in a row.
    """

    kind: FaultKind
    at_s: float | None = field(default=None, validator=seconds())
    on: str | None = field(default=None, validator=text())  # an entry, PrefillStarted, PrefillDone or Wakeup
    at: Literal["half"] | None = None  # on = "TransferStarted"
    on_machine: str | None = field(default=None, validator=text())
    on_request: int | None = field(default=None, validator=at_least(0))
    after_s: float | None = field(default=None, validator=seconds())
    nth: int | None = field(default=None, validator=at_least(1))
    count: int | None = field(default=None, validator=at_least(1))
    machine: str | None = field(default=None, validator=text())
    machines: tuple[str, ...] | None = None  # the two ends of a link; a message's sender and receiver
    message: str | None = field(default=None, validator=text())  # the name of a control message
    request: int | None = field(default=None, validator=at_least(0))
    heal_after_s: float | None = field(default=None, validator=positive_seconds())  # None: never
    startup_s: float | None = field(default=None, validator=positive_seconds())  # restart, router_crash: until ready
    offset_s: float | None = field(default=None, validator=between(-LONGEST_S, LONGEST_S, "s"))  # clock: ahead
    drift: float | None = field(default=None, validator=between(-0.5, 0.5))  # clock: share by which it runs fast
    overlap_s: float | None = field(default=None, validator=positive_seconds())  # the old router goes on for so long
    deadline_s: float | None = field(default=None, validator=positive_seconds())  # drain; None: it may take its time
    factor: float | None = field(default=None, validator=ratio(1e-3, 1e6))  # slow, link_slow: times as long
    plane: Plane | None = None  # link_down, link_slow; None: both
    one_way: bool = False  # link_down, link_slow: only from the first machine to the second, or out of the one
    by_s: float | None = field(default=None, validator=seconds())  # how much later


@frozen(kw_only=True, eq=False, repr=False)
class Action(Section):
    """What somebody does to a running cluster on purpose, beside what goes wrong (`Fault`).

    rate: from then on requests arrive `factor` times as densely as the workload has them. heal: what the fault of that
    number did is undone, however long it was to last.
    """

    kind: ActionKind
    at_s: float = field(validator=seconds())
    factor: float | None = field(default=None, validator=ratio(1e-3, 1e3))  # rate
    fault: int | None = field(default=None, validator=at_least(0))  # heal: its place in [[faults]], counted from 0


@frozen(kw_only=True, eq=False, repr=False)
class Delay(Section):
    """The `nth` control message of a kind arrives `by_s` later."""

    nth: int = field(validator=at_least(1))
    kind: str = field(validator=text())
    by_s: float = field(validator=seconds())


@frozen(kw_only=True, eq=False, repr=False)
class Parts(Section):
    """Classes in the place of production's, each a subclass of the one that it stands for, as "package.module:Name"."""

    pool: str | None = field(default=None, validator=text())
    leases: str | None = field(default=None, validator=text())
    scheduler: str | None = field(default=None, validator=text())
    sender: str | None = field(default=None, validator=text())
    receiver: str | None = field(default=None, validator=text())
    offering: str | None = field(default=None, validator=text())  # the sender where caches are read
    fetching: str | None = field(default=None, validator=text())  # the receiver there
    attempts: str | None = field(default=None, validator=text())
    machine: str | None = field(default=None, validator=text())
    router: str | None = field(default=None, validator=text())
    recovery: str | None = field(default=None, validator=text())


@frozen(kw_only=True, eq=False, repr=False)
class Slo(Section):
    """The limits that a run is judged by: the paper's nine slowdowns, or seconds at a percentile."""

    preset: Literal["splitwise"] | None = None  # load() puts splitwise where no limit is given
    ttft_p50_s: float | None = field(default=None, validator=positive_seconds())
    ttft_p90_s: float | None = field(default=None, validator=positive_seconds())
    ttft_p99_s: float | None = field(default=None, validator=positive_seconds())
    ttst_p50_s: float | None = field(default=None, validator=positive_seconds())
    ttst_p90_s: float | None = field(default=None, validator=positive_seconds())
    ttst_p99_s: float | None = field(default=None, validator=positive_seconds())
    tbt_p50_s: float | None = field(default=None, validator=positive_seconds())
    tbt_p90_s: float | None = field(default=None, validator=positive_seconds())
    tbt_p99_s: float | None = field(default=None, validator=positive_seconds())
    tpot_p50_s: float | None = field(default=None, validator=positive_seconds())
    tpot_p90_s: float | None = field(default=None, validator=positive_seconds())
    tpot_p99_s: float | None = field(default=None, validator=positive_seconds())
    e2e_p50_s: float | None = field(default=None, validator=positive_seconds())
    e2e_p90_s: float | None = field(default=None, validator=positive_seconds())
    e2e_p99_s: float | None = field(default=None, validator=positive_seconds())

    def limits(self) -> tuple[tuple[str, int, float], ...]:
        """The absolute limits as (metric, percentile, seconds), in the order of the fields."""
        found: list[tuple[str, int, float]] = []
        for attribute in fields(Slo):
            value = getattr(self, attribute.name)
            if attribute.name != "preset" and value is not None:
                metric, percentile, _ = attribute.name.split("_")
                found.append((metric, int(percentile[1:]), value))
        return tuple(found)


@frozen(kw_only=True, eq=False, repr=False)
class RunLimits(Section):
    """What ends a run that makes no progress, and what it must be ready for."""

    liveness_s: float = field(default=60.0, validator=positive_seconds())
    faults_may_come: bool = False  # it looks for what was lost, planned or not: as a run that is steered does


@frozen(kw_only=True, eq=False, repr=False)
class Scenario(Section):
    """Everything that decides a run. Two equal scenarios give the same record."""

    name: str = field(validator=text())
    seed: int = field(default=0, validator=between(0, 2**63 - 1))  # the workload's draws
    interleaving: int = field(default=0, validator=between(0, 2**63 - 1))  # the order of tasks at one instant
    model: str = field(validator=text())  # a shipped profile's name, or an absolute path
    parity: Literal["splitwise-sim"] | None = None  # what it sets is written out in the keys below
    machines: tuple[MachineGroup, ...]
    router: Router = Router()
    scheduler: Scheduler = Scheduler()
    transfer: Transfer = Transfer()
    network: Network = Network()
    workload: WorkloadSource
    costs: CostsChoice = CostsChoice()
    faults: tuple[Fault, ...] = ()
    delays: tuple[Delay, ...] = ()
    actions: tuple[Action, ...] = ()
    goes_first: tuple[int, ...] = ()  # wakeups and deliveries, by number, before all others of their instant
    parts: Parts = Parts()
    policies_from: Path | None = None  # absolute; load() puts the scenario's folder where a class is named from there
    slo: Slo = Slo(preset="splitwise")
    run: RunLimits = RunLimits()


def machine_names(scenario: Scenario) -> tuple[str, ...]:
    """POOL-INDEX for every machine: numbered from 0 in each pool, over all groups in the order of the file."""
    numbered = {"prefill": 0, "decode": 0, "mixed": 0}
    names: list[str] = []
    for group in scenario.machines:
        first = numbered[group.pool]
        names.extend(f"{group.pool}-{index}" for index in range(first, first + group.count))
        numbered[group.pool] = first + group.count
    return tuple(names)
