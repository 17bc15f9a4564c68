"""Scene: all that a page is drawn from at one moment, frozen: the view, the survey, the clock, what is selected.

Pages draw scenes and send back intents; they reach no reader, no run and no Textual.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from attrs import frozen

from emu.record.entries import Entry
from emu.view.cluster import ClusterView
from emu.view.incident import Finding
from emu.view.rows import NEVER
from emu.view.survey import MarkView, Survey
from emu.view.words import Words


@frozen
class Clock:
    """What the player does. `pace` is asked for and inf where it is unlimited, `reached` is measured."""

    at_ps: int
    end_ps: int  # of what is written
    playing: bool
    pace: float
    reached: float
    live: bool  # a run goes on
    follow: bool
    over: bool  # the record is whole
    read_share: float = 1.0
    steered: bool = False  # the run takes actions
    repeats_ps: int = 0  # up to then it repeats another run, as fast as it goes


class LawView(NamedTuple):
    """A law, and where it was broken."""

    name: str
    statement: str
    broken: tuple[MarkView, ...]


@frozen
class Scene:
    """One moment. `events` gives the latest entries first, `life` those about one request, None while it is read."""

    view: ClusterView
    survey: Survey
    clock: Clock
    findings: tuple[Finding, ...]
    laws: tuple[LawView, ...]
    words: Words
    events: Callable[[], list[Entry]]
    life: Callable[[int], list[Entry] | None]
    request: int = NEVER
    machine: int = 0
    message: str = ""


class Intent(NamedTuple):
    """What a page asks of the app: `kind` is request, machine, time, page."""

    kind: str
    value: int | str


NOTHING: Final[tuple[Intent, ...]] = ()
