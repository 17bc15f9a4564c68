"""How long prompts and outputs are, drawn jointly from the quantile figures that the project ships in `shapes/`.

A prompt is read off its quantile curve; its place on that curve also says which output curve applies, so that the
relation of the two survives (in the conversation trace the median output leaps from 89 to 395 tokens with the prompt).
Arrivals are drawn in `synthetic`; how the figures are made is in `shape_of_trace`.
"""

import json
from bisect import bisect_right
from functools import cache
from pathlib import Path

from attrs import frozen

SHAPES = ("azure-conv", "azure-code")
SHAPES_FOLDER = Path(__file__).parent / "shapes"


@frozen(eq=False, repr=False)
class Curve:
    """A quantile function: a share `ranks[i]` (0 to 1) is no longer than `tokens[i]`; straight lines between."""

    ranks: tuple[float, ...]
    tokens: tuple[int, ...]

    def at(self, rank: float) -> int:
        """The length at a rank in [0, 1), to the nearest token. Only + - * / on floats: the same on every machine."""
        right = bisect_right(self.ranks, rank)
        low, high = self.tokens[right - 1], self.tokens[right]
        start, end = self.ranks[right - 1], self.ranks[right]
        return low + int((high - low) * ((rank - start) / (end - start)) + 0.5)


@frozen(eq=False, repr=False)
class SizeTable:
    """Prompt and output lengths of one kind of traffic: `outputs[k]` belongs to the k-th equal share of prompts."""

    name: str
    source: str
    prompt: Curve
    outputs: tuple[Curve, ...]

    def sizes(self, prompt_rank: float, output_rank: float) -> tuple[int, int]:
        """(prompt tokens, output tokens), each at least 1, for two independent uniform draws from [0, 1)."""
        output = self.outputs[int(prompt_rank * len(self.outputs))]
        return self.prompt.at(prompt_rank), output.at(output_rank)


@cache  # the package's own files do not change
def size_table(shape: str) -> SizeTable:
    """One of the shipped `SHAPES`; ValueError for another name."""
    if shape not in SHAPES:
        raise ValueError(f"shape: expected one of {', '.join(SHAPES)}, got {shape!r}")
    figures = json.loads(SHAPES_FOLDER.joinpath(f"{shape}.json").read_text(encoding="utf-8"))
    outputs = figures["output"]
    ranks = _ranks(outputs["per_mille"])
    return SizeTable(
        figures["name"],
        figures["source"],
        Curve(_ranks(figures["prompt"]["per_mille"]), tuple(figures["prompt"]["tokens"])),
        tuple(Curve(ranks, tuple(tokens)) for tokens in outputs["tokens"]),
    )


def _ranks(per_mille: list[int]) -> tuple[float, ...]:
    return tuple(value / 1000 for value in per_mille)
