"""Why our clusters differ from the paper's, by runs: `python tests/plan/causes.py [DIR] [WORKLOAD]`.

The quick iso-power question is asked again with one thing changed at a time: what a decode step costs in a batch, how
large a token's cache is, what room a request reserves, how prompts are batched. Printed: what each design carries, its
split and what decides. It takes a few minutes of CPU and goes on from what DIR holds.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomli_w
from attrs import evolve

from emu.plan.outcome import outcome
from emu.plan.paper import BLOOM, QUICK, first_questions
from emu.plan.planner import Runner, searches
from emu.plan.schema import Plan
from emu.plan.trials import run_trial
from emu.sweep.engines import LocalEngine
from emu.sweep.journal import Journal
from emu.sweep.making import Making

HARDWARE = ("dgx-a100", "dgx-h100", "dgx-h100-capped")
CONTEXT_TOKENS = 1260  # of a conversation halfway through its answer
Steps = dict[str, Any]


def no_context(steps: Steps) -> None:
    """Context is paid once a step, as of one sequence."""
    decode = steps["decode"]
    once_ps = CONTEXT_TOKENS * decode["context_ps_per_token"][0]
    decode["base_ps"] = [base_ps + once_ps for base_ps in decode["base_ps"]]
    decode["context_ps_per_token"] = decode["context_low_ps"] = [1] * len(decode["sequences"])


def low_context(steps: Steps) -> None:
    """A token of context costs as little as the measurements leave open."""
    steps["decode"]["context_ps_per_token"] = steps["decode"]["context_low_ps"]


def high_context(steps: Steps) -> None:
    """A token of context costs as much as the measurements leave open."""
    steps["decode"]["context_ps_per_token"] = steps["decode"]["context_high_ps"]


def flat(steps: Steps) -> None:
    """A decode step takes what it takes for one sequence, as in splitwise-sim."""
    no_context(steps)
    steps["decode"]["base_ps"] = [steps["decode"]["base_ps"][0]] * len(steps["decode"]["sequences"])


def even_prefill(steps: Steps) -> None:
    """A prefill takes what its tokens take as one prompt, as in splitwise-sim."""
    steps["prefill"]["even_tokens"] = steps["prefill"]["single_tokens"]
    steps["prefill"]["even_ps"] = steps["prefill"]["single_ps"]


def with_steps(change: Callable[[Steps], None], folder: Path) -> Mapping[str, Any]:
    """Scenario keys that put changed step times in the place of those that ship."""
    paths = []
    for hardware in HARDWARE:
        name = f"{BLOOM}.{hardware}.tp8.toml"
        steps = tomllib.loads((files("emu") / "profiles" / "steps" / name).read_text(encoding="utf-8"))
        change(steps)
        paths.append(folder / change.__name__ / name)
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        paths[-1].write_text(tomli_w.dumps(steps), encoding="utf-8")
    return {"costs": {"model": "calibrated", "profiles": [str(path.resolve()) for path in paths]}}


def variants(folder: Path) -> dict[str, Mapping[str, Any]]:
    """What is changed of the scenario, by what it is called."""
    steps = {
        change.__doc__ or "": with_steps(change, folder) for change in (low_context, high_context, no_context, flat)
    }
    return {
        "As they are, calibrated.": {},
        **steps,
        even_prefill.__doc__ or "": with_steps(even_prefill, folder),
        "Half the cache a token.": {"costs": {"model": "calibrated", "kv_bytes_per_token": 2_007_040}},
        "Room for max_tokens is reserved.": {"scheduler": {"reserve": "max_tokens"}},
        "Splitwise-sim's step times.": {"costs": {"model": "splitwise-sim"}},
    }


def main(folder: Path, workload: str) -> None:
    question = next(
        one
        for one in first_questions(QUICK)
        if (one.costs, one.model, one.workload, one.asked) == ("calibrated", BLOOM, workload, "iso-power")
    )
    with Journal(folder / "runs") as journal:
        engine = LocalEngine(run_trial, {}, int(os.environ.get("JOBS", "2")))
        runner = Runner(Making(engine, journal), journal)
        for name, change in variants(folder).items():
            found = answered(runner, evolve(question.plan, scenario={**question.plan.scenario, **change}))
            print(f"| {name} | {' | '.join(found)} |", flush=True)
        engine.close(at_once=False)


def answered(runner: Runner, plan: Plan) -> list[str]:
    searched = searches(plan, {})
    runner.run(searched)
    cells, rates = [], {}
    for design in outcome(plan, searched)["designs"]:
        if design["value"] is None:
            cells.append("none")
            continue
        rates[design["name"]] = design["rate_rps"]
        split = " + ".join(str(group["count"]) for group in design["machines"])
        cells.append(f"{design['rate_rps']:g} ({split}; {design['deciding']})")
    for one, other in (("AA", "Baseline-A100"), ("HA", "Baseline-H100"), ("AA", "Baseline-H100")):
        cells.append(f"{rates[one] / rates[other]:.2f}" if {one, other} <= rates.keys() else "none")
    return cells


if __name__ == "__main__":
    main(
        Path(sys.argv[1] if len(sys.argv) > 1 else "results/causes"),
        sys.argv[2] if len(sys.argv) > 2 else "conversation",
    )
