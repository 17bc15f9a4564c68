"""The report of a plan: one HTML file with everything in it, and its plots beside it as SVG and PNG.

Nothing is fetched from anywhere: styles and pictures stand in the page. What is said was decided elsewhere.
"""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emu.screen.plan import cluster, interval, missed
from emu.screen.quantities import digits, power

PLAN_JSON, REPORT = "plan.json", "report.html"
CAPTIONS = {
    "rates": "What each design's answer completes at rates around its own, and its worst percentile over the limit.",
    "pareto": "Every design's answer by its throughput and what it takes; the line is the front.",
    "latencies": "Latencies of each answer, at its rate.",
    "designs": "What each design carries, costs or draws; bars in the order of the legend. No bar: it cannot.",
    "split": "Clusters that the search tried; the star is its answer.",
}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #1d2733; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: 0.9rem; } td, th { padding: 0.3rem 0.8rem 0.3rem 0; text-align: left; }
th { border-bottom: 1px solid #99a; } tr.best td { font-weight: 600; } .bad { color: #b3263a; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; } figcaption, .dim { color: #5b6775; }
"""


def write_report(folder: Path, outcome: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    """plan.json, report.html and every plot as NAME.svg and NAME.png. OSError: the folder cannot be written."""
    from emu.plan.plots import as_png, as_svg

    drawn = {name: as_svg(figure) for name, figure in figures.items()}
    for name, figure in figures.items():
        replace(folder / f"{name}.svg", drawn[name])
        replace(folder / f"{name}.png", as_png(figure))
    replace(folder / PLAN_JSON, plan_json(outcome).encode())
    replace(folder / REPORT, page(outcome, drawn).encode())


def plan_json(outcome: Mapping[str, Any]) -> str:
    return json.dumps(outcome, indent=2, allow_nan=False) + "\n"


def page(outcome: Mapping[str, Any], drawn: Mapping[str, bytes]) -> str:
    """The report as HTML."""
    title = html.escape(outcome["name"])
    figures = "".join(figure_of(name, svg) for name, svg in drawn.items())
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body><h1>{title}</h1>{_question(outcome)}"
        f"<h2>Answer</h2>{_answers(outcome)}<h2>Limits</h2>{_limits(outcome)}{figures}</body></html>\n"
    )


def _question(outcome: Mapping[str, Any]) -> str:
    bounds = ", ".join(_bound(name, most) for name, most in outcome["bounds"].items())
    workload = outcome["workload"]
    load = workload.get("synthetic") or workload.get("trace")
    goal = {
        "throughput": "the highest rate",
        "cost": f"the least cost for {outcome['rate_rps']} requests/s",
        "power": f"the least power for {outcome['rate_rps']} requests/s",
    }[outcome["objective"]]
    search = outcome["search"]
    how = f"{search['seeds']} seeds of {search['long_s']:g} s, confidence {search['confidence']:.0%}, "
    how += f"{outcome['runs']} runs"
    said = f"{goal} within all SLOs: {outcome['model']}, {load}, {outcome['costs']} costs; at most {bounds}."
    return f"<p>Sought: {html.escape(said)}</p><p class='dim'>{html.escape(how)}</p>"


def _bound(name: str, most: float) -> str:
    return {"power_w": power(most), "cost_per_hour": f"${digits(most)} an hour", "machines": f"{most:g} machines"}[name]


def _answers(outcome: Mapping[str, Any]) -> str:
    head = (
        "design",
        "cluster",
        "requests/s",
        "$ an hour",
        "power",
        "machines",
        outcome["unit"] + ", interval",
        "holds again",
        "decided by",
    )
    rows = []
    for design in outcome["designs"]:
        if design["value"] is None:
            cells = [design["name"], cluster(design), "none", "", "", "", "", "", missed(design)]
            rows.append(_row(cells, "bad"))
            continue
        deciding = design["deciding"]
        cells = [
            design["name"],
            cluster(design),
            digits(design["rate_rps"]),
            digits(design["cost_per_hour"]),
            power(design["power_w"]),
            str(design["machine_count"]),
            interval(design),
            f"{design['chance']:.0%}" if design["interval"] else "-",
            f"{deciding}, {design['limits'][deciding][0]:.2f} of its limit",
        ]
        rows.append(_row(cells, "best" if design["name"] == outcome["best"] else ""))
    return f"<table><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>{''.join(rows)}</table>"


def _limits(outcome: Mapping[str, Any]) -> str:
    """Every percentile of every answer over its limit, with its interval."""
    found = [design for design in outcome["designs"] if design["value"] is not None]
    if not found:
        return "<p>No design meets them.</p>"
    names = list(found[0]["limits"])
    head = "".join(f"<th>{name}</th>" for name in ("design", *names))
    rows = []
    for design in found:
        cells = [design["name"]]
        for name in names:
            middle, low, high = design["limits"][name]
            cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
        rows.append(_row(cells, ""))
    said = "Over the limit: below 1 holds. In brackets, the interval of the mean over seeds."
    return f"<p class='dim'>{said}</p><table><tr>{head}</tr>{''.join(rows)}</table>"


def _row(cells: list[str], kind: str) -> str:
    return f'<tr class="{kind}">' + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


def figure_of(name: str, svg: bytes) -> str:
    """An SVG for a page. Ids are made the figure's own, since several SVGs share one page."""
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{name}-", text)
    caption = CAPTIONS.get(name.split("-")[0], "")
    return f"<figure>{text}<figcaption>{html.escape(caption)}</figcaption></figure>"


def replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, path)
