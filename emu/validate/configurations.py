"""The configurations in which a real pair and its emulation are compared, and the table of what the real one gave.

Plain data and files: whoever runs them on GPUs is `pair`, and whoever compares them `real_pair`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from emu.refusal import Refusal

ROOT: Final = Path(__file__).parents[2]
SCENARIO: Final = ROOT / "scenarios" / "h200_pair.toml"
SHIPPED: Final = ROOT / "docs" / "real" / "configurations.csv"
BASE: Final = "run"
"""The scenario as it is; the others are compared with one another."""

MIXED: Final = ("machines[0].pool=mixed", "machines[1].pool=mixed", "router.policy=token-jsq")
RATE: Final = "workload.rate_rps=20"
CONFIGURATIONS: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "as it is": (RATE,),
        "serialized": (RATE, "transfer.mode=serialized"),
        "prefill 512": (RATE, "scheduler.prefill_batch_tokens=512"),
        "decode 16": (RATE, "scheduler.decode_batch=16"),
        "decode 20": (RATE, "scheduler.decode_batch=20"),
        "mixed": (RATE, *MIXED),
        "700 blocks": (RATE, "machines[1].kv_blocks=700"),
    }
)
FIGURES: Final = ("mean", "p50", "p90", "p99")
METRICS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "ttft": ("ttft_s",),
        "tpot": ("tpot_s",),
        "ttst": ("ttst_s",),
        "tbt": ("tbt_s",),
        "e2e": ("e2e_s",),
        "remainder": ("transfers", "remainder_s"),
    }
)
Figures = dict[str, float]
"""Milliseconds, by "METRIC_FIGURE"."""


def folder_of(configuration: str, repeat: int) -> str:
    """The folder of one run."""
    return f"{configuration.replace(' ', '-')}.{repeat}"


def figures_of(summary: Mapping[str, Any]) -> Figures:
    """All figures of a run; none of transfers where there were none."""
    found: Figures = {}
    for metric, path in METRICS.items():
        spread: Any = summary
        for key in path:
            spread = spread[key]
        for figure in FIGURES if spread is not None else ():
            if spread.get(figure) is not None:
                found[f"{metric}_{figure}"] = 1e3 * spread[figure]
    return found


def collect(folder: Path, out: Path) -> None:
    """The table of the runs in `folder`, a row a run. Raises Refusal where one is missing or broke a law."""
    every = {BASE: (), **CONFIGURATIONS}
    columns = [f"{metric}_{figure}" for metric in METRICS for figure in FIGURES]
    rows = [
        {"configuration": name, "overrides": " ".join(overrides), "repeat": repeat, "completed": completed}
        | {column: f"{found[column]:.4f}" if column in found else "" for column in columns}
        for name, overrides in every.items()
        for repeat, (completed, found) in enumerate(_runs(folder, name))
    ]
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _runs(folder: Path, name: str) -> Iterator[tuple[int, Figures]]:
    repeats = sorted(folder.glob(folder_of(name, 0)[:-1] + "*"))
    if not repeats:
        raise Refusal(str(folder), f"expected runs of {name!r}")
    for repeat in repeats:
        summary = json.loads((repeat / "summary.json").read_text(encoding="utf-8"))
        if summary["laws"]["broken"]:
            raise Refusal(str(repeat), f"expected every law to hold; broken: {', '.join(summary['laws']['broken'])}")
        yield summary["requests"]["completed"], figures_of(summary)


def shipped(path: Path = SHIPPED) -> dict[str, list[Figures]]:
    """What the real pair gave: by configuration, one for each repeat. Raises Refusal without the table."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except OSError:
        raise Refusal(str(path), "expected the table of the real pair's runs") from None
    found: dict[str, list[Figures]] = {}
    for row in rows:
        columns = [f"{metric}_{figure}" for metric in METRICS for figure in FIGURES]
        found.setdefault(row["configuration"], []).append(
            {column: float(row[column]) for column in columns if row[column]}
        )
    return found
