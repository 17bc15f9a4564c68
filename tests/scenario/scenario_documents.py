"""Drawing scenarios as TOML documents: valid ones, any key present or absent, and places in them to spoil."""

import copy
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import tomli_w
from hypothesis import strategies as st

from emu.refusal import Refusal
from emu.scenario import Scenario
from emu.scenario.load import load

Document = dict[str, Any]
Key = tuple[str | int, ...]

NAMES = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=20)
SECONDS = st.floats(0.001, 9e6)
TOKENS = st.integers(1, 2**31 - 1)

GROUP_KEYS: dict[str, st.SearchStrategy[Any]] = {
    "pool": st.sampled_from(["prefill", "decode", "mixed"]),
    "hardware": st.sampled_from(["dgx-a100", "dgx-h100", "dgx-h100-capped"]),
    "count": st.integers(1, 50),
    "tensor_parallel": st.sampled_from([0, 4, 8]),
    "kv_blocks": st.integers(1, 2**27),
}
MACHINE_PARTS = (
    *("pool", "leases", "scheduler", "sender", "receiver", "offering", "fetching", "attempts", "machine", "router"),
    "recovery",
)
TABLES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "router": {
        "policy": st.sampled_from(["splitwise", "token-jsq", "jsq", "round-robin", "random", "a.b:C", "exec:./router"]),
        "answer_within_s": SECONDS,
        "prefill_queue_limit_tokens": TOKENS,
        "report_every_s": st.just(0) | SECONDS,
        "queue_limit_requests": st.integers(0, 10**6),
        "go_home": st.sampled_from(["drained", "idle"]),
        "repurpose_after_s": SECONDS,
        "detect_after_s": SECONDS,
        "max_attempts": st.integers(1, 1024),
        "retry_backoff_s": st.just(0) | SECONDS,
        "poison_limit": TOKENS,
        "resume": st.sampled_from(["scratch", "delivered"]),
        "patrol_s": SECONDS,
    },
    "scheduler": {
        "policy": st.just("a.b:C"),
        "max_overtaken": TOKENS,
        "prefill_batch_tokens": TOKENS,
        "decode_batch": TOKENS,
        "block_tokens": st.integers(1, 1024),
        "reserve": st.just("max_tokens"),
        "preempted": st.just("recompute"),
        "max_preemptions": st.integers(0, 100),
        "watermark": st.floats(0, 0.99),
        "max_steps": st.integers(0, 100),
    },
    "transfer": {
        "policy": st.just("a.b:C"),
        "direction": st.just("put"),
        "mode": st.sampled_from(["auto", "serialized", "layer-wise"]),
        "threshold_tokens": st.integers(0, 10**5),
        "lease_s": st.floats(10, 1e4),
        "heartbeat_s": st.floats(0.001, 9),
        "signal_s": st.just(0.0) | SECONDS,
        "layer_sync_s": st.just(0) | SECONDS,
        "max_flight_s": st.floats(0.5, 9e6),  # no write of the faults below is later
        "clock_error": st.floats(0, 0.5),
    },
    "network": {
        "control_latency_s": st.just(0) | SECONDS,
        "data_latency_s": SECONDS,
        "sharing": st.sampled_from(["fair", "none"]),
        "bandwidth_factor": st.floats(0.001, 1000),
        "bandwidth_bytes_per_s": st.integers(1000, 10**12),
    },
    "costs": {
        "model": st.sampled_from(["calibrated", "splitwise-sim"]),
        "profiles": st.just([]),
        "kv_bytes_per_token": st.integers(2**14, 10**7),
    },
    "parts": dict.fromkeys(MACHINE_PARTS, st.sampled_from(["a.b:C", "parts:Mine"])),
    "run": {"liveness_s": SECONDS, "faults_may_come": st.booleans()},
}
SLO_LIMITS = {f"{m}_{p}_s": SECONDS for m in ("ttft", "tbt", "ttst", "tpot", "e2e") for p in ("p50", "p90", "p99")}
SLO = st.just({"preset": "splitwise"}) | st.fixed_dictionaries({}, optional=SLO_LIMITS)
MAX_TOKENS = TOKENS | st.just("exact")
SYNTHETIC = {
    "synthetic": st.sampled_from(["azure-conv", "azure-code"]),
    "rate_rps": st.floats(0.1, 100),
    "duration_s": st.floats(1, 1000),
}
CLIENTS = {"client_timeout_s": SECONDS, "client_retries": st.integers(0, 9), "retry_backoff_s": SECONDS}
SYNTHETIC_OPTIONS = {
    "arrivals": st.sampled_from(["poisson", "gamma", "constant"]),
    "limit": TOKENS,
    "max_tokens": MAX_TOKENS,
    **CLIENTS,
    "longest_prompt_tokens": TOKENS,
}
TRACE_OPTIONS = {"limit": TOKENS, "until_s": SECONDS, "speedup": st.floats(0.1, 100), "max_tokens": MAX_TOKENS}
ROW = st.fixed_dictionaries({"at_s": SECONDS, "prompt_tokens": TOKENS, "output_tokens": TOKENS})
ROWS_OPTIONS = {"limit": TOKENS, "max_tokens": MAX_TOKENS}
WORKLOADS = (
    st.fixed_dictionaries(SYNTHETIC, optional=SYNTHETIC_OPTIONS)
    | st.fixed_dictionaries({**SYNTHETIC, "arrivals": st.just("gamma"), "burstiness": st.floats(0.01, 10)})
    | st.fixed_dictionaries({"trace": st.just("trace.csv")}, optional=TRACE_OPTIONS)
    | st.fixed_dictionaries({"requests": st.lists(ROW, min_size=1, max_size=3)}, optional=ROWS_OPTIONS)
)


# of mixed-0, which any document below may have
FAULTS: st.SearchStrategy[list[Document]] = st.lists(
    st.sampled_from(
        [
            {"kind": "crash", "at_s": 1.0},
            {"kind": "restart", "on": "Landed", "nth": 3, "after_s": 0.5, "startup_s": 2.0},
            {"kind": "pause", "at_s": 0, "heal_after_s": 1},
            {"kind": "hang", "on": "Committed", "on_request": 2, "on_machine": "MACHINE"},
            {"kind": "slow", "at_s": 3.0, "factor": 2.5, "heal_after_s": 4.0},
            {"kind": "link_down", "at_s": 1, "plane": "data", "one_way": True},
            {"kind": "link_slow", "at_s": 1, "machines": ["MACHINE", "router"], "plane": "control", "factor": 3},
            {"kind": "lose", "message": "Grant", "nth": 2, "count": 2},
            {"kind": "delay", "message": "Acknowledge", "by_s": 0.1, "machines": ["MACHINE", "router"]},
            {"kind": "duplicate", "message": "Signal", "at_s": 2.0},
            {"kind": "reorder", "message": "Assign"},
            {"kind": "join", "at_s": 4.0},
            {"kind": "nic_down", "at_s": 4.0, "heal_after_s": 1.0},
            {"kind": "stale_report", "at_s": 4.0},
            {"kind": "late_write", "by_s": 0.5, "nth": 3, "request": 7},
            {"kind": "corrupt", "count": 2, "at_s": 1.0},
            {"kind": "poison", "request": 3},
            {"kind": "clock", "at_s": 0, "offset_s": -3.5},
        ]
    ),
    max_size=3,
)


def faults_on(machine: str, faults: list[Document]) -> list[Document]:
    """These faults, of a cluster that has that machine."""
    placed = []
    for fault in faults:
        fault = {key: machine if value == "MACHINE" else value for key, value in fault.items()}
        if "machines" in fault:
            fault["machines"] = [machine, "router"]
        elif ("at_s" in fault and fault["kind"] not in ("duplicate", "corrupt")) or "on" in fault:
            fault["machine"] = machine
        placed.append(fault)
    return placed


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A document that loads from a folder with a trace.csv: any cluster that can serve, any keys left to defaults."""
    required = {key: GROUP_KEYS[key] for key in ("pool", "hardware")}
    optional = {key: strategy for key, strategy in GROUP_KEYS.items() if key not in required}
    groups = draw(st.lists(st.fixed_dictionaries(required, optional=optional), max_size=3))
    pools = draw(st.sampled_from([["mixed"], ["prefill", "decode"], ["decode", "mixed"]]))
    groups += [{"pool": pool, "hardware": draw(GROUP_KEYS["hardware"])} for pool in pools]
    document: Document = {"name": draw(NAMES), "model": "llama2-70b", "machines": groups, "workload": draw(WORKLOADS)}
    top: dict[str, st.SearchStrategy[Any]] = {"seed": st.integers(0, 2**63 - 1), "interleaving": st.integers(0, 9)}
    document |= draw(st.fixed_dictionaries({}, optional={**top, "slo": SLO, "parity": st.just("splitwise-sim")}))
    if draw(st.booleans()):
        document["faults"] = faults_on(f"{pools[-1]}-0", draw(FAULTS))
    for table, keys in TABLES.items():
        if draw(st.booleans()):
            document[table] = draw(st.fixed_dictionaries({}, optional=keys))
    return document


ANY_TOML = st.recursive(
    st.none().map(lambda _: date(2026, 1, 2))
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(["../x", "/", "a/b.toml", "nobody", "decode-0", "a.b:C", "exact", "", "\0", "x" * 5000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "at_s", "x\ny"]), inner),
    max_leaves=4,
)


def places(value: object, key: Key = ()) -> Iterator[tuple[Key, object]]:
    """Every value in a document with its key, tables and lists included."""
    if key:
        yield key, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places(inner, (*key, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*key, index))


def with_value(document: Document, key: Key, value: object) -> Document:
    """A copy with one value replaced or added."""
    changed = copy.deepcopy(document)
    container: Any = changed
    for part in key[:-1]:
        container = container[part]
    container[key[-1]] = value
    return changed


def write(folder: Path, document: Document) -> Path:
    path = folder / "s.toml"
    path.write_text(tomli_w.dumps(document))
    return path


def refusal_line(folder: Path, document: Document, *overrides: str) -> str | None:
    """The line that the document is refused with, or None when it loads; no other exception is caught."""
    try:
        load_document(folder, document, *overrides)
    except Refusal as refusal:
        return str(refusal)
    return None


def load_document(folder: Path, document: Document, *overrides: str) -> Scenario:
    return load(write(folder, document), overrides)
