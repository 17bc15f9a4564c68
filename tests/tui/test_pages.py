"""Every page as text: what it says at a moment, at any size, and what its keys lead to."""

from math import inf, log
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import pytest
from attrs import evolve
from kept_runs import deck_of, faulty, hello

from emu.commands.look import open_reader
from emu.view.reader import INDEX
from emu.view.rows import NEVER
from emu.view.survey import PS_PER_S
from tui.deck import PAGES, Deck, violation
from tui.frame import draw_screen
from tui.glyphs import plain, width_of
from tui.player import Player
from tui.scene import Intent

SIZES = ((80, 24), (200, 50), (120, 36), (40, 10), (20, 5), (60, 12))


def text(deck: Deck, page: str, width: int = 120, height: int = 36) -> str:
    deck.open(page)
    return plain(deck.draw(deck.scene(), width, height))


@pytest.mark.parametrize("page", [*PAGES, "help"])
@pytest.mark.parametrize("at_s", [0.0, 1.8, 7.0, 500.0])
def test_every_page_fits_every_size_at_every_moment(page: str, at_s: float) -> None:
    for folder in (hello(), faulty()):
        deck = deck_of(folder, at_s)
        deck.request = 2
        deck.open(page)
        for width, height in SIZES:
            lines = deck.draw(deck.scene(), width, height)
            assert len(lines) == height
            assert {width_of(line) for line in lines} == {width}


def test_the_cluster_says_what_every_machine_does() -> None:
    said = text(deck_of(hello(), 1.8), "cluster")
    assert "1.800 s" in said
    assert "P prefill 4.1kt 284ms" in said
    assert "D decode   x2" in said or "D decode  x2" in said
    assert "follows its prefill" in said
    assert "open 4  done 0" in said


def test_the_cluster_shows_who_is_paused_and_which_link_is_cut() -> None:
    deck = deck_of(faulty(), 6.5)
    said = text(deck, "cluster")
    assert "‖ paused" in said
    incident = text(deck, "incident")
    assert "decode-1 is paused" in incident
    assert "the link prefill-0 to decode-0 is down" in incident
    assert "2 faults" in incident


def test_all_well_is_one_line() -> None:
    said = text(deck_of(hello(), 1.8), "incident")
    assert "✓ all well: 4 requests open" in said
    assert "worst first" not in said


def test_a_finding_leads_to_its_moment() -> None:
    deck = deck_of(faulty(), 6.5)
    deck.open("incident")
    deck.draw(deck.scene(), 120, 36)
    intents = deck.page.key("enter", deck.scene())
    assert intents is not None
    assert Intent("time", 4 * 10**12) in intents
    assert Intent("machine", 3) in intents
    assert deck.page.key("A", deck.scene()) == intents
    assert Intent("time", 6 * 10**12) in (deck.page.key("B", deck.scene()) or ())
    assert deck.page.key("E", deck_of(hello(), 1.8).scene()) is None


def test_requests_are_sorted_and_filtered() -> None:
    deck = deck_of(hello(), 1.8)
    said = text(deck, "requests")
    assert said.index("r0 ") < said.index("r1 ") < said.index("r2 ")
    for _ in range(3):
        deck.page.key("o", deck.scene())
    said = text(deck, "requests")
    assert "longest prompt first" in said
    assert said.index("r2 ") < said.index("r0 ")
    deck.page.filtered("decode r1")
    said = text(deck, "requests")
    assert "1 of 4 open" in said
    assert "r2 " not in said.split("from arrival")[0]
    deck.page.filtered("ended")
    assert "requests that ended  the latest 0" in text(deck, "requests")


def test_a_life_is_drawn_over_its_machines() -> None:
    deck = deck_of(hello(), 3.0)
    deck.page.filtered("")
    said = text(deck, "requests")
    life = said[said.index("each line a machine") :]
    assert "prefill-0" in life
    assert "decode-0" in life
    assert "prefill 77" in life or "prefill 78ms" in life


def test_events_are_the_record_and_lead_to_its_times() -> None:
    deck = deck_of(hello(), 1.8)
    said = text(deck, "events")
    assert "r2 arrived: 4,081 prompt tokens" in said
    assert "r3 queued" in said
    deck.page.filtered("arrived r2")
    said = text(deck, "events")
    assert "r2 arrived" in said
    assert "r3 queued" not in said
    assert deck.page.key("enter", deck.scene()) == (Intent("time", 1515990000000), Intent("request", 2))


def test_a_machine_shows_batch_blocks_and_loans() -> None:
    deck = deck_of(hello(), 1.8)
    said = text(deck, "machine", 160, 40)
    assert "P r2         4081 tokens   256 blocks" in said
    assert "r2         256 blocks held for it" in said
    assert deck.page.key("right", deck.scene()) == (Intent("machine", 1),)
    deck.machine = 1
    assert "D r0" in text(deck, "machine", 160, 40)


def test_why_follows_the_chosen_request() -> None:
    deck = deck_of(hello(), 1.92)
    deck.request = 2
    said = text(deck, "why")
    assert "r2's cache landed on decode-0" in said
    assert "└ decode-0 decodes 2 sequences" in said
    deck.request = 11
    assert "it is not open at this moment" in text(deck, "why")


def test_why_of_what_is_over_leads_to_its_longest_wait() -> None:
    deck = deck_of(hello(), 12.0)
    deck.request = 2
    said = text(deck, "why")
    assert "it waited the longest in transfer (" in said
    assert "decode-0" in said
    (intent,) = deck.page.key("enter", deck.scene()) or ()
    assert intent.kind == "time"
    deck.player.seek(int(intent.value))
    assert "r2's cache landed on decode-0" in text(deck, "why")


def test_broken_laws_come_first_and_are_marked() -> None:
    deck = deck_of(hello(), 3.0)
    assert "none broken" in text(deck, "laws")
    deck.add_broken([violation("littles-law", 2.5, "the queue lied")])
    said = text(deck, "laws")
    assert said.index("✗ littles-law") < said.index("✓ ")
    assert "2.500" in said
    assert "the queue lied" in said
    assert deck.page.key("enter", deck.scene()) == (Intent("time", 2_500_000_000_000),)
    timeline = text(deck, "cluster").splitlines()[-3]
    assert "L" in timeline
    deck.add_broken([violation("littles-law", 2.5, "the queue lied")])
    assert len(deck.broken) == 1


def test_curves_share_the_time_of_the_run() -> None:
    said = text(deck_of(hello(), 9.0), "latency")
    assert "TTFT p50" in said
    assert "tokens/s" in said
    assert "decode pool" not in said  # no machine ever moves
    growing = Deck(Player(open_reader(hello())))
    assert "curves begin" in text(growing, "latency")
    growing.player.reader.close()


def test_curves_stand_beside_the_limits_that_are_promised() -> None:
    deck = deck_of(hello(), 9.0)
    deck.open("latency")
    said = text(deck, "latency", 160, 60)
    assert "TTFT p99, of its SLO" in said
    assert "PASSED" not in said
    deck.player.reader.survey.intervals[5].ttft_of_limit = {int(log(3.0 * PS_PER_S) / log(1.05)): 1}
    deck = Deck(Player(deck.player.reader, 9 * PS_PER_S))
    late = next(line for line in text(deck, "latency", 160, 60).splitlines() if "TTFT p99, of its SLO" in line)
    assert "PASSED" in late
    assert "█" in late  # as high as it goes


def test_curves_of_a_record_that_grows_are_those_of_one_that_is_read_at_once(tmp_path: Path) -> None:
    folder = Path(copytree(faulty(), tmp_path / "copy", ignore=ignore_patterns(INDEX)))
    growing = open_reader(folder)
    deck = Deck(Player(growing))
    for second in range(1, 30, 3):
        growing.advance(until_ps=second * 10**12)
        deck.player.seek(second * 10**12)
        deck.open("latency")
        grown = text(deck, "latency")
        fresh = Deck(Player(growing, deck.player.at_ps))
        assert grown == text(fresh, "latency")
    growing.close()


def test_nothing_chosen_is_said() -> None:
    deck = deck_of(hello(), 0.0)
    assert deck.request == NEVER
    assert "choose who waits" in text(deck, "why")
    assert "nobody" in text(deck, "requests")


def test_the_foot_says_what_the_marks_mean_that_there_are() -> None:
    foot = text(deck_of(faulty(), 9.0), "cluster", 160).splitlines()[-1]
    for words in ("F fault", "D dead", "h back", "! symptom"):
        assert words in foot
    assert "law broken" not in foot
    assert "fault" not in text(deck_of(hello(), 2.0), "why", 160).splitlines()[-1]


@pytest.mark.parametrize("page", PAGES)
def test_help_and_the_way_out_are_named_at_every_width(page: str) -> None:
    for width in (80, 100, 200):
        foot = text(deck_of(hello(), 1.8), page, width, 24).splitlines()[-1]
        assert "? help  q quit" in foot
        assert "x fault" not in foot  # a kept record takes none


def test_what_is_said_is_said_whole() -> None:
    deck = deck_of(faulty(), 6.5)
    deck.message = "splitwise.toml: faults[1].kind: expected workload.client_timeout_s and client_retries beside it"
    narrow = text(deck, "cluster", 80, 24).splitlines()
    assert "✗" in narrow[1]
    assert f"{narrow[2]} {narrow[3]}" == deck.message
    assert deck.message in text(deck, "cluster", 200, 24).splitlines()[1]


def test_laws_for_faults_are_listed_where_faults_may_strike() -> None:
    assert "40 laws" in text(deck_of(hello(), 1.0), "laws")
    assert "44 laws" in text(deck_of(faulty(), 1.0), "laws")


def test_a_life_that_is_long_is_read_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emu.view.search.CHUNK_BYTES", 2000)
    deck, whole = deck_of(hello(), 3.0), deck_of(hello(), 3.0)
    deck.life_s = 0.0
    assert "its life is being read" in text(deck, "requests")
    slices = 1
    while deck.tick(0.0, 0.0):
        slices += 1
    assert slices > 3
    assert text(deck, "requests") == text(whole, "requests")


@pytest.mark.parametrize("page", PAGES)
def test_pages_take_no_key_that_they_do_not_name(page: str) -> None:
    deck = deck_of(faulty(), 6.5)
    deck.open(page)
    for key in ("up", "down", "left", "right", "pageup", "pagedown", "enter", "o", "m", "x", "1", "n", "/"):
        if key not in deck.page.keys:
            assert deck.page.key(key, deck.scene()) is None


def test_the_clock_says_what_speed_is_reached() -> None:
    deck = deck_of(hello(), 1.8)
    scene = deck.scene()

    def clock(**values: Any) -> str:
        return plain(draw_screen(evolve(scene, clock=evolve(scene.clock, **values)), deck.page, PAGES, 120, 30)[:1])

    assert "x10 (runs at x4.2)" in clock(playing=True, pace=10.0, reached=4.2)
    assert "unlimited (runs at x14)" in clock(playing=True, pace=inf, reached=14.0)
    assert "(runs" not in clock(playing=True, pace=10.0, reached=9.9)
    assert "(runs" not in clock(playing=True, pace=10.0, reached=0.0)  # not measured yet
    assert "x4.2  LIVE" in clock(playing=True, live=True, follow=True, pace=1.0, reached=4.2)  # not ours to pace
    assert "REPEATS up to 3.000 s" in clock(live=True, follow=True, steered=True, repeats_ps=3 * PS_PER_S)
