"""The scenarios that are measured, as files that `emu run` takes."""

from __future__ import annotations

from pathlib import Path

from bench.child import CHECKOUT

SHARED = CHECKOUT.parent / "shared"
REFERENCE = SHARED / "reference" / "splitwise_sim_hh_25p_15t.csv"
REFERENCE_MIXED = SHARED / "reference" / "splitwise_sim_baseline_h100_40.csv"
MOONCAKE = SHARED / "data" / "mooncake_conversation_trace.jsonl"


def scenario(folder: Path, name: str, pools: dict[str, int], workload: str, more: str = "") -> Path:
    """A scenario of DGX-H100 and llama2-70b with so many machines in each pool; its file in `folder`."""
    groups = "".join(
        f'\n[[machines]]\npool = "{pool}"\nhardware = "dgx-h100"\ncount = {count}\n' for pool, count in pools.items()
    )
    path = folder / f"{name}.toml"
    path.write_text(
        f'name = "{name}"\nmodel = "llama2-70b"\n{groups}\n[workload]\n{workload}\n{more}', encoding="utf-8"
    )
    return path


def trace(path: Path) -> str:
    return f'trace = "{path}"'


def synthetic(rate_rps: float, requests: int) -> str:
    """Conversations at a rate; as many requests as that, whatever the draw."""
    duration_s = requests / rate_rps * 1.2 + 10
    return f'synthetic = "azure-conv"\nrate_rps = {rate_rps}\nduration_s = {duration_s}\nlimit = {requests}'
