"""Steering a run in its own process: hold, step, strike, rewind and go on from there; what is saved repeats it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from math import inf
from pathlib import Path

import pytest
from command_runs import HELLO
from kept_runs import hello

from emu.execute import execute
from emu.refusal import Refusal
from emu.scenario.load import load
from emu.view.reader import Reader
from tui.deck import Deck
from tui.offers import Deed, offers, rate_deed
from tui.operate import Operator, operate, slo_of
from tui.player import Player

DEADLINE_S = 60.0


@pytest.fixture
def operator() -> Iterator[Operator]:
    """hello.toml, held before its first instant."""
    operator = Operator(load(HELLO, (), None), None, inf, held=True)
    yield operator
    operator.close()


def deck_of(operator: Operator) -> Deck:
    return Deck(Player(Reader(operator.folder, slo_of(operator.scenario)), live=True))


def until(operator: Operator, deck: Deck, wanted: object) -> list[str]:
    """Let the run say things until `wanted()`; what it said."""
    assert callable(wanted)
    said: list[str] = []
    ends = time.monotonic() + DEADLINE_S
    while not wanted():
        assert time.monotonic() < ends, said
        said += operator.poll(deck)
        deck.player.tick(0.01, 0.1)
        time.sleep(0.005)
    return said


def headless_digest(path: Path) -> str:
    digest: str = execute(load(path, (), None)).summary["digest"]
    return digest


def test_a_run_that_is_only_watched_is_the_run(operator: Operator, tmp_path: Path) -> None:
    """Its machines look for lost messages, since a fault may come: only the last words of the record are later."""
    deck = deck_of(operator)
    operator.hold(False)
    until(operator, deck, lambda: operator.digest is not None and deck.player.reader.over)
    operator.save(tmp_path / "watched.toml")
    assert operator.digest == headless_digest(tmp_path / "watched.toml")
    watched, alone = ((folder / "record.jsonl").read_text().splitlines() for folder in (operator.folder, hello()))
    assert watched[1:-5] == alone[1:-5]  # the first line says whether faults may come
    assert deck.player.view().counts.completed == 12
    deck.player.reader.close()


def test_a_session_of_steps_and_faults_is_saved_as_a_scenario_that_repeats_it(
    operator: Operator, tmp_path: Path
) -> None:
    deck = deck_of(operator)
    operator.run_to(2 * 10**12)
    until(operator, deck, lambda: deck.player.end_ps >= 2 * 10**12)
    before = deck.player.reader.front_ps
    assert before <= 2 * 10**12
    operator.step()
    until(operator, deck, lambda: deck.player.reader.front_ps > before)
    operator.do(Deed("", {"kind": "slow", "machine": "decode-0", "factor": 4.0, "heal_after_s": 2.0}))
    until(operator, deck, lambda: len(operator.struck) == 1)
    operator.hold(False)
    until(operator, deck, lambda: operator.digest is not None)
    path = tmp_path / "session.toml"
    operator.save(path)
    assert headless_digest(path) == operator.digest
    assert operator.digest != headless_digest(HELLO)
    with pytest.raises(Refusal, match="expected a file to make"):
        operator.save(path)
    deck.player.reader.close()


def test_acting_on_the_past_starts_a_run_that_repeats_it_and_goes_on(operator: Operator, tmp_path: Path) -> None:
    deck = deck_of(operator)
    operator.hold(False)
    until(operator, deck, lambda: operator.digest is not None)
    first = (operator.folder / "record.jsonl").read_bytes()
    moment = 3_123_456_789_012
    fresh = operator.do_at(Deed("", {"kind": "pause", "machine": "decode-0", "heal_after_s": 1.0}), moment, deck)
    deck.player.reader.close()
    until(operator, fresh, lambda: fresh.player.end_ps >= moment)
    assert fresh.player.end_ps < moment + 10**11
    operator.hold(False)
    until(operator, fresh, lambda: operator.digest is not None)
    second = (operator.folder / "record.jsonl").read_bytes()
    common = next(n for n, (a, b) in enumerate(zip(first.splitlines(), second.splitlines(), strict=False)) if a != b)
    at_ps = json.loads(second.splitlines()[common])["at_ps"]
    assert at_ps == 3_123_457_000_000
    path = tmp_path / "branch.toml"
    operator.save(path)
    assert headless_digest(path) == operator.digest
    fresh.player.reader.close()


DELAYED = """
[[delays]]
nth = 3
kind = "Signal"
by_s = 0.01
"""


def test_rates_and_early_heals_are_saved_as_actions_that_repeat_the_session(tmp_path: Path) -> None:
    """Several orders at once, too, each with a time of its own, and beside a plan that has a delay."""
    planned = tmp_path / "planned.toml"
    planned.write_text(HELLO.read_text() + DELAYED)
    operator = Operator(load(planned, (), None), None, inf, held=True)
    try:
        deck = deck_of(operator)
        operator.run_to(10**12)
        until(operator, deck, lambda: deck.player.end_ps >= 10**12)
        operator.do(rate_deed(4.0))
        operator.do(Deed("", {"kind": "pause", "machine": "decode-0", "heal_after_s": 5.0}))
        operator.do(Deed("", {"kind": "crash", "machine": "prefill-0"}))
        until(operator, deck, lambda: len(operator.struck) == 2)
        operator.run_to(2 * 10**12)
        until(operator, deck, lambda: deck.player.reader.front_ps > 10**12 and deck.player.end_ps >= 2 * 10**12)
        view = deck.player.view()
        assert view.rate_permille == 4000
        heals = [deed for deed in offers(deck.scene()) if deed.values["kind"] == "heal"]
        assert [deed.words for deed in heals] == [
            "heal it now: decode-0 is paused",
            "heal it now: prefill-0 has crashed",
        ]
        for deed in heals:
            operator.do(deed)
        operator.do(rate_deed(0.5))
        until(operator, deck, lambda: len(operator.acted) == 4)
        operator.hold(False)
        until(operator, deck, lambda: operator.digest is not None and deck.player.reader.over)
        view = deck.player.view()
        assert not view.faults
        assert not view.crashes
        assert view.counts.completed == 12
        operator.save(tmp_path / "session.toml")
        assert headless_digest(tmp_path / "session.toml") == operator.digest
        deck.player.reader.close()
    finally:
        operator.close()


def test_what_a_scenario_cannot_say_is_not_done(operator: Operator) -> None:
    """A router that crashes needs clients that send again: here, and on a moment of the past, which stays as it was."""
    deck = deck_of(operator)
    crash = Deed("", {"kind": "router_crash"})
    operator.run_to(10**12)
    operator.do(crash)
    ends, said = time.monotonic() + DEADLINE_S, list[str]()
    while not said and time.monotonic() < ends:
        said = operator.poll(deck)
        time.sleep(0.005)
    assert "client_timeout_s" in said[0]
    operator.hold(False)
    until(operator, deck, lambda: operator.digest is not None)
    with pytest.raises(Refusal, match="client_timeout_s"):
        operator.do_at(crash, 10**12, deck)
    assert not operator.struck
    assert deck.player.view().counts.completed == 12
    deck.player.reader.close()


def test_a_run_that_cannot_begin_says_why(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('name = "bad"\nmodel = "llama2-70b"\n')
    with pytest.raises(Refusal):
        operate(path, (), None, None, 1.0)
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "there").write_text("")
    with pytest.raises(Refusal, match="is empty"):
        operate(HELLO, (), None, kept, 1.0)


def test_leaving_ends_the_process_and_what_it_wrote(operator: Operator) -> None:
    folder = operator.folder
    deck_of(operator).player.reader.close()
    process = operator.process
    assert process is not None
    operator.close()
    assert process.poll() is not None
    assert not folder.exists()
    assert not folder.with_name(folder.name + ".partial").exists()


@pytest.mark.parametrize("pace", [1.0, None])
def test_a_run_whose_operator_is_gone_ends_without_a_word(tmp_path: Path, pace: float | None) -> None:
    scenario = HELLO.with_name("splitwise_hh.toml")
    settings: dict[str, object] = {"scenario": str(scenario), "overrides": [], "seed": None, "pace": pace}
    settings |= {"out": str(tmp_path / "run"), "until_ps": 0, "held": False}
    feed = subprocess.Popen(
        [sys.executable, "-m", "tui.feed", json.dumps(settings)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert feed.stdout is not None
    feed.stdout.readline()  # it has begun
    _, said = feed.communicate(timeout=60)
    assert (feed.returncode, said) == (130, b"")
    assert list(tmp_path.iterdir()) == []
