"""Cockpit: the Textual application. A timer moves the playhead, scenes go down to the canvas, keys and clicks come up.

What is drawn stands in the pages, what time it is in the player, what a run is told in the feed; here they are only
tied together.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from textual import events
from textual.app import App, ComposeResult, SystemCommand
from textual.screen import Screen

from emu.refusal import Refusal
from emu.view.rows import NEVER
from emu.view.survey import PS_PER_S
from tui.deck import PAGES, Deck
from tui.glyphs import Target
from tui.messages import Pointed, Sized
from tui.offers import Deed, ends_of, offers, offers_at, rate_deed
from tui.operate import Operator
from tui.palette import NAMES, Palette
from tui.player import STEP_PS, Player
from tui.scene import Intent
from tui.widgets.ask import AskChoice, AskText
from tui.widgets.canvas import Canvas

FRAMES_PER_S: Final = 20
SLICE_S: Final = 0.004  # of reading, before keys and screens have their turn
IDLE_S: Final = 0.01  # where there is nothing to read
SAY_S: Final = 6.0  # how long a message stays
ENDS: Final = (signal.SIGTERM, signal.SIGHUP)
COLLECT: Final = (10_000, 50, 1000)  # little at a time: what is read and drawn makes no circles


class Cockpit(App[None]):
    """Over one deck; `operator` where a run is steered, else None."""

    CSS_PATH = Path(__file__).with_name("app.tcss")
    TITLE = "emu"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS = []  # noqa: RUF012 (keys are the pages' and this table's, so that both see them)

    def __init__(self, deck: Deck, operator: Operator | None = None, theme: str = "dark") -> None:
        super().__init__(ansi_color=True)
        self.deck = deck
        deck.life_s = SLICE_S
        self.operator = operator
        self.frames = 0
        self._palette = Palette(theme)
        self._canvas = Canvas(self._palette)
        self._then_s = time.perf_counter()
        self._said_s = self._drawn_s = 0.0
        self._shown: tuple[object, ...] = ()
        self._collections = gc.get_threshold()
        self._before_help = "cluster"
        self._starting = False  # a run, beside the screens
        self._left: int | None = None  # with which status, while one starts
        self._keys: dict[str, Callable[[], object]] = self._table()

    @property
    def player(self) -> Player:
        return self.deck.player

    def compose(self) -> ComposeResult:
        yield self._canvas

    def on_mount(self) -> None:
        self._canvas.focus()
        self._collections = gc.get_threshold()
        gc.freeze()  # what is there stays; looking through it took a tenth of a second now and then
        gc.set_threshold(*COLLECT)
        if not self.is_headless:  # the terminal is given back, and the run ended, whoever asks for it
            for signum in ENDS:
                asyncio.get_running_loop().add_signal_handler(signum, self.leave, 128 + signum)
        self.set_interval(1 / FRAMES_PER_S, self._frame)
        self.run_worker(self._read())

    def on_unmount(self) -> None:
        gc.set_threshold(*self._collections)
        gc.unfreeze()

    async def _read(self) -> None:
        """Read and play in slices, for as long as there is a screen: what keys ask for never waits for a long piece."""
        while True:
            now_s = time.perf_counter()
            wall_s, self._then_s = now_s - self._then_s, now_s
            more = False
            try:
                more = self.deck.tick(wall_s, SLICE_S)
            except Refusal as refused:
                self.say(str(refused))
            await asyncio.sleep(0 if more else IDLE_S)

    def _frame(self) -> None:
        now_s = time.perf_counter()
        if self.operator is not None:
            if not self._starting:
                self._heed(self.operator)
        elif self.player.live and self.player.reader.over:
            self.player.told(0, live=False)  # the run that was followed has ended
        if self.deck.message and now_s - self._said_s > SAY_S:
            self.deck.message = ""
        player = self.player
        shown = (player.at_ps, player.end_ps, player.playing, self.deck.read_bytes, self.deck.message, player.live)
        if shown != self._shown and now_s - self._drawn_s > 0.5 / FRAMES_PER_S:  # where nothing moves, nothing is drawn
            self._shown = shown
            self.draw()

    def _heed(self, operator: Operator) -> None:
        """What the run has said since the last frame."""
        for words in operator.poll(self.deck):
            self.say(words)

    def draw(self) -> None:
        """The scene as it is now."""
        size = self._canvas.size
        if not size.width or not size.height:
            return
        operator = self.operator
        if operator is None:
            scene = self.deck.scene()
        else:
            playing = operator.playing if self.player.follow else None
            scene = self.deck.scene(playing=playing, steered=True, repeats_ps=operator.repeats_ps)
        self._canvas.show(self.deck.draw(scene, size.width, size.height))
        self.frames += 1
        self._drawn_s = time.perf_counter()

    def say(self, words: str) -> None:
        """A line beside the pages' names, for some seconds."""
        self.deck.message, self._said_s = words, time.perf_counter()

    def on_sized(self, _: Sized) -> None:
        self.draw()

    def on_pointed(self, message: Pointed) -> None:
        target = message.target
        if message.menu:
            self.point_at(target)
        elif target.kind == "key":
            self.press(str(target.value).split()[0])
        else:
            self._heed_intents((Intent(target.kind, target.value),))
        self.draw()

    def on_key(self, event: events.Key) -> None:
        if isinstance(self.screen, Screen) and self.screen.is_modal:
            return
        name = event.character if event.character is not None and event.is_printable else event.key
        if self.press(" " if name == "space" else name):
            event.stop()
            event.prevent_default()

    def press(self, key: str) -> bool:
        """A key by its character or its name; whether it meant something."""
        key = {" ": "space"}.get(key, key)
        page = self.deck.page
        intents = page.key(key, self.deck.scene()) if key in page.keys else None
        if intents is not None:
            self._heed_intents(intents)
        elif key in self._keys:
            self._keys[key]()
        else:
            return False
        self.draw()
        return True

    def _heed_intents(self, intents: tuple[Intent, ...]) -> None:
        for kind, value in intents:
            if kind == "page":
                self.open(str(value))
            elif kind == "time":
                self.player.playing = False
                self.player.seek(int(value))
            elif kind == "machine":
                again = self.deck.machine == int(value)
                self.deck.machine = int(value)
                if again and len(intents) == 1 and self.deck.page.name == "cluster":
                    self.open("machine")
            elif kind == "request":
                self.deck.request = int(value)

    def open(self, name: str) -> None:
        """Another page."""
        self.deck.open(name)

    def _table(self) -> dict[str, Callable[[], object]]:
        """Keys that mean the same on every page."""
        second = PS_PER_S
        table: dict[str, Callable[[], object]] = {
            "space": self.toggle,
            "n": self.next_event,
            "b": lambda: self.player.event_before(),
            ".": lambda: self.step(STEP_PS),
            ",": lambda: self.player.step(-STEP_PS),
            ">": lambda: self.player.step(10 * second),
            "<": lambda: self.player.step(-10 * second),
            "]": lambda: self.to_mark(True),
            "[": lambda: self.to_mark(False),
            "+": lambda: self.faster(1),
            "=": lambda: self.faster(1),
            "-": lambda: self.faster(-1),
            "u": self.unlimited,
            "home": lambda: self._heed_intents((Intent("time", 0),)),
            "end": lambda: self.player.to_end(),
            "f": lambda: self.player.to_end(),
            "g": self.ask_time,
            "tab": lambda: self._turn(1),
            "shift+tab": lambda: self._turn(-1),
            "/": self.ask_filter,
            "w": lambda: self.open("why"),
            "T": self.next_theme,
            "?": self.help,
            "q": self.leave,
            "escape": lambda: self.open(self._before_help) if self.deck.page.name == "help" else None,
            "s": self.save,
            "x": self.choose,
            "a": self.ask_rate,
        }
        for number, name in enumerate(PAGES, 1):
            table[str(number)] = lambda name=name: self.open(name)  # type: ignore[misc]
        return table

    def _turn(self, step: int) -> None:
        here = PAGES.index(self.deck.page.name) if self.deck.page.name in PAGES else 0
        self.open(PAGES[(here + step) % len(PAGES)])

    def toggle(self) -> None:
        """Play or pause: the run where it is followed, else the playhead."""
        if self.operator is not None and self.player.follow:
            self.operator.hold(self.operator.playing)
        else:
            self.player.toggle()

    def next_event(self) -> None:
        """To the next entry; a run that is followed and held fires one more."""
        if self.operator is not None and self.player.follow and self.operator.running:
            self.operator.step()
        else:
            self.player.next_event()

    def step(self, steps_ps: int) -> None:
        """So far on; a run that is followed goes on by as much."""
        if self.operator is not None and self.player.follow and self.operator.running:
            self.operator.run_to(self.player.end_ps + steps_ps)
        else:
            self.player.step(steps_ps)

    def faster(self, steps: int) -> None:
        """The pace of the playhead, and of the run where one is steered."""
        self.player.faster(steps)
        self._set_pace()

    def unlimited(self) -> None:
        """As fast as it goes."""
        self.player.pace = float("inf")
        self._set_pace()

    def _set_pace(self) -> None:
        if self.operator is not None:
            self.operator.pace(self.player.pace)

    def to_mark(self, forward: bool) -> None:
        """The next mark or the one before; a message where there is none."""
        found = self.player.to_mark(forward, self.deck.player.reader.survey.marks)
        if found is None:
            self.say("no mark after this moment" if forward else "no mark before this moment")
            return
        self.say(found.words)
        if found.machine != NEVER and found.machine >= 0:
            self.deck.machine = found.machine
        if found.request != NEVER:
            self.deck.request = found.request

    def ask_time(self) -> None:
        """Seconds, or minutes:seconds."""

        def go(answer: str | None) -> None:
            at_ps = moment(answer or "")
            if at_ps is not None:
                self.player.playing = False
                self.player.seek(at_ps)
            elif answer:
                self.say(f"'{answer}' is no time; 12.5 or 1:02.5 is")

        self.push_screen(AskText("go to, in seconds"), go)

    def ask_filter(self) -> None:
        """Words for the page that is open."""

        if not self.deck.page.filters:
            self.say("requests (3) and events (4) can be filtered")
            return

        def keep(answer: str | None) -> None:
            if answer is not None:
                self.deck.page.filtered(answer)

        self.push_screen(AskText("only with these words (empty: all)"), keep)

    def next_theme(self) -> None:
        """Dark, light, no colours."""
        self._palette = Palette(NAMES[(NAMES.index(self._palette.name) + 1) % len(NAMES)])
        self._canvas.repaint(self._palette)

    def help(self) -> None:
        """Every key; again: back."""
        if self.deck.page.name == "help":
            self.open(self._before_help)
        else:
            self._before_help = self.deck.page.name
            self.open("help")

    def choose(self) -> None:
        """What to do to the chosen machine or request, or to all, where a run is steered."""
        self._offer("do", offers(self.deck.scene()))

    def point_at(self, target: Target) -> None:
        """The same for what was pointed at, which is chosen by that."""
        scene = self.deck.scene()
        found = offers_at(scene, target)
        if target.kind == "machine":
            self.deck.machine = int(target.value)
        elif target.kind == "request":
            self.deck.request = int(target.value)
        elif target.kind == "link":
            self.deck.machine = ends_of(target)[0]
        if found or self.operator is None:
            self._offer("do", found)

    def _offer(self, title: str, found: list[Deed]) -> None:
        if self.operator is None:
            what = "a run that somebody else started" if self.player.live else "a kept record"
            self.say(f"{what} takes no faults; emu watch SCENARIO.toml starts a run that does")
            return

        def chosen(answer: str | None) -> None:
            if answer is not None:
                self.do(found[int(answer)])

        self.push_screen(AskChoice(title, [(str(n), deed.words) for n, deed in enumerate(found)]), chosen)

    def ask_rate(self) -> None:
        """How densely requests arrive from now on."""
        if self.operator is None:
            self._offer("do", [])
            return

        def go(answer: str | None) -> None:
            factor = times(answer or "")
            if factor is not None:
                self.do(rate_deed(factor))
            elif answer:
                self.say(f"'{answer}' is no rate; 2 or 0.5 is, from 0.001 to 1000")

        self.push_screen(AskText("arrivals, so many times as dense as the workload has them", "2"), go)

    def do(self, deed: Deed) -> None:
        """Now, in the run that is followed; at a moment of the past, in one that is started anew."""
        operator = self.operator
        if operator is None:
            self._offer("do", [])
        elif self.player.follow and operator.running:
            operator.do(deed)
        elif not self._starting:
            self._starting = True
            self.say(f"a run that repeats this one up to here is started: {deed.words}")
            self.run_worker(self._start_anew(operator, deed))

    async def _start_anew(self, operator: Operator, deed: Deed) -> None:
        """Beside the screens, which go on."""
        old = self.deck
        try:
            self.deck = await asyncio.to_thread(operator.do_at, deed, old.player.at_ps, old)
        except Refusal as refused:
            self.say(str(refused))
            return
        finally:
            self._starting = False
            if self._left is not None:
                self.leave(self._left)
        old.player.reader.close()
        self.say(f"a run of its own from here on: {deed.words}; space lets it go")

    def save(self) -> None:
        """The session as a scenario file, where a run is steered."""
        operator = self.operator
        if operator is None:
            self.say("nothing to save: nothing can be done to this run here")
            return

        def keep(answer: str | None) -> None:
            if not answer:
                return
            try:
                operator.save(Path(answer))
            except Refusal as refused:
                self.say(str(refused))
                return
            self.say(f"saved; emu run {answer} repeats this session")

        self.push_screen(AskText("save the session as", f"{operator.scenario.name}-session.toml"), keep)

    def leave(self, status: int = 0) -> None:
        """End the run that was started here, and give the terminal back."""
        if self._starting:
            self._left = status  # a process that starts is ended when it is there
            return
        if self.operator is not None:
            self.operator.close()
        self.exit(return_code=status)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The command palette: everything that keys do, by name."""
        del screen
        named: list[tuple[str, str, Callable[[], object]]] = [
            ("Play or pause", "space", self.toggle),
            ("Next entry", "n", self.next_event),
            ("Next mark", "]", lambda: self.to_mark(True)),
            ("Previous mark", "[", lambda: self.to_mark(False)),
            ("Go to a time", "g", self.ask_time),
            ("Faster", "+", lambda: self.faster(1)),
            ("Slower", "-", lambda: self.faster(-1)),
            ("As fast as it goes", "u", self.unlimited),
            ("Filter", "/", self.ask_filter),
            ("Next theme", "T", self.next_theme),
            ("Save the session as a scenario", "s", self.save),
            ("Do something to the run", "x", self.choose),
            ("Change the arrival rate", "a", self.ask_rate),
            ("Help", "?", self.help),
            ("Quit", "q", self.leave),
        ]
        for words, key, act in named:
            yield SystemCommand(words, f"key {key}", act)
        if self.operator is not None:
            for deed in offers(self.deck.scene()):
                yield SystemCommand(f"Do: {deed.words}", "key x", lambda deed=deed: self.do(deed))
        for number, name in enumerate(PAGES, 1):
            yield SystemCommand(f"Page {name}", f"key {number}", lambda name=name: self.open(name))


def moment(text: str) -> int | None:
    """`12.5`, `1:02.5` or `1:00:02` as picoseconds; None where it is none."""
    total = 0.0
    try:
        for part in text.strip().split(":"):
            total = total * 60 + float(part)
    except ValueError:
        return None
    return round(total * PS_PER_S) if 0 <= total < 1e9 else None


def times(text: str) -> float | None:
    """`2`, `x2` or `0.5` as a factor; None where it is none, or out of a scenario's range."""
    try:
        factor = float(text.strip().removeprefix("x"))
    except ValueError:
        return None
    return factor if 1e-3 <= factor <= 1e3 else None
