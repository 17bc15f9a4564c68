"""Defaults that depend on other keys, written into the document before it is structured.

Only keys that are absent are set, so whatever a file says itself wins. A document of the wrong shape passes through
untouched: saying what is wrong with it belongs to `emu.scenario.structure`.
"""

from typing import Any

# What makes a run comparable with splitwise-sim: its step times and bandwidth, and an omniscient, undelayed router.
# What also depends on the model (bytes a token, blocks a machine) is added in `emu.scenario.profiles`.
# That simulator's guard against starving decodes has a limit of 4, and never fired in its run of 8,502 requests on 40
# mixed machines: any waiting task below the limit hides those at it (its instance.py, lines 734 to 754).
GUARD_NEVER_FIRES = 10**9

SPLITWISE_SIM: dict[str, dict[str, Any]] = {
    "router": {"report_every_s": 0, "go_home": "idle"},
    "scheduler": {"reserve": "max_tokens", "preempted": "keep", "watermark": 0, "max_preemptions": GUARD_NEVER_FIRES},
    "transfer": {"mode": "serialized", "signal_s": 0, "layer_sync_s": 0},
    "network": {
        "control_latency_s": 0,
        "data_latency_s": 0,
        "sharing": "none",
        "bandwidth_bytes_per_s": 200 * 2**30,
    },
    "workload": {"max_tokens": "exact"},
    "costs": {"model": "splitwise-sim"},
}


def fill(document: dict[str, Any]) -> None:
    """Set, in place, every absent key whose default follows from another key."""
    if document.get("parity") == "splitwise-sim":
        for table, keys in SPLITWISE_SIM.items():
            for key, value in keys.items():
                _set_absent(document, table, key, value)
    if _all_mixed(document.get("machines")):
        _set_absent(document, "router", "policy", "token-jsq")
    if document.get("slo") in (None, {}):
        document["slo"] = {"preset": "splitwise"}


def _set_absent(document: dict[str, Any], table: str, key: str, value: Any) -> None:
    keys = document.setdefault(table, {})
    if isinstance(keys, dict):
        keys.setdefault(key, value)


def _all_mixed(groups: object) -> bool:
    return isinstance(groups, list) and all(
        isinstance(group, dict) and group.get("pool") == "mixed" for group in groups
    )
