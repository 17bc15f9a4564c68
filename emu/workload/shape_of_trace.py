"""Makes the figures in `shapes/` from a trace.

    python -m emu.workload.shape_of_trace TRACE.csv NAME > emu/workload/shapes/NAME.json

Quantiles only: no row of a trace is shipped. A test makes the figures again wherever the traces are at hand and
compares. Nothing that runs imports this module.
"""

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from emu.refusal import Refusal
from emu.workload.table import Workload
from emu.workload.traces import read_trace

PROMPT_PER_MILLE = (0, 1, 2, 5, *range(10, 1000, 10), 995, 998, 999, 1000)
OUTPUT_PER_MILLE = (0, 10, 25, *range(50, 900, 50), *range(900, 980, 10), 980, 985, 990, 994, 997, 999, 1000)
REQUESTS_FOR_TEN_GROUPS = 8000
PUBLISHED = "Azure LLM inference trace 2023, https://github.com/Azure/AzurePublicDataset, CC BY 4.0"


def quantiles(ordered: Sequence[int], per_mille: Sequence[int]) -> list[int]:
    """The quantiles of a sorted sequence at these ranks, in whole tokens.

    The i-th of n values stands for the ranks from i/n to (i + 1)/n and sits at their middle; lines between (Hazen).
    Taking the nearest value instead gives the rare long outputs 2 % too little weight.
    """
    last = len(ordered) - 1
    values = []
    for rank in per_mille:
        middle = min(max(rank * len(ordered) - 500, 0), last * 1000)
        index, part = divmod(middle, 1000)
        low, high = ordered[index], ordered[min(index + 1, last)]
        values.append(low + ((high - low) * part + 500) // 1000)
    return values


def shape_json(workload: Workload, name: str) -> str:
    """The figures as a file: one prompt curve, and an output curve for each of 10, 20, ... equal groups by prompt.

    It is JSON, which is read thirty times as fast as TOML. The rows of `output` begin with the shortest prompts. A
    group of fewer than 800 requests leaves too little to draw a tail from. Equal prompts stay in order of arrival, so
    that cutting among them favours no output.
    """
    prompts = workload.prompt_tokens
    order = sorted(range(len(workload)), key=prompts.__getitem__)
    count = 10 * max(1, len(order) // REQUESTS_FOR_TEN_GROUPS)
    cuts = [group * len(order) // count for group in range(count + 1)]
    groups = [
        quantiles(sorted(workload.output_tokens[i] for i in order[start:end]), OUTPUT_PER_MILLE)
        for start, end in pairwise(cuts)
    ]
    return "\n".join(
        [
            "{",
            ' "made_by": "python -m emu.workload.shape_of_trace",',
            f' "name": "{name}",',
            f' "source": "{workload.name}, {len(workload)} requests; {PUBLISHED}",',
            ' "prompt": {',
            f'  "per_mille": {list(PROMPT_PER_MILLE)},',
            f'  "tokens": {quantiles(sorted(prompts), PROMPT_PER_MILLE)}',
            " },",
            ' "output": {',
            f'  "per_mille": {list(OUTPUT_PER_MILLE)},',
            '  "tokens": [',
            ",\n".join(f"   {group}" for group in groups),
            "  ]",
            " }",
            "}",
            "",
        ]
    )


def main(arguments: Sequence[str]) -> str | None:
    """Write the figures to stdout; what it returns is why that was not possible."""
    if len(arguments) != 2:
        return "usage: python -m emu.workload.shape_of_trace TRACE.csv NAME"
    try:
        workload = read_trace(Path(arguments[0]))
    except Refusal as refusal:
        return str(refusal)
    sys.stdout.write(shape_json(workload, arguments[1]))
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
