"""Lines fit, fold without losing a word, and are set by what a terminal makes of them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.screen.lines import COLUMNS, LABEL_WIDTH, Said, folded, labelled, table, width_of, written

WORDS = st.text(alphabet="ab -.\u00e9\u0301\u6f22", max_size=60)


@given(words=WORDS, columns=st.integers(2, 20))
def test_folded_lines_fit_and_hold_every_sign_but_blanks(words: str, columns: int) -> None:
    lines = list(folded(words, columns))
    assert all(width_of(line) <= columns for line in lines)
    assert "".join(lines).replace(" ", "") == words.replace(" ", "")


@given(words=WORDS)
def test_what_fits_is_not_folded(words: str) -> None:
    assert list(folded(words, max(1, width_of(words)))) == [words]


def test_what_is_long_goes_on_below_itself() -> None:
    page = written(labelled([("label", "word " * 40), ("next", "short")]), colour=False).splitlines()
    assert len(page) > 2
    assert all(len(line) <= COLUMNS for line in page)
    assert [line[:LABEL_WIDTH].strip() for line in page] == ["label", *[""] * (len(page) - 2), "next"]


def test_columns_are_as_wide_as_a_terminal_shows_them() -> None:
    page = written(table(("pool", "value", ""), [("\u6f22", "1", "left"), ("e\u0301", "10,000", "too")]), colour=False)
    assert page.splitlines() == [
        "pool           value",
        "\u6f22                 1   left",
        "e\u0301             10,000   too",
    ]


@pytest.mark.parametrize("term", ["dumb", "", "xterm"])
def test_colour_needs_a_terminal_that_knows_it(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    coloured = written([(Said("FAIL", "bold red"), Said(" by much"))], colour=True)
    assert ("\x1b" in coloured) == (term == "xterm")
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == "FAIL by much\n"
    assert "\x1b" not in written([(Said("FAIL", "bold red"),)], colour=False)
