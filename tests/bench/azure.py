"""The Azure traces whole, on four clusters of two models, as recorded and at twelve times the rate: docs/results.md.

PYTHONPATH=tests python -m bench.azure [--kept FILE]: every run is made twice, in processes with different
PYTHONHASHSEED; it counts only if both give one digest, all that arrived completed and every law held, else the command
ends there. Finished runs are kept in FILE and not made again. The table replaces the one between the page's marks.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.cases import SHARED
from bench.child import CHECKOUT, ENVIRONMENT

PAGE = CHECKOUT / "docs" / "results.md"
BEGIN, END = "<!-- azure: begin -->", "<!-- azure: end -->"
TRACES = {"conversation": "AzureLLMInferenceTrace_conv.csv", "coding": "AzureLLMInferenceTrace_code.csv"}
SCENARIOS = ("splitwise_hh", "baseline_h100")
MODELS = ("llama2-70b", "bloom-176b")
SPEEDUPS = (1, 12)
HASH_SEEDS = ("1", "2")
COLUMNS = (
    *("trace", "scenario", "model", "speedup", "requests", "TTFT p99", "E2E p99"),
    *("machine moves", "preemptions", "CPU s", "digest"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description="the Azure traces whole, each run twice: docs/results.md")
    parser.add_argument("--kept", type=Path, default=CHECKOUT / "results" / "azure.json", metavar="FILE")
    kept_in: Path = parser.parse_args().kept
    kept: dict[str, dict[str, Any]] = json.loads(kept_in.read_text("utf-8")) if kept_in.exists() else {}
    kept_in.parent.mkdir(parents=True, exist_ok=True)
    rows = list(itertools.product(TRACES, SCENARIOS, MODELS, SPEEDUPS))
    for trace, scenario, model, speedup in rows:
        name = f"{trace} {scenario} {model} {speedup}"
        if name not in kept:
            sys.stderr.write(f"{name} ...\n")
            kept[name] = _twice(TRACES[trace], scenario, model, speedup)
            kept_in.write_text(json.dumps(kept, indent=1), "utf-8")
    before, rest = PAGE.read_text("utf-8").split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{_table(rows, kept)}{END}{rest.split(END)[1]}", "utf-8")
    return 0


def _twice(trace: str, scenario: str, model: str, speedup: int) -> dict[str, Any]:
    first, second = (_run(trace, scenario, model, speedup, seed) for seed in HASH_SEEDS)
    requests = first["requests"]
    if first["digest"] != second["digest"] or requests["completed"] != requests["arrived"]:
        raise SystemExit(f"{scenario} {model} x{speedup}: {first['digest']} {second['digest']} {requests}")
    return {
        "requests": requests["completed"],
        "ttft_p99_s": first["ttft_s"]["p99"],
        "e2e_p99_s": first["e2e_s"]["p99"],
        "moves": first["machine_moves"],
        "preemptions": first["preemptions"],
        "laws": first["laws"]["checked"],
        "cpu_s": min(first["cpu_s"], second["cpu_s"]),
        "digest": first["digest"],
    }


def _run(trace: str, scenario: str, model: str, speedup: int, hash_seed: str) -> dict[str, Any]:
    settings = (f"workload.trace={SHARED / 'data' / trace}", f"model={model}", f"workload.speedup={speedup}")
    command = [sys.executable, "-m", "emu", "run", f"scenarios/{scenario}.toml", "--json"]
    command += itertools.chain.from_iterable(("--set", setting) for setting in settings)
    environment = {**os.environ, **ENVIRONMENT, "PYTHONHASHSEED": hash_seed}
    found = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    summary: dict[str, Any] = json.loads(found.stdout)
    return summary


def _table(rows: list[tuple[str, str, str, int]], kept: dict[str, dict[str, Any]]) -> str:
    lines = [
        f"Measured on {time.strftime('%Y-%m-%d')}, {kept[' '.join(map(str, rows[0]))]['laws']} laws.\n",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
    ]
    for row in rows:
        run = kept[" ".join(map(str, row))]
        p99 = f"{run['ttft_p99_s']:.2f} s | {run['e2e_p99_s']:.1f} s"
        rest = f"{run['moves']} | {run['preemptions']} | {run['cpu_s']:.1f} | `{run['digest'][:8]}`"
        lines.append(f"| {' | '.join(map(str, row))} | {run['requests']:,} | {p99} | {rest} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
