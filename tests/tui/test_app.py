"""The cockpit driven by keys and clicks, as its user does, without a terminal."""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from pathlib import Path

from command_runs import HELLO
from kept_runs import deck_of, faulty, hello
from textual.pilot import Pilot

from emu.execute import execute
from emu.scenario.load import load
from emu.view.reader import Reader
from tui.app import Cockpit, moment
from tui.deck import Deck
from tui.glyphs import plain
from tui.operate import Operator
from tui.player import Player
from tui.widgets.ask import AskChoice
from tui.widgets.canvas import Canvas

Story = Callable[[Cockpit, Pilot[None]], Awaitable[None]]


def told(app: Cockpit, story: Story, size: tuple[int, int] = (120, 36)) -> None:
    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await story(app, pilot)

    asyncio.run(run())


def seen(app: Cockpit) -> str:
    canvas = app.screen_stack[0].query_one(Canvas)
    return plain(canvas.lines)


def test_keys_step_seek_and_turn_pages() -> None:
    app = Cockpit(deck_of(hello(), 1.8))

    async def story(app: Cockpit, pilot: Pilot[None]) -> None:
        await pilot.press("n")
        assert app.player.at_ps > 1_800_000_000_000
        await pilot.press("full_stop", "full_stop", "comma")
        await pilot.press("3")
        assert "requests  4 of 4" in seen(app)
        await pilot.press("tab")
        assert "events" in seen(app)
        await pilot.press("g", *"3.5", "enter")
        assert app.player.at_ps == 3_500_000_000_000
        await pilot.press("question_mark")
        assert "play, pause" in seen(app)
        await pilot.press("question_mark")
        assert app.deck.page.name == "events"

    told(app, story)


def test_a_time_that_is_none_is_said() -> None:
    async def story(app: Cockpit, pilot: Pilot[None]) -> None:
        await pilot.press("g", *"soon", "enter")
        await pilot.pause()
        assert "'soon' is no time" in seen(app)

    told(Cockpit(deck_of(hello(), 1.8)), story)


def test_space_plays_and_pauses() -> None:
    async def story(app: Cockpit, pilot: Pilot[None]) -> None:
        await pilot.press("u", "space")
        for _ in range(100):
            if app.player.at_ps == app.player.end_ps:
                break
            await pilot.pause(0.05)
        assert app.player.at_ps == app.player.end_ps
        assert not app.player.playing

    told(Cockpit(deck_of(hello(), 1.8)), story)


def test_a_click_on_a_machine_chooses_and_opens_it() -> None:
    async def story(app: Cockpit, pilot: Pilot[None]) -> None:
        for _ in range(2):
            rows = seen(app).splitlines()
            y = next(number for number, row in enumerate(rows) if "decode-1" in row and number > 1)
            await pilot.click(Canvas, offset=(rows[y].index("decode-1"), y))
            assert app.deck.machine == 3
        assert app.deck.page.name == "machine"
        await pilot.click(Canvas, offset=(60, 34))
        assert app.player.at_ps > 8 * 10**12

    told(Cockpit(deck_of(faulty(), 6.5)), story)


def test_marks_say_what_they_are() -> None:
    async def story(app: Cockpit, pilot: Pilot[None]) -> None:
        await pilot.press("home", "right_square_bracket")
        assert app.player.at_ps == 4 * 10**12
        assert "FAULT pause: decode-1" in seen(app)
        await pilot.press("left_square_bracket")
        assert "no mark before this moment" in seen(app)

    told(Cockpit(deck_of(faulty(), 6.5)), story)


def test_a_kept_record_takes_no_faults() -> None:
    async def story(app: Cockpit, pilot: Pilot[None]) -> None:
        await pilot.press("x")
        assert "a kept record takes no faults" in seen(app)
        await pilot.press("s")
        assert "nothing to save" in seen(app)

    told(Cockpit(deck_of(hello(), 1.8)), story)


def test_faults_and_rates_are_chosen_with_the_mouse_and_typed() -> None:
    """A right click on a machine, a click on a lane, and a number for the arrivals: each is done to the run."""
    operator = Operator(load(HELLO, (), None), None, inf, held=True)
    app = Cockpit(Deck(Player(Reader(operator.folder), live=True)), operator)

    async def until(pilot: Pilot[None], wanted: Callable[[], bool]) -> None:
        for _ in range(400):
            if wanted():
                return
            await pilot.pause(0.02)
        raise AssertionError(seen(app))

    def place(words: str) -> tuple[int, int]:
        rows = seen(app).splitlines()
        y = next(number for number, row in enumerate(rows) if words in row and number > 1)
        return rows[y].index(words), y

    async def story(app: Cockpit, pilot: Pilot[None]) -> None:
        operator.run_to(1_800 * 10**9)
        await until(pilot, lambda: app.player.end_ps >= 1_800 * 10**9 and "▶─" in seen(app))
        await pilot.click(Canvas, offset=place("▶─"))
        assert isinstance(app.screen, AskChoice)
        await pilot.press("enter")
        await until(pilot, lambda: len(operator.struck) == 1)
        assert operator.struck[0].kind == "link_down"
        assert operator.struck[0].machines == ("prefill-0", "decode-0")
        await pilot.click(Canvas, offset=place("decode-0"), button=3)
        await pilot.press("down", "enter")
        await until(pilot, lambda: len(operator.struck) == 2)
        assert (operator.struck[1].kind, operator.struck[1].machine) == ("crash", "decode-0")
        await pilot.press("a", *"3", "enter")
        await until(pilot, lambda: len(operator.acted) == 1)
        await until(pilot, lambda: "arrivals x3" in seen(app))
        await pilot.press("a", *"many", "enter")
        assert "'many' is no rate" in seen(app)

    try:
        told(app, story)
    finally:
        operator.close()
        app.player.reader.close()


def test_a_session_is_stepped_struck_rewound_saved_and_run_again(tmp_path: Path) -> None:
    operator = Operator(load(HELLO, (), None), None, inf, held=True)
    app = Cockpit(Deck(Player(Reader(operator.folder), live=True)), operator)
    path = tmp_path / "session.toml"

    async def until(pilot: Pilot[None], wanted: Callable[[], bool]) -> None:
        for _ in range(1000):
            if wanted():
                return
            await pilot.pause(0.02)
        raise AssertionError(seen(app))

    async def story(app: Cockpit, pilot: Pilot[None]) -> None:
        await pilot.press("full_stop")
        await until(pilot, lambda: app.player.end_ps >= 10**11)
        entries = app.player.view().entries
        await pilot.press("n")
        await until(pilot, lambda: app.player.view().entries > entries)
        await pilot.press("x", "enter")
        await until(pilot, lambda: [each.kind for each in operator.struck] == ["crash"])
        assert "crash strikes at" in seen(app)
        await pilot.press("space")
        await until(pilot, lambda: operator.digest is not None)
        first = operator.digest
        await pilot.press("g", *"3", "enter")
        await until(pilot, lambda: "prefill-0 is down" in seen(app) or "✖ down" in seen(app))
        await pilot.press("x", "enter")  # the first that is offered there heals it
        await until(pilot, lambda: [each.kind for each in operator.acted] == ["heal"])
        await until(pilot, lambda: "a run of its own from here on: heal it now" in seen(app))
        await until(pilot, lambda: app.player.end_ps >= 3 * 10**12)
        assert not app.deck.scene().view.crashes
        await pilot.press("space")
        await until(pilot, lambda: operator.digest is not None)
        assert operator.digest != first
        await pilot.press("s", *str(path), "enter")
        await until(pilot, path.is_file)
        assert f"emu run {path} repeats this session" in " ".join(seen(app).split("\n"))

    try:
        told(app, story, (200, 36))
        assert execute(load(path, (), None)).summary["digest"] == operator.digest
    finally:
        operator.close()
        app.player.reader.close()


def test_it_follows_the_size_of_the_terminal() -> None:
    async def story(app: Cockpit, pilot: Pilot[None]) -> None:
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert len(seen(app).splitlines()) <= 24
        await pilot.resize_terminal(30, 8)
        await pilot.pause()
        assert "too small" in seen(app)

    told(Cockpit(deck_of(hello(), 1.8)), story)


def test_themes_change_colours_and_no_words() -> None:
    async def story(app: Cockpit, pilot: Pilot[None]) -> None:
        words = seen(app)
        styles = [strip.text for strip in map(app.screen.query_one(Canvas).render_line, range(30))]
        await pilot.press("T", "T")
        assert seen(app) == words
        assert [strip.text for strip in map(app.screen.query_one(Canvas).render_line, range(30))] == styles

    told(Cockpit(deck_of(hello(), 1.8)), story)


def test_times_are_read_as_people_write_them() -> None:
    second = 10**12
    assert [moment(text) for text in ("12.5", "1:02.5", "1:00:02", "", "x", "-3")] == [
        12.5 * second,
        62.5 * second,
        3602 * second,
        None,
        None,
        None,
    ]
