"""The paper's results beside ours, as the tables of docs/provisioning.md: Markdown between two marks of that page.

What is said about the differences stands in the page itself, outside the marks, and is not touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from emu.plan import paper
from emu.refusal import Refusal
from emu.screen.plan import interval, missed
from emu.screen.quantities import digits

NOT_MADE = "not made"

Outcomes = Mapping[tuple[str, str, str, str], Mapping[str, Any]]
"""By (costs, model, workload, asked)."""


@frozen
class Claim:
    """One sentence of the paper and how it reads in our outcomes: a design over another in two figures."""

    said: str
    asked: str
    workload: str
    design: str
    other: str
    figure: str
    paper: str
    beside: str = ""  # a second figure, of the same two
    beside_paper: str = ""


CLAIMS = (
    Claim("AA's throughput over Baseline-A100's at the same power and cost (6.2; 2.35x in the abstract)", "iso-power",
          "conversation", "AA", "Baseline-A100", "rate_rps", "2.15", "cost_per_hour", "1.00"),
    Claim("HA's throughput over Baseline-H100's at the same power (6.2)", "iso-power", "conversation", "HA",
          "Baseline-H100", "rate_rps", "1.18", "cost_per_hour", "0.90"),
    Claim("AA over Baseline-H100 at lower cost (abstract)", "iso-power", "conversation", "AA", "Baseline-H100",
          "rate_rps", "1.40", "cost_per_hour", "0.80"),
    Claim("AA over Baseline-H100 at equal cost (6.3)", "iso-cost", "conversation", "AA", "Baseline-H100", "rate_rps",
          "1.40", "power_w", "1.25"),
    Claim("HHcap's power over Baseline-H100's at equal throughput (6.3)", "iso-throughput, least power",
          "conversation", "HHcap", "Baseline-H100", "power_w", "0.75", "cost_per_hour", "1.00"),
    Claim("AA's cost over Baseline-H100's at equal throughput (6.3)", "iso-throughput, least cost", "conversation",
          "AA", "Baseline-H100", "cost_per_hour", "0.75"),
)  # fmt: skip


def tables(scale: paper.Scale, outcomes: Outcomes, batch: Sequence[Mapping[str, Any]], made: str) -> str:
    """All tables, as far as there are answers; `made` says how and with what they were made."""
    parts = [made, "\n### The paper's claims\n", *_claims(outcomes)]
    for costs in paper.COSTS:
        sets = [line for model in scale.models for line in _sets(outcomes, costs, model)]
        parts += [f"\n### Under the {costs} costs", *sets] if sets else []
    parts += ["\n### Clusters in another's place\n", *_changes(outcomes)]
    parts += ["\n### The batch job, without SLOs\n", *_batch(batch)]
    return "\n".join(parts) + "\n"


def marks(scale: paper.Scale) -> tuple[str, str]:
    """Between these the tables of a scale stand in their page."""
    return f"<!-- {scale.name} tables: begin -->", f"<!-- {scale.name} tables: end -->"


def write_page(path: Path, scale: paper.Scale, text: str) -> None:
    """Put `text` between the marks of its scale. Refusal: the page, or a mark in it, is not there."""
    opening, closing = marks(scale)
    try:
        page = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Refusal(str(path), f"expected a page to write to; {error.strerror}") from None
    head, begin, rest = page.partition(opening)
    _, end, tail = rest.partition(closing)
    if not begin or not end:
        raise Refusal(str(path), f"expected the marks {opening} and {closing}")
    path.write_text(f"{head}{begin}\n{text}{end}{tail}", encoding="utf-8")


def _claims(outcomes: Outcomes) -> Iterator[str]:
    yield "Ratios; BLOOM-176B. In brackets the second figure of the same two clusters.\n"
    yield "| claim | paper | calibrated | splitwise-sim |"
    yield "|---|---|---|---|"
    for claim in CLAIMS:
        kind = {"cost_per_hour": "cost", "power_w": "power"}.get(claim.beside, "")
        said = f"{claim.paper}" + (f" ({kind} {claim.beside_paper})" if kind else "")
        ours = [_ratio(outcomes, costs, claim) for costs in paper.COSTS]
        yield f"| {claim.said} | {said} | {' | '.join(ours)} |"
    ours = [_half_capped(outcomes, costs) for costs in paper.COSTS]
    said = "HHcap, as many of each kind: its throughput over Baseline-H100's (conclusion)"
    yield f"| {said} | 1.76 (power 0.85) | {' | '.join(ours)} |"
    ours = [_counts(outcomes, costs) for costs in paper.COSTS]
    yield f"| cost-optimal HH cluster for coding at 70 requests/s (Fig. 12) | 27 + 3 | {' | '.join(ours)} |"


def _ratio(outcomes: Outcomes, costs: str, claim: Claim) -> str:
    outcome = outcomes.get((costs, paper.BLOOM, claim.workload, claim.asked))
    if outcome is None:
        return NOT_MADE
    one, other = _of(outcome, claim.design), _of(outcome, claim.other)
    if one["value"] is None or other["value"] is None:
        return "none"
    ratio = f"{one[claim.figure] / other[claim.figure]:.2f}"
    if not claim.beside:
        return ratio
    kind = {"cost_per_hour": "cost", "power_w": "power"}[claim.beside]
    return f"{ratio} ({kind} {one[claim.beside] / other[claim.beside]:.2f})"


def _half_capped(outcomes: Outcomes, costs: str) -> str:
    half = outcomes.get((costs, paper.BLOOM, "conversation", paper.HALF_CAPPED))
    own = outcomes.get((costs, paper.BLOOM, "conversation", "iso-power"))
    if half is None or own is None:
        return NOT_MADE
    one, other = _of(half, "HHcap"), _of(own, "Baseline-H100")
    if one["value"] is None or other["value"] is None:
        return "none"
    return f"{one['rate_rps'] / other['rate_rps']:.2f} (power {one['power_w'] / other['power_w']:.2f})"


def _counts(outcomes: Outcomes, costs: str) -> str:
    outcome = outcomes.get((costs, paper.BLOOM, "coding", "iso-throughput, least cost"))
    if outcome is None:
        return NOT_MADE
    design = _of(outcome, "HH")
    return "none" if design["value"] is None else _cluster(design)


def _sets(outcomes: Outcomes, costs: str, model: str) -> Iterator[str]:
    for workload in paper.WORKLOADS:
        for asked in paper.SETS:
            outcome = outcomes.get((costs, model, workload, asked))
            if outcome is None:
                continue
            yield f"\n{model}, {workload}, {asked}:\n"
            yield "| design | machines | requests/s | $/h | kW | interval | decided by |"
            yield "|---|---|---|---|---|---|---|"
            for design in outcome["designs"]:
                yield _line(outcome, design)


def _line(outcome: Mapping[str, Any], design: Mapping[str, Any]) -> str:
    if design["value"] is None:
        return f"| {design['name']} | {_cluster(design)} | none | | | | {missed(design)} |"
    scale = 1000 if outcome["objective"] == "power" else 1
    deciding = design["deciding"]
    cells = [
        design["name"] if design["name"] != outcome["best"] else f"**{design['name']}**",
        _cluster(design),
        digits(design["rate_rps"]),
        digits(design["cost_per_hour"]),
        digits(design["power_w"] / 1000),
        interval(design, scale),
        f"{deciding} ({design['limits'][deciding][0]:.2f})",
    ]
    return "| " + " | ".join(cells) + " |"


def _changes(outcomes: Outcomes) -> Iterator[str]:
    """Clusters found for one thing, put to another: requests a second, and over the clusters found for it."""
    yield "Requests/s of the iso-power clusters; in brackets over the cluster found for that very load.\n"
    yield "| " + " | ".join(("costs", "question", *paper.DESIGNS)) + " |"
    yield "|" + "---|" * (2 + len(paper.DESIGNS))
    for costs in paper.COSTS:
        own = outcomes.get((costs, paper.BLOOM, "conversation", "iso-power"))
        changed = outcomes.get((costs, paper.BLOOM, "conversation", paper.CHANGED_WORKLOAD))
        yield f"| {costs} | {paper.CHANGED_WORKLOAD} | {' | '.join(_beside(changed, own))} |"
        changed = outcomes.get((costs, paper.LLAMA, "conversation", paper.CHANGED_MODEL))
        yield f"| {costs} | {paper.CHANGED_MODEL} (over BLOOM's) | {' | '.join(_beside(changed, own))} |"


def _beside(changed: Mapping[str, Any] | None, own: Mapping[str, Any] | None) -> Iterator[str]:
    for name in paper.DESIGNS:
        if changed is None or own is None:
            yield NOT_MADE
            continue
        there = [design for design in changed["designs"] if design["name"] == name]
        base = _of(own, name)
        if not there or there[0]["value"] is None or base["value"] is None:
            yield "none"
        else:
            yield f"{digits(there[0]['rate_rps'])} ({there[0]['rate_rps'] / base['rate_rps']:.2f})"


def _batch(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    by_design = {(one["costs"], one["workload"], one["design"]): one for one in rows}
    yield "Requests/s per dollar, the dollar being an hour of one GPU a machine; in brackets requests/s and the split."
    yield "The paper: AA and Baseline-A100 0.89, HH and Baseline-H100 0.75.\n"
    yield "| " + " | ".join(("costs", "workload", *paper.DESIGNS)) + " |"
    yield "|" + "---|" * (2 + len(paper.DESIGNS))
    for costs in paper.COSTS:
        for workload in paper.WORKLOADS:
            cells = []
            for name in paper.DESIGNS:
                row = by_design.get((costs, workload, name))
                if row is None:
                    cells.append(NOT_MADE)
                    continue
                split = " + ".join(map(str, row["counts"]))
                cells.append(f"{row['per_dollar']:.2f} ({digits(row['requests_per_s'])}; {split})")
            yield f"| {costs} | {workload} | {' | '.join(cells)} |"


def _of(outcome: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next(design for design in outcome["designs"] if design["name"] == name)


def _cluster(design: Mapping[str, Any]) -> str:
    return " + ".join(str(group["count"]) for group in design["machines"])
