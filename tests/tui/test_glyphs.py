"""The pieces that pages are drawn with: exact widths, nothing that is there is drawn as nothing."""

from hypothesis import given
from hypothesis import strategies as st

from tui.glyphs import (
    Span,
    age,
    bar,
    beside,
    box,
    clock,
    curve,
    cut,
    fit_line,
    plain,
    resample,
    stacked,
    thousands,
    width_of,
)

shares = st.floats(0, 1)
widths = st.integers(1, 60)


@given(shares, widths)
def test_a_bar_has_its_width_and_shows_what_is_there(share: float, width: int) -> None:
    drawn = bar(share, width)
    assert width_of(drawn) == width
    assert bool(drawn[0].text) == (share > 0)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=5), st.integers(8, 60))
def test_stacked_parts_have_their_width_together(amounts: list[float], width: int) -> None:
    total = max(1.0, sum(amounts))
    line = stacked([(amount, "█▓▒░✗"[n], "text") for n, amount in enumerate(amounts)], total, width)
    assert width_of(line) == width
    for glyph, amount in zip("█▓▒░✗", amounts, strict=False):
        assert (glyph in plain([line])) == (amount > 0)


@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=200), widths)
def test_resampled_columns_keep_the_highest(values: list[float | None], width: int) -> None:
    columns = resample(values, width)
    known = [value for value in values if value is not None]
    assert len(columns) == (width if values else 0)
    found = [value for value in columns if value is not None]
    assert max(found, default=None) == max(known, default=None)


@given(st.lists(st.floats(0, 50), min_size=1, max_size=40), st.integers(1, 6))
def test_a_curve_fills_from_below(values: list[float], height: int) -> None:
    rows = curve(values, 50.0, height)
    assert len(rows) == height
    assert all(len(row) == len(values) for row in rows)
    for column, value in enumerate(values):
        drawn = [row[column] for row in rows]
        assert drawn == sorted(drawn, key=" ▁▂▃▄▅▆▇█".index)
        assert (drawn[-1] != " ") == (value > 0)


@given(st.text(max_size=30), st.integers(0, 20))
def test_cut_text_fits(text: str, width: int) -> None:
    assert len(cut(text, width)) <= width
    assert cut(text, 30) == text


def test_lines_are_cut_and_filled() -> None:
    line = (Span("abc", "bad"), Span("defgh"))
    assert plain([fit_line(line, 5)]) == "abcd…"
    assert width_of(fit_line(line, 12)) == 12
    assert fit_line(line, 12)[0] == Span("abc", "bad")


def test_blocks_beside_each_other_and_in_boxes() -> None:
    assert plain(beside([(Span("a"),)], [(Span("x"),), (Span("y"),)], 3)) == "a   x\n    y"
    assert plain(box([(Span("in"),)], 10, (Span("name"),))).splitlines() == ["╭─name ──╮", "│in      │", "╰────────╯"]


def test_figures_stay_short() -> None:
    assert [thousands(value) for value in (0, 812, 8190, 85661, 1.3e6)] == ["0", "812", "8.2k", "86k", "1.3M"]
    times = (0, 12 * 10**9, 3_400 * 10**9, 128 * 10**12, 3 * 10**16)
    assert [age(value) for value in times] == ["0us", "12ms", "3.4s", "128s", "500m"]
    assert [clock(value) for value in (12_345 * 10**9, 3_723_456 * 10**9)] == ["12.345", "1:02:03.456"]
