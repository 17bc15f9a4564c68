"""The plots of a plan, drawn by matplotlib: each a figure that can be written as SVG and as PNG.

The same outcome gives the same figure. What is shown was computed elsewhere; nothing here runs anything.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from emu.plan.outcome import UNITS
from emu.plan.pictures import Pictured

SIZE = (7.0, 4.2)
STYLE: Any = {
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "emu",
    "legend.frameon": False,
}
COLOURS = ("#4269d0", "#ef8a17", "#3ca951", "#d1495b", "#8e6bbf", "#6b7a8f", "#b08968", "#00798c")
TITLES = {"throughput": "Highest rate", "cost": "Least cost", "power": "Least power"}
LATENCY_NAMES = {"ttft_s": "time to first token", "tpot_s": "time per output token", "e2e_s": "end to end"}


def plots(outcome: Mapping[str, Any], pictures: Sequence[Pictured]) -> dict[str, Any]:
    """Figures by name, those that there is something to show for."""
    import matplotlib

    matplotlib.use("Agg")
    with matplotlib.rc_context(STYLE):
        found = {"rates": _rates(pictures), "pareto": _pareto(outcome)}
        found["latencies"] = _latencies(pictures)
        for picture in pictures:
            if len(picture.grid) > 1:
                found[f"split-{picture.name.lower()}"] = _grid(outcome, picture)
    return {name: figure for name, figure in found.items() if figure is not None}


def bars(outcomes: Sequence[tuple[str, Mapping[str, Any]]]) -> Any:
    """The same designs under several questions: a group of bars a question, a panel for each thing that is sought."""
    panels = {name: [one for one in outcomes if one[1]["objective"] == name] for name in UNITS}
    panels = {name: asked for name, asked in panels.items() if asked}
    if not panels:
        return None
    import matplotlib

    matplotlib.use("Agg")
    with matplotlib.rc_context(STYLE):
        return _bars(panels)


def _bars(panels: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]]) -> Any:
    from matplotlib.figure import Figure

    tallest = max(len(asked) for asked in panels.values())
    figure = Figure(figsize=(SIZE[0] * 2, 1.2 + 0.8 * tallest), layout="constrained")
    for axes, (sought, asked) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        names = [design["name"] for design in asked[0][1]["designs"]]
        thick = 0.8 / len(names)
        for index, (colour, name) in enumerate(zip(_colours(), names, strict=False)):
            scale = 1000 if sought == "power" else 1
            values = [
                next(((one["value"] or 0.0) / scale for one in outcome["designs"] if one["name"] == name), 0.0)
                for _, outcome in asked
            ]
            at = [row + (index - (len(names) - 1) / 2) * thick for row in range(len(asked))]
            axes.barh(at, values, height=thick * 0.9, color=colour, label=name)
        axes.set_yticks(range(len(asked)), [said.replace(", ", "\n") for said, _ in asked])
        axes.invert_yaxis()
        axes.set(xlabel="kW" if sought == "power" else UNITS[sought], title=TITLES[sought])
        axes.grid(visible=False, axis="y")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=6)
    return figure


def as_svg(figure: Any) -> bytes:
    return _written(figure, "svg", {"Date": None})


def as_png(figure: Any) -> bytes:
    return _written(figure, "png", {"Software": None})


def _written(figure: Any, kind: str, metadata: dict[str, None]) -> bytes:
    import matplotlib

    page = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(page, format=kind, metadata=metadata, dpi=140)
    return page.getvalue()


def _figure(columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SIZE[0] * (1 if columns == 1 else 1.5), SIZE[1]), layout="constrained")
    return figure, figure.subplots(1, columns)


def _rates(pictures: Sequence[Pictured]) -> Any:
    """Good requests against the rate offered, and beside it how near the worst percentile is to its limit."""
    pictures = [picture for picture in pictures if picture.curve]
    if not pictures:
        return None
    figure, (left, right) = _figure(2)
    for colour, picture in zip(_colours(), pictures, strict=False):
        rates, good, ratios = zip(*picture.curve, strict=True)
        left.plot(rates, good, "o-", color=colour, label=picture.name, markersize=3)
        shown = [(rate, ratio) for rate, ratio in zip(rates, ratios, strict=True) if isfinite(ratio)]
        right.plot([rate for rate, _ in shown], [ratio for _, ratio in shown], "o-", color=colour, markersize=3)
    top = max(point[0] for picture in pictures for point in picture.curve)
    left.plot([0, top], [0, top], color="#999999", linewidth=0.8, linestyle=":")
    left.set(xlabel="offered, requests/s", ylabel="within the limits, requests/s", title="Throughput")
    left.legend()
    right.axhline(1.0, color="#d1495b", linewidth=1.2)
    right.annotate("SLO", (0.01, 1.0), xycoords=("axes fraction", "data"), color="#d1495b", va="bottom")
    right.set(xlabel="offered, requests/s", ylabel="worst percentile over its limit", title="How near the SLOs")
    right.set_ylim(0, min(3.0, right.get_ylim()[1]))
    return figure


def _grid(outcome: Mapping[str, Any], picture: Pictured) -> Any:
    """The clusters that were tried, over (first group, second group), as the paper's Fig. 12."""
    figure, axes = _figure()
    design = next(one for one in outcome["designs"] if one["name"] == picture.name)
    groups = [f"{group['pool']} machines ({group['hardware']})" for group in design["machines"]]
    shown = [cell for cell in picture.grid if cell[1] > 0]
    if outcome["objective"] == "throughput":
        shades: dict[str, Any] = {"c": [rate for _, rate in shown], "cmap": "viridis"}
        label, title = "highest rate that passed, requests/s", "splits tried (hollow: at rates that were too high)"
    else:
        shades = {"c": [min(ratio, 2.0) for _, ratio in shown], "cmap": "RdYlGn_r", "vmin": 0.5, "vmax": 1.5}
        label, title = "worst percentile over its limit", f"clusters tried at {design['rate_rps']:g} requests/s"
    hollow = [counts for counts, value in picture.grid if not value > 0]
    axes.scatter(*_apart(hollow), marker="s", s=90, facecolors="none", edgecolors="#9aa5b1")
    figure.colorbar(
        axes.scatter(*_apart([cell[0] for cell in shown]), marker="s", s=90, **shades), ax=axes, label=label
    )
    best = design["counts"]
    axes.plot(best[0], best[1], marker="*", color="black", markersize=13, linestyle="")
    axes.annotate("answer", (best[0], best[1]), textcoords="offset points", xytext=(8, 8))
    axes.set(xlabel=groups[0], ylabel=groups[-1], title=f"{picture.name}: {title}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True)
    return figure


def _apart(counts: Sequence[tuple[int, ...]]) -> tuple[list[int], list[int]]:
    return [one[0] for one in counts], [one[1] for one in counts]


def _pareto(outcome: Mapping[str, Any]) -> Any:
    """Every design's answer by what it costs and by what it draws; on the front nobody gives more for less."""
    found = [design for design in outcome["designs"] if design["value"] is not None]
    if not found:
        return None
    figure, both = _figure(2)
    for axes, key, label, scale in zip(both, ("cost_per_hour", "power_w"), ("$ an hour", "kW"), (1, 1000), strict=True):
        points = [(design[key] / scale, design["rate_rps"]) for design in found]
        for colour, design, point in zip(_colours(), found, points, strict=False):
            axes.plot(*point, "o", color=colour)
            axes.annotate(design["name"], point, textcoords="offset points", xytext=(5, 4))
        front = sorted(p for p in points if not any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in points))
        axes.plot([x for x, _ in front], [y for _, y in front], color="#999999", linewidth=0.8, zorder=0)
        axes.set(xlabel=label, ylabel="requests/s within the SLOs", title=f"Throughput and {label}")
        axes.margins(0.2)
    return figure


def _latencies(pictures: Sequence[Pictured]) -> Any:
    shown = [picture for picture in pictures if picture.latencies]
    if not shown:
        return None
    figure, panels = _figure(3)
    for axes, (key, name) in zip(panels, LATENCY_NAMES.items(), strict=True):
        for colour, picture in zip(_colours(), shown, strict=False):
            values = picture.latencies[key]
            axes.plot(
                values,
                [step / max(1, len(values) - 1) for step in range(len(values))],
                color=colour,
                label=picture.name,
            )
        axes.set(xlabel=f"{name}, s", title=name)
        axes.set_xscale("log")
    panels[0].set_ylabel("share of requests")
    panels[0].legend()
    return figure


def _colours() -> tuple[str, ...]:
    return COLOURS * 4
