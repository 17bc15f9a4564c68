"""The report of the paper's questions: the tables of the page and their pictures in one HTML file, nothing fetched.

The pictures are drawn of what the search found on its way; no run is made for them.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from emu.plan import paper
from emu.plan.paper_page import Outcomes
from emu.plan.pictures import Pictured
from emu.plan.report import REPORT, STYLE, figure_of, replace

DESIGNS = "designs"
FIGURES = (f"{DESIGNS}.svg", f"{DESIGNS}.png")
MAPPED = "HH"  # the design of the paper's Fig. 12
Key = tuple[str, str, str, str]


def write_paper_report(
    folder: Path, scale: paper.Scale, text: str, outcomes: Outcomes, grids: Mapping[Key, Sequence[Pictured]]
) -> None:
    """report.html with the tables `text` (Markdown), and the bars of all designs as SVG and PNG. OSError: the folder
    cannot be written."""
    from markdown_it import MarkdownIt

    from emu.plan.plots import as_png, as_svg, bars, plots

    parts = [MarkdownIt().enable("table").render(text), "<h2>Pictures</h2>"]
    compared = bars([(_shown(key), one) for key, one in outcomes.items() if key[3] in paper.SETS])
    if compared is not None:
        drawn = as_svg(compared)
        replace(folder / FIGURES[0], drawn)
        replace(folder / FIGURES[1], as_png(compared))
        parts.append(figure_of(DESIGNS, drawn))
    for number, (key, outcome) in enumerate(outcomes.items()):
        mapped = [picture for picture in grids.get(key, ()) if picture.name == MAPPED]
        for name, figure in plots(outcome, mapped).items():
            parts.append(f"<h3>{html.escape(_shown(key))}</h3>{figure_of(f'{name}-{number}', as_svg(figure))}")
    title = f"Provisioning, {scale.name}"
    head = f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    replace(folder / REPORT, f"{head}</head><body><h1>{title}</h1>{''.join(parts)}</body></html>\n".encode())


def _shown(key: Key) -> str:
    costs, model, workload, asked = key
    return f"{model}, {workload}, {asked}, {costs}"
