"""A few whole screens as pictures, of a record written by hand.

Where a page is meant to look different, EMU_DRAW=1 pytest tests/tui/test_snapshots.py draws them anew: look at them.
"""

import os
from pathlib import Path

import pytest
from kept_runs import deck_of
from made_up_record import folder_of

from tui.picture import svg

PICTURES = Path(__file__).with_name("pictures")


@pytest.mark.parametrize(
    ("page", "theme", "width", "height"),
    [
        ("incident", "dark", 80, 24),
        ("cluster", "dark", 120, 36),
        ("why", "light", 80, 24),
        ("machine", "mono", 110, 30),
    ],
)
def test_a_screen_looks_as_it_did(tmp_path: Path, page: str, theme: str, width: int, height: int) -> None:
    deck = deck_of(folder_of(tmp_path / "run"), 5.5)
    deck.request, deck.machine = 2, 2
    deck.open(page)
    drawn = svg(deck, width, height, theme)
    path = PICTURES / f"{page}-{theme}-{width}x{height}.svg"
    if "EMU_DRAW" in os.environ:
        path.write_text(drawn, encoding="utf-8")
    assert drawn == path.read_text(encoding="utf-8")
