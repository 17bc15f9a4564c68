"""What may be struck: every offer is a fault that a scenario takes, and names what was selected."""

import tomllib
from pathlib import Path

import pytest
import tomli_w
from command_runs import HELLO
from kept_runs import deck_of, hello

from emu.scenario.load import load
from tui.offers import offers


def test_the_selected_machine_and_request_are_offered() -> None:
    deck = deck_of(hello(), 1.8)
    deck.machine, deck.request = 1, 2
    words = [offer.words for offer in offers(deck.scene())]
    assert words[0] == "cancel r2"
    assert "cut prefill-0 to decode-0 for 10 s" in words
    assert "crash decode-0 for 20 s" in words
    deck.request = 11  # not there yet
    assert not any(words.startswith("cancel") for words in (offer.words for offer in offers(deck.scene())))


@pytest.mark.parametrize("number", range(20))
def test_every_offer_is_a_fault_that_a_scenario_takes(number: int, tmp_path: Path) -> None:
    deck = deck_of(hello(), 1.8)
    deck.machine, deck.request = 1, 2
    found = offers(deck.scene())
    assert len(found) == 20
    path = tmp_path / "struck.toml"
    document = {**tomllib.loads(HELLO.read_text()), "faults": [{"at_s": 2.0, **found[number].fault}]}
    path.write_text(tomli_w.dumps(document))
    assert load(path, (), None).faults[0].kind == found[number].fault["kind"]
