"""What may be struck: every offer is a fault that a scenario takes, and names what was selected."""

import tomllib
from pathlib import Path

import tomli_w
from attrs import evolve
from kept_runs import FAULTY, deck_of, faulty, hello

from emu.scenario.load import load
from tui.glyphs import Target
from tui.offers import Deed, offers, offers_at


def test_the_selected_machine_and_request_are_offered() -> None:
    deck = deck_of(hello(), 1.8)
    deck.machine, deck.request = 1, 2
    words = [deed.words for deed in offers(deck.scene())]
    assert words[0] == "cancel r2"
    assert "cut prefill-0 to decode-0 for 10 s" in words
    assert "crash decode-0 for 20 s" in words
    assert "let requests arrive 2 times as densely" in words
    deck.request = 11  # not there yet
    assert not any(words.startswith("cancel") for words in (deed.words for deed in offers(deck.scene())))


def test_what_is_pointed_at_is_offered_alone() -> None:
    scene = deck_of(faulty(), 6.5).scene()
    words = [deed.words for deed in offers_at(scene, Target("machine", 3))]
    assert words[0] == "heal it now: decode-1 is paused"
    assert all("decode-1" in each for each in words)
    link = [deed.words for deed in offers_at(scene, Target("link", "0>2"))]
    assert link[0] == "heal it now: the link prefill-0 to decode-0 is down"
    assert all("prefill-0" in each and "decode-0" in each for each in link)
    assert not offers_at(scene, Target("page", "why"))


def deeds() -> list[Deed]:
    """Every one that there may be, for a machine that is up and one that is not."""
    deck = deck_of(faulty(), 6.5)
    deck.machine, deck.request = 1, next(iter(deck.scene().view.requests))
    scene = deck.scene()
    view = scene.view
    down = view.machines[0]._replace(down_ps=10**12)
    gone = evolve(scene, view=view._replace(machines=(down, *view.machines[1:])))
    return [*offers(scene), *offers_at(gone, Target("machine", 0))]


def test_every_offer_is_one_that_a_scenario_takes(tmp_path: Path) -> None:
    path = tmp_path / "struck.toml"
    found = deeds()
    assert len(found) > 45
    for deed in found:
        document = tomllib.loads(FAULTY)
        document["workload"] |= {"client_timeout_s": 20.0, "client_retries": 2}  # for routers that crash
        document["transfer"] = {"clock_error": 0.05}
        section = document["faults"] if deed.is_fault else document.setdefault("actions", [])
        section.append({"at_s": 6.5, **deed.values})
        path.write_text(tomli_w.dumps(document))
        scenario = load(path, (), None)
        done = scenario.faults[-1] if deed.is_fault else scenario.actions[-1]
        assert done.kind == deed.values["kind"]
