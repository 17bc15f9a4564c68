"""`emu watch` and `emu replay`: the cockpit on a terminal, over a run or a kept record. The screens are `tui`'s."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from emu.view.reader import Reader
    from emu.view.survey import MarkView
    from tui.deck import Deck
    from tui.operate import Operator

PS_PER_S = 10**12
OPEN_S = 1.5  # for reading, before the screen is there
PAGES = ("incident", "cluster", "requests", "events", "machine", "latency", "laws", "why")

_THEME = click.option("--theme", type=click.Choice(["dark", "light", "mono"]), help="Colours; NO_COLOR asks for none.")


@click.command()
@click.argument("scenario", required=False, type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one key of the scenario.")
@click.option("--seed", type=int, help="The seed of the workload's draws, in place of the scenario's.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Keep the run, if it ends, as emu run does."
)
@click.option(
    "--pace", type=click.FloatRange(min=0), default=1.0, help="Virtual seconds in a second; 0: as fast as it goes."
)
@click.option("--attach", type=click.Path(path_type=Path), metavar="DIR", help="Follow the run that writes DIR.")
@_THEME
def watch(
    scenario: Path | None,
    overrides: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    pace: float,
    attach: Path | None,
    theme: str | None,
) -> int:
    """Run SCENARIO.toml on the screen: hold its time, step, rewind, strike it with faults, save what you did."""
    from emu.refusal import Refusal

    if (scenario is None) == (attach is None):
        raise Refusal("emu watch", "expected either SCENARIO.toml or --attach DIR")
    _check_terminal("emu watch")
    factor = pace if pace > 0 else float("inf")
    if attach is not None:
        from emu.commands.look import open_reader
        from tui.deck import Deck
        from tui.player import Player

        reader = open_reader(attach)
        reader.advance(1.0)
        return _show(Deck(Player(reader, live=not reader.over, pace=factor)), None, theme)
    from tui.deck import Deck
    from tui.operate import operate, slo_of
    from tui.player import Player

    assert scenario is not None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # until the screen is there
    operator = operate(scenario, overrides, seed, out, factor)
    try:
        from emu.view.reader import Reader

        reader = Reader(operator.folder, slo_of(operator.scenario))
        return _show(Deck(Player(reader, live=True, pace=factor)), operator, theme)
    finally:
        operator.close()


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--at", "at_s", type=click.FloatRange(min=0), metavar="T", help="Open at this moment, in virtual seconds."
)
@click.option("--law", type=click.IntRange(min=1), metavar="N", help="Open at the Nth violation of a law.")
@click.option("--miss", is_flag=True, help="Open where the first request misses its SLOs.")
@click.option("--page", type=click.Choice(PAGES), help="Open this page; by default incident where something is wrong.")
@click.option(
    "--screenshot",
    type=click.Path(path_type=Path),
    metavar="FILE.svg",
    help="Write one screen, and end: a picture; FILE.txt: as text; -: as text, here.",
)
@click.option("--size", default="120x36", metavar="WxH", help="Of the picture, in characters.")
@_THEME
def replay(
    folder: Path,
    at_s: float | None,
    law: int | None,
    miss: bool,
    page: str | None,
    screenshot: Path | None,
    size: str,
    theme: str | None,
) -> int:
    """Play what emu run --out DIR kept: any moment, forwards and backwards."""
    if screenshot is None:
        _check_terminal("emu replay")
    deck = open_deck(folder, at_s, law, miss=miss, page=page, whole=screenshot is not None)
    try:
        if screenshot is None:
            return _show(deck, None, theme)
        _picture(deck, screenshot, size, theme)
        return 0
    finally:
        deck.player.reader.close()


def open_deck(
    folder: Path,
    at_s: float | None = None,
    law: int | None = None,
    *,
    miss: bool = False,
    page: str | None = None,
    whole: bool = True,
) -> Deck:
    """A kept record at a moment, at its `law`th violation or at its first SLO miss; `whole`: read to its end.

    Refusal: there is no record, or nothing of that kind in it.
    """
    from emu.commands.look import open_reader
    from tui.deck import Deck, kept_violations
    from tui.player import Player

    reader = open_reader(folder)
    broken = kept_violations(folder)
    request = None
    try:
        at_ps = 0 if at_s is None else round(at_s * PS_PER_S)
        if law is not None:
            at_ps = _violation_ps(broken, law)
        if miss:
            at_ps, request = _first_miss(reader, folder)
        reader.advance(None if whole else OPEN_S, None if whole else max(at_ps, PS_PER_S))
    except Exception:
        reader.close()
        raise
    deck = Deck(Player(reader, at_ps))
    deck.add_broken(broken)
    scene = deck.scene()
    if page is not None:
        deck.open(page)
    elif scene.findings or miss:
        deck.open("incident")
    if scene.findings and reader.front_ps >= at_ps:
        deck.choose(scene.findings[0])
    if request is not None:
        deck.request = request
    return deck


def _violation_ps(broken: list[MarkView], law: int) -> int:
    from emu.refusal import Refusal

    if not broken:
        raise Refusal(f"--law {law}", "expected a run that broke a law; this one broke none")
    if law > len(broken):
        raise Refusal(f"--law {law}", f"expected at most {len(broken)}: so many violations were kept")
    return sorted(broken, key=lambda mark: mark.at_ps)[law - 1].at_ps


def _first_miss(reader: Reader, folder: Path) -> tuple[int, int]:
    """When, and which request."""
    from emu.refusal import Refusal
    from emu.view.incident import first_miss

    more = True
    while (found := first_miss(reader.survey)) is None and more:
        more = reader.advance(OPEN_S)
    if found is None:
        raise Refusal(f"{folder} --miss", "expected a request that misses its SLOs; none does")
    return found.at_ps, found.request


def _picture(deck: Deck, path: Path, size: str, theme: str | None) -> None:
    from emu.refusal import Refusal
    from tui.glyphs import plain
    from tui.picture import svg

    columns, _, rows = size.partition("x")
    if not (columns.isdigit() and rows.isdigit() and 0 < int(columns) <= 1000 and 0 < int(rows) <= 1000):
        raise Refusal(f"--size {size}", "expected WIDTHxHEIGHT, such as 120x36, at most 1000x1000")
    width, height = int(columns), int(rows)
    as_text = str(path) == "-" or path.suffix == ".txt"
    screen = (
        plain(deck.draw(deck.scene(), width, height)) + "\n" if as_text else svg(deck, width, height, _theme(theme))
    )
    if str(path) == "-":
        click.echo(screen, nl=False)
        return
    try:
        path.write_text(screen, encoding="utf-8")
    except OSError as error:
        raise Refusal(str(path), f"expected a file to write; {error.strerror}") from None


def _check_terminal(command: str) -> None:
    from emu.refusal import Refusal

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refusal(command, "expected a terminal; emu show and emu why say the same as text")


def _theme(theme: str | None) -> str:
    import os

    return theme or ("mono" if "NO_COLOR" in os.environ else "dark")


def _show(deck: Deck, operator: Operator | None, theme: str | None) -> int:
    from tui.app import Cockpit

    app = Cockpit(deck, operator, _theme(theme))
    try:
        app.run()
    finally:
        app.deck.player.reader.close()  # another one where the run was started anew
    return app.return_code or 0
