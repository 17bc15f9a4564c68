"""emu beside queueing theory, where that is exact: a table of queues."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from emu.fake.costs import load_costs
from emu.fake.profiles import load_hardware, load_model
from emu.validate.lab import Lab
from emu.validate.queues import ANSWER_STEPS, PROMPT_TOKENS, Waiting, decode_machine, prefill_machine
from emu.validate.words import ms, table

EVEN_PS: Final = 20 * 10**9
PREFILLS: Final = 8000
ANSWERS: Final = 5000
NANOSECOND: Final = 1e-9


def section(lab: Lab) -> dict[str, str]:
    rows = []
    for name, found in _queues(lab):
        mean, within = found.found
        at_once = found.found_at_once
        apart = "" if found.apart_s is None else ms(found.apart_s) if found.apart_s > NANOSECOND else "0"
        rows.append(
            [
                name,
                f"{found.load:.1f}",
                f"{found.requests:,}",
                f"{1000 * found.theory_s:,.0f}",
                f"{1000 * mean:,.0f} +- {1000 * within:,.0f}",
                f"{found.theory_at_once:.3f}",
                f"{at_once.mean:.3f} +- {at_once.within:.3f}",
                apart,
            ]
        )
    headings = (
        "queue",
        "load",
        "requests",
        "mean wait, theory, ms",
        "found, ms",
        "no wait, theory",
        "found",
        "from the recursion, at most, ms",
    )
    return {"prompt": f"{PROMPT_TOKENS:,}", "steps": f"{ANSWER_STEPS}", "table": table(headings, rows)}


def _queues(lab: Lab) -> Iterator[tuple[str, Waiting]]:
    for load in (0.5, 0.8, 0.9):
        yield "M/D/1, a prefill machine", prefill_machine(lab, load, PREFILLS)
    for servers, load in ((1, 0.5), (4, 0.8), (16, 0.8)):
        yield f"M/M/{servers}, a decode machine", decode_machine(lab, load, ANSWERS, (EVEN_PS,) * servers)
    hardware = load_hardware("dgx-h100")
    costs = load_costs(load_model("llama2-70b"), hardware, hardware.gpus)
    steps_ps = tuple(costs.decode_coefficients(sequences)[0] for sequences in range(1, 17))
    yield "birth and death, a decode machine's own steps", decode_machine(lab, 0.7, ANSWERS, steps_ps)
