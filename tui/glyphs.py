"""Glyphs: the small pieces that every page is drawn with: spans of text with a role, bars, curves, cut words.

A role is what a span means ("prefill", "bad"), never a colour: `tui.palette` gives it one. Every glyph differs from
its neighbours without colour too. Nothing here knows clusters or Textual.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
MARKS: Final = "LFDhlxrcsmp!"  # of a timeline, in the order of `emu.view.survey.Mark`
FILL: Final = "█▓▒░✗·"  # running, reserved, held, pinned, orphan, free


class Target(NamedTuple):
    """What a click on a span asks for: `kind` is request, machine, link (0>3), time, page or key.

    Of kind times (`low:high`, in picoseconds) a span is a scale: which time is meant follows from where it was clicked.
    """

    kind: str
    value: int | str


class Span(NamedTuple):
    """A piece of a line: one role, one target."""

    text: str
    role: str = "text"
    target: Target | None = None


Line: TypeAlias = tuple[Span, ...]
EMPTY: Final[Line] = ()


def pointed(span: Span, offset: int) -> Target | None:
    """Where a click on that character of a span leads."""
    target = span.target
    if target is None or target.kind != "times":
        return target
    low, high = map(int, str(target.value).split(":"))
    return Target("time", low + (2 * offset + 1) * (high - low) // (2 * len(span.text)))


def plain(lines: Iterable[Line]) -> str:
    """What a reader without colours sees; trailing blanks are dropped."""
    return "\n".join("".join(span.text for span in line).rstrip() for line in lines)


def width_of(line: Line) -> int:
    return sum(len(span.text) for span in line)


def cut(text: str, width: int) -> str:
    """At most `width` characters, an ellipsis in place of what is left out."""
    if width <= 0:
        return ""
    return text if len(text) <= width else text[: width - 1] + "…"


def fit(text: str, width: int) -> str:
    """Exactly `width` characters, cut or filled up on the right."""
    return cut(text, width).ljust(max(0, width))


def fit_line(line: Line, width: int, role: str = "text") -> Line:
    """Exactly `width` characters, cut or filled up."""
    left = width - sum([len(span.text) for span in line])
    if left == 0:
        return line
    if left > 0:
        return *line, Span(" " * left, role)
    left, spans = width, []
    for span in line:
        long = len(span.text)
        if long > left:
            spans.append(Span(cut(span.text, left), span.role, span.target))
            break
        spans.append(span)
        left -= long
        if not left:
            break
    return tuple(spans)


def beside(left: Sequence[Line], right: Sequence[Line], left_width: int, gap: int = 1) -> list[Line]:
    """Two blocks of lines, one beside the other."""
    rows = max(len(left), len(right))
    space = Span(" " * gap)
    return [
        (
            *fit_line(left[row] if row < len(left) else EMPTY, left_width),
            space,
            *(right[row] if row < len(right) else EMPTY),
        )
        for row in range(rows)
    ]


def bar(share: float, width: int, role: str = "text") -> Line:
    """A share of 1 as a bar to an eighth of a character; what is not nothing is never empty."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    if share > 0 and not eighths:
        eighths = 1
    whole, rest = divmod(eighths, 8)
    parts = " ▏▎▍▌▋▊▉"[rest] if rest else ""
    return Span("█" * whole + parts, role), Span(" " * (width - whole - len(parts)), "empty")


def stacked(parts: Sequence[tuple[float, str, str]], total: float, width: int) -> Line:
    """Parts of a total, (amount, glyph, role), each at least one character if it is there; the rest is free."""
    cells = [max(1, round(amount * width / total)) if amount > 0 and total else 0 for amount, _, _ in parts]
    while sum(cells) > width and max(cells) > 1:
        cells[cells.index(max(cells))] -= 1
    spans = [Span(glyph * count, role) for count, (_, glyph, role) in zip(cells, parts, strict=True) if count]
    return *spans, Span("·" * max(0, width - sum(cells)), "empty")


def curve(values: Sequence[float | None], top: float, height: int) -> list[str]:
    """Columns of blocks, `height` lines from the top down; None is a gap, what is above `top` fills its column."""
    if top <= 0:
        return [" " * len(values)] * height
    most = 8 * height
    eighths = most / top
    levels = [min(most, int(value * eighths + 0.5) or 1) if value and value > 0 else 0 for value in values]
    rows = []
    for floor in range(most - 8, -8, -8):
        glyphs = "".join([EIGHTHS[max(0, min(8, level - floor))] for level in range(most + 1)])
        rows.append("".join([glyphs[level] for level in levels]))
    return rows


def resample(values: Sequence[float | None], width: int) -> list[float | None]:
    """So many columns, the highest value of each; fewer values are stretched."""
    if not values or width <= 0:
        return []
    edges = [column * len(values) // width for column in range(width + 1)]
    if len(values) <= width:
        return [values[low] for low in edges[:-1]]
    found: list[float | None] = []
    for low, high in pairwise(edges):
        piece = [value for value in values[low:high] if value is not None]
        found.append(max(piece) if piece else None)
    return found


def thousands(value: float) -> str:
    """Three digits at most: 812, 8.2k, 14k, 1.3M."""
    if abs(value) < 1000:
        return f"{value:.0f}"
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            short = value / unit
            return f"{short:.1f}{name}" if abs(short) < 9.95 else f"{short:.0f}{name}"
    return f"{value:.0f}"


def age(duration_ps: int) -> str:
    """How long, in at most five characters: 0us, 12ms, 3.4s, 128s, 14m."""
    s = duration_ps / 10**12
    if s < 0:
        return "-"
    if s < 0.0005:
        return f"{s * 1e6:.0f}us"
    if s < 0.9995:
        return f"{s * 1e3:.0f}ms"
    if s < 99.95:
        return f"{s:.1f}s"
    if s < 9999:
        return f"{s:.0f}s"
    return f"{s / 60:.0f}m"


def clock(at_ps: int) -> str:
    """A moment: 12.345, or 1:02:03.456 from a minute on."""
    milliseconds = at_ps // 10**9
    s, ms = divmod(milliseconds, 1000)
    if s < 60:
        return f"{s}.{ms:03}"
    minutes, s = divmod(s, 60)
    if minutes < 60:
        return f"{minutes}:{s:02}.{ms:03}"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{s:02}.{ms:03}"


def box(lines: Sequence[Line], width: int, title: Line, role: str = "frame", height: int | None = None) -> list[Line]:
    """A frame around lines, its title in the upper edge."""
    inner = width - 2
    head = fit_line((*title, Span(" ", role)), min(width_of(title) + 1, inner - 1)) if title else EMPTY
    body = list(lines) if height is None else [*lines, *([EMPTY] * height)][: height - 2]
    rule = "─" * max(0, inner - 1 - width_of(head))
    first = (Span("╭─", role), *head, Span(rule + "╮", role))
    rows = [(Span("│", role), *fit_line(line, inner), Span("│", role)) for line in body]
    return [first, *rows, (Span("╰" + "─" * inner + "╯", role),)]
