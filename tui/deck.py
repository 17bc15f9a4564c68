"""Deck: from a player to scenes. It asks the reader for what pages may want, no more often than it changes.

It knows no Textual; the app and the picture of a moment both stand on it.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Final

from emu.laws.checker import Checker
from emu.laws.verdicts import LawRules
from emu.record.entries import Entry
from emu.record.start import RunStarted
from emu.view.cluster import ClusterView
from emu.view.incident import Finding, findings
from emu.view.rows import NEVER
from emu.view.search import Search
from emu.view.survey import PS_PER_S, Mark, MarkView
from emu.view.words import Words
from tui.frame import draw_screen
from tui.glyphs import Line
from tui.player import Player
from tui.scene import LawView, Scene
from tui.screens.cluster import Cluster
from tui.screens.events import Events
from tui.screens.help import Help
from tui.screens.incident import Incident
from tui.screens.latency import Latency
from tui.screens.laws import Laws
from tui.screens.machine import Machine
from tui.screens.page import Page
from tui.screens.requests import Requests
from tui.screens.why import Why

EVENTS_BYTES: Final = 1 << 17
PAGES: Final = ("incident", "cluster", "requests", "events", "machine", "latency", "laws", "why")


class Deck:
    """The pages over one player, and what is selected."""

    def __init__(self, player: Player) -> None:
        self.player = player
        started = player.reader.started
        self.words = Words(started)
        self.broken: list[MarkView] = []
        self.request = NEVER
        self.machine = 0
        self.message = ""
        self._statements = statements(started)
        self._pages: dict[str, Page] = {
            page.name: page
            for page in (Incident(), Cluster(), Requests(), Events(), Machine(), Latency(), Laws(), Why(), Help())
        }
        self.page: Page = self._pages["cluster"]
        self._events: tuple[int, list[Entry]] = (-1, [])
        self.life_s: float | None = None  # for reading a life in one go; None: all of it
        self._search: Search | None = None  # for the life that was asked for last
        self._life_ends = 0  # at which byte
        self._judged: tuple[ClusterView | None, int, int, tuple[Finding, ...]] = (None, 0, 0, ())
        self._laws: tuple[int, tuple[LawView, ...]] = (-1, ())

    def open(self, name: str) -> None:
        """Another page. Raises KeyError."""
        self.page = self._pages[name]

    def page_of(self, key: str) -> str:
        """The page that a digit opens."""
        return PAGES[int(key) - 1]

    def choose(self, finding: Finding) -> None:
        """Whom a finding is about, where it names anybody."""
        if finding.machine != NEVER:
            self.machine = finding.machine
        if finding.request != NEVER:
            self.request = finding.request

    def add_broken(self, violations: list[MarkView]) -> None:
        """Laws that this run broke: marks on the timeline, and findings."""
        for mark in violations:
            if mark not in self.broken:
                self.broken.append(mark)
                self.player.reader.survey.mark(mark.at_ps, Mark.LAW, mark.words)

    def tick(self, wall_s: float, budget_s: float) -> bool:
        """`wall_s` have passed; `budget_s` may be spent on reading. Whether more is to be read."""
        more = self.player.tick(wall_s, budget_s)
        return (self._search is not None and self._search.advance(self._life_ends, budget_s)) or more

    @property
    def read_bytes(self) -> int:
        """Changes whenever something was read."""
        return self.player.reader.read_bytes + (0 if self._search is None else self._search.offset)

    def scene(self, *, playing: bool | None = None, steered: bool = False, repeats_ps: int = 0) -> Scene:
        """At the playhead."""
        player = self.player
        view = player.view()
        return Scene(
            view=view,
            survey=player.reader.survey,
            clock=player.clock(playing=playing, steered=steered, repeats_ps=repeats_ps),
            findings=self._found(view),
            laws=self._law_views(),
            words=self.words,
            events=self._latest,
            life=partial(self._life_of, view),
            request=self.request,
            machine=self.machine,
            message=self.message,
        )

    def draw(self, scene: Scene, width: int, height: int) -> list[Line]:
        return draw_screen(scene, self.page, PAGES, width, height)

    def _latest(self) -> list[Entry]:
        now = self.player.at_ps
        if self._events[0] != now:
            self._events = now, self.player.events(EVENTS_BYTES)
        return self._events[1]

    def _found(self, view: ClusterView) -> tuple[Finding, ...]:
        """What is wrong; judged once of a view."""
        survey = self.player.reader.survey
        of, symptoms, broken, found = self._judged
        if of is not view or symptoms != len(survey.symptoms) or broken != len(self.broken):
            found = findings(view, survey, self.broken)
            self._judged = view, len(survey.symptoms), len(self.broken), found
        return found

    def _law_views(self) -> tuple[LawView, ...]:
        if self._laws[0] != len(self.broken):
            found = tuple(
                LawView(name, words, tuple(mark for mark in self.broken if mark.words.startswith(f"{name}: ")))
                for name, words in self._statements
            )
            self._laws = len(self.broken), found
        return self._laws[1]

    def _life_of(self, view: ClusterView, request: int) -> list[Entry] | None:
        """Its entries up to this moment; None while they are being read."""
        reader, search = self.player.reader, self._search
        if search is None or search.request != request:
            row = view.requests.get(request)
            ended = next((each for each in reversed(view.ended) if each.request == request), None)
            arrived_ps = row.arrived_ps if row is not None else ended.arrived_ps if ended is not None else 0
            search = self._search = reader.search(request, arrived_ps)
        self._life_ends = reader.stop_of(view.at_ps)
        if search.advance(self._life_ends, self.life_s):
            return None
        return [entry for entry in search.found if entry[0] <= view.at_ps]


def statements(started: RunStarted) -> tuple[tuple[str, str], ...]:
    """Every law by name, and what it says."""
    rules = LawRules(0, 1, 1, (0,) * len(started.machines), faulty=started.faulty)
    return tuple((law.name, law.statement) for law in Checker(started, rules).statutes)


def kept_violations(folder: Path) -> list[MarkView]:
    """Those that the summary beside a record tells; none where there is no summary yet."""
    try:
        laws = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["laws"]
        return [violation(each["law"], each["at_s"], each["what"]) for each in laws.get("violations", ())]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def violation(law: str, at_s: float, what: str) -> MarkView:
    """One broken law as a mark."""
    return MarkView(round(at_s * PS_PER_S), int(Mark.LAW), f"{law}: {what}", NEVER, NEVER)
