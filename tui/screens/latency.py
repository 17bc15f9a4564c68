"""Latency: the run as curves over time, with the limits that it is held to: percentiles, rates, queues, pools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from emu.view.survey import PS_PER_S, Interval, Survey, percentile_s
from tui.glyphs import Line, Span, clock, curve, fit, resample, thousands
from tui.scene import Scene
from tui.screens.page import Page, centred, heading

LABEL = 28


class Curve(NamedTuple):
    """One figure by interval: its name, a value of each interval, a role, and how a value is written.

    `limit`: what must not be passed, and then the least height of the curve. `steady`: shown only where it changes.
    """

    name: str
    value: Callable[[Interval, float], float | None]
    role: str
    write: Callable[[float], str]
    limit: float = 0.0
    steady: bool = False


def _seconds(value: float) -> str:
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.1f} s"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


CURVES: Sequence[Curve] = (
    Curve("TTFT p50", lambda now, _: percentile_s(now.ttft, 50), "prefill", _seconds),
    Curve("TTFT p99", lambda now, _: percentile_s(now.ttft, 99), "prefill", _seconds),
    Curve("mean gap p50 (TPOT)", lambda now, _: percentile_s(now.tpot, 50), "decode", _seconds),
    Curve("mean gap p99", lambda now, _: percentile_s(now.tpot, 99), "decode", _seconds),
    Curve("TTFT p99, of its SLO", lambda now, _: percentile_s(now.ttft_of_limit, 99), "prefill", _percent, 1.0),
    Curve("mean gap p99, of SLO", lambda now, _: percentile_s(now.gap_of_limit, 99), "decode", _percent, 1.0),
    Curve("E2E p99, of its SLO", lambda now, _: percentile_s(now.e2e_of_limit, 99), "text", _percent, 1.0),
    Curve("missed SLOs, share", lambda now, _: _missed(now), "bad", _percent),
    Curve("arrivals/s", lambda now, s: now.arrived / s, "text", thousands),
    Curve("completed/s", lambda now, s: now.completed / s, "good", thousands),
    Curve("tokens/s", lambda now, s: now.tokens / s, "decode", thousands),
    Curve("prompts that wait", lambda now, _: float(now.queued), "warn", thousands),
    Curve("in transfer", lambda now, _: float(now.moving), "reserved", thousands),
    Curve("decoding", lambda now, _: float(now.decoding), "decode", thousands),
    Curve("busy machines", lambda now, _: float(now.busy), "text", thousands),
    Curve("fullest KV", lambda now, _: now.used_permille / 1000, "held", _percent),
    Curve("power drawn", lambda now, _: now.power_w / 1e3 or None, "mixed", lambda value: f"{value:.0f} kW"),
    Curve("prefill pool", lambda now, _: float(now.pools[0]), "prefill", thousands, steady=True),
    Curve("decode pool", lambda now, _: float(now.pools[1]), "decode", thousands, steady=True),
    Curve("mixed pool", lambda now, _: float(now.pools[2]), "mixed", thousands, steady=True),
)


def _missed(now: Interval) -> float | None:
    ended = now.good + now.missed
    return now.missed / ended if ended else None


class Latency(Page):
    """All curves share one axis of time: the whole of what was read."""

    name = "latency"

    def __init__(self) -> None:
        self._of: tuple[Survey, int] | None = None  # which survey, and how long its intervals were
        self._over: list[list[float | None]] = []  # the curves' values of intervals that are over

    def _values(self, survey: Survey) -> list[list[float | None]]:
        """Of each interval those of all curves. What is over does not change, and is worked out once."""
        of = (survey, survey.interval_ps)
        if (
            self._of is None
            or self._of[0] is not survey
            or self._of[1] != survey.interval_ps
            or len(self._over) >= len(survey.intervals)
        ):
            self._of, self._over = of, []
        each_s = survey.interval_ps / PS_PER_S
        found = [[each.value(one, each_s) for each in CURVES] for one in survey.intervals[len(self._over) :]]
        self._over += found[:-1]
        return [*self._over, found[-1]]

    def draw(self, scene: Scene, width: int, height: int) -> list[Line]:
        intervals = scene.survey.intervals
        if len(intervals) < 2:
            return centred(["curves begin when two seconds were read"], width, height)
        each_s = scene.survey.interval_ps / PS_PER_S
        values = zip(*self._values(scene.survey), strict=True)
        shown = [
            (each, of_it)
            for each, of_it in zip(CURVES, values, strict=True)
            if any(of_it) and not (each.steady and len(set(of_it)) == 1)
        ]
        rows = max(1, min(4, (height - 2) // max(1, len(shown))))
        room = max(10, width - LABEL)
        now = min(len(intervals) - 1, scene.view.at_ps // scene.survey.interval_ps)
        lines: list[Line] = [
            heading(
                "latency",
                f"{each_s:.0f} s an interval; ▏ is now, what is dim lies ahead; of its SLO: a full column is all of it",
            )
        ]
        for each, of_it in shown:
            lines += _curve_lines(each, of_it, now, room, rows)
        end_ps = len(intervals) * scene.survey.interval_ps
        axis = f"{clock(0)}".ljust(room // 2) + f"{clock(end_ps // 2)}"
        lines = lines[: height - 1]
        lines.append((Span(" " * LABEL), Span(fit(axis, room - 12) + f"{clock(end_ps):>12}", "dim")))
        return lines


def _curve_lines(each: Curve, values: Sequence[float | None], now: int, room: int, rows: int) -> list[Line]:
    columns = resample(values, room)
    most = max((value for value in columns if value is not None), default=0.0)
    top = each.limit or most
    here = values[now]
    passed = bool(each.limit) and most > each.limit
    split = min(room - 1, (now + 1) * room // len(values))
    lines: list[Line] = []
    for row, text in enumerate(curve(columns, top, rows)):
        if row == 0:
            label = (
                f"{each.name:<20}" if rows > 1 else f"{each.name:<20}{each.write(here) if here is not None else '-':>7}"
            )
            label += " PASSED" if passed and rows > 1 else ""
        elif row == 1:
            label = f"  now {each.write(here) if here is not None else '-'}"
            label += f", most {each.write(most)}" if rows == 2 else ""
        elif row == 2:
            label = f"  most {each.write(most)}"
        else:
            label = ""
        lines.append(
            (
                Span(fit(label, LABEL - 1) + " ", ("bad" if passed else each.role) if row == 0 else "dim"),
                Span(text[:split], each.role),
                Span("▏", "key"),
                Span(text[split + 1 :], "ahead"),
            )
        )
    return lines
