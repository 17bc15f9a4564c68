"""Operator: the cockpit's side of a run that it started. Orders go down a pipe, what the run says comes back up.

It keeps what was done to the run, so that the session can be saved as a scenario, and starts a run anew where its
operator acts on a moment of the past. What the run's process does with an order is `tui.feed`'s.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from math import isinf
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from emu.refusal import Refusal
from emu.scenario.load import load
from emu.scenario.schema import Action, Fault, Scenario
from emu.scenario.write import resolved_toml
from emu.view.reader import Reader
from emu.view.recording import RECORD
from tui.deck import Deck, violation
from tui.feed import PS_PER_S, check_deeds, fault_of, with_deeds
from tui.offers import Deed
from tui.player import Player

START_S: Final = 60.0  # for a run to begin
LEAVE_S: Final = 3.0
_MICROSECOND_PS: Final = 10**6


class Operator:
    """One run under way. Raises Refusal where it cannot begin, in the words of the run."""

    def __init__(self, scenario: Scenario, out: Path | None, pace: float, *, held: bool = False) -> None:
        scenario = evolve(scenario, run=evolve(scenario.run, faults_may_come=True))
        self.scenario = scenario
        self.struck: list[Fault] = []
        self.acted: list[Action] = []
        self.digest: str | None = None
        self.playing = not held
        self.running = False
        self.now_ps = 0  # of the run, when it last said
        self.repeats_ps = 0  # up to then it repeats the run from which it was started
        self._pace = pace
        self._room = Path(tempfile.mkdtemp(prefix="emu-watch-"))
        self._out = out
        self._number = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self.folder = self._start(scenario, until_ps=0, held=held)

    def _start(self, scenario: Scenario, *, until_ps: int, held: bool) -> Path:
        """A process for this scenario; returns when its record has begun."""
        self._number += 1
        self.repeats_ps = until_ps
        file = self._room / f"scenario-{self._number}.toml"
        file.write_text(resolved_toml(scenario), encoding="utf-8")
        folder = self._out if self._out is not None and self._number == 1 else self._room / f"run-{self._number}"
        settings: dict[str, Any] = {
            "scenario": str(file),
            "overrides": [],
            "seed": None,
            "out": str(folder),
            "pace": None if isinf(self._pace) else self._pace,
            "until_ps": until_ps,
            "held": held,
        }
        with open(self._room / "stderr", "wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tui.feed", json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._rest = b""
        self.running = True
        self._wait_for(folder)
        return folder

    def _wait_for(self, folder: Path) -> None:
        ends = time.monotonic() + START_S
        record = folder.with_name(folder.name + ".partial") / RECORD
        while time.monotonic() < ends:
            for said in self._said():
                if said["said"] == "refused":
                    self.close()
                    raise Refusal("emu watch", said["words"])
                if said["said"] in ("now", "over") and (record.is_file() or folder.is_dir()):
                    return
            if not self.running:
                break
            time.sleep(0.01)
        trouble = self._trouble()
        self.close()
        raise Refusal("emu watch", f"expected the run to begin; {trouble}")

    def _trouble(self) -> str:
        said = (self._room / "stderr").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return said[-1] if said else "it said nothing"

    def _said(self) -> list[dict[str, Any]]:
        process = self.process
        if process is None or process.stdout is None:
            return []
        try:
            piece = os.read(process.stdout.fileno(), 1 << 18)
        except BlockingIOError:
            return []
        if not piece:
            self.running = False
            return []
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return [json.loads(line) for line in lines]

    def poll(self, deck: Deck) -> list[str]:
        """Take what the run has said to the deck; what its operator should read comes back."""
        words: list[str] = []
        was = self.running
        for said in self._said():
            if said["said"] == "now":
                self.playing = not said["held"]
                self.now_ps = said["at_ps"]
                deck.player.told(said["at_ps"], live=True)
                if said["broken"]:
                    deck.add_broken([violation(each["law"], each["at_s"], each["what"]) for each in said["broken"]])
            elif said["said"] == "struck":
                self.struck.append(fault_of(said["at_ps"], said["values"]))
                words.append(_done("strikes", said))
            elif said["said"] == "acted":
                self.acted.append(Action(at_s=said["at_ps"] / PS_PER_S, **said["values"]))
                words.append(_done("acts", said))
            elif said["said"] == "not done":
                words.append(said["words"])
            elif said["said"] == "over":
                self.digest = said["digest"]
                words.append(f"the run is over, digest {self.digest}")
        if was and not self.running:
            deck.player.reader.advance()
            deck.player.told(deck.player.reader.front_ps, live=False)
            if self.digest is None:
                words.append(f"the run ended with an error: {self._trouble()}")
        return words

    def _order(self, **order: Any) -> None:
        process = self.process
        if process is None or process.stdin is None or not self.running:
            return
        try:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            self.running = False

    def hold(self, held: bool) -> None:
        """Stop the run's time, or let it go on."""
        self.playing = not held
        self._order(order="hold", held=held)

    def step(self) -> None:
        """Hold, and let the next instant fire."""
        self.hold(True)
        self._order(order="step")

    def run_to(self, at_ps: int) -> None:
        """Hold at that time."""
        self.hold(True)
        self._order(order="run_to", at_ps=at_ps)

    def pace(self, factor: float) -> None:
        """Virtual seconds in a second; inf is as fast as it goes."""
        self._pace = factor
        self._order(order="pace", factor=None if isinf(factor) else factor)

    def do(self, deed: Deed) -> None:
        """Now, in the run that is followed."""
        if deed.is_fault:
            self._order(order="strike", fault=deed.values)
        else:
            self._order(order="act", action=deed.values)

    def do_at(self, deed: Deed, at_ps: int, deck: Deck) -> Deck:
        """On a moment of the past: a run that repeats all up to there and goes on from there, held.

        It takes as long as a process takes to start. The reader of `deck` is the caller's to close.
        Refusal: the scenario with it cannot be run.
        """
        at_us = -(-at_ps // _MICROSECOND_PS)
        struck = [each for each in self.struck if each.at_s is not None and _us(each.at_s) <= at_us]
        acted = [each for each in self.acted if _us(each.at_s) <= at_us]
        before = [*(each.at_s or 0.0 for each in struck), *(each.at_s for each in acted)]
        at_us = max(at_us, max(map(_us, before), default=-1) + 1)
        if deed.is_fault:
            struck.append(fault_of(at_us * _MICROSECOND_PS, deed.values))
        else:
            acted.append(Action(at_s=at_us * _MICROSECOND_PS / PS_PER_S, **deed.values))
        check_deeds(with_deeds(self.scenario, struck, acted))
        self.struck, self.acted = struck, acted
        self._end()
        self.digest = None
        self.folder = self._start(self.session(), until_ps=at_us * _MICROSECOND_PS, held=True)
        player = Player(Reader(self.folder, slo_of(self.scenario)), live=True, pace=deck.player.pace)
        fresh = Deck(player)
        fresh.machine, fresh.request, fresh.page, fresh.life_s = deck.machine, deck.request, deck.page, deck.life_s
        self.playing = False
        return fresh

    def session(self) -> Scenario:
        """The scenario with all that was done; running it gives the same record."""
        return with_deeds(self.scenario, self.struck, self.acted)

    def save(self, path: Path) -> None:
        """Refusal: it cannot be written, or something is there already."""
        try:
            with open(path, "x", encoding="utf-8") as file:
                file.write(resolved_toml(self.session()))
        except OSError as error:
            raise Refusal(str(path), f"expected a file to make; {error.strerror}") from None

    def _end(self) -> None:
        """The process ends, whatever it does; it is never left behind."""
        process, self.process = self.process, None
        self.running = False
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue
        try:
            process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End the run; what was not asked to be kept goes."""
        self._end()
        shutil.rmtree(self._room, ignore_errors=True)


def _done(verb: str, said: dict[str, Any]) -> str:
    return f"{said['values']['kind']} {verb} at {said['at_ps'] / PS_PER_S:.6f} s; s saves the session"


def _us(at_s: float) -> int:
    return round(at_s * 10**6)


def slo_of(scenario: Scenario) -> tuple[tuple[str, int, float], ...] | None:
    """Limits in seconds; None for the paper's slowdowns."""
    return None if scenario.slo.preset else scenario.slo.limits()


def operate(path: Path, overrides: tuple[str, ...], seed: int | None, out: Path | None, pace: float) -> Operator:
    """Start a scenario's run. Refusal: the scenario or the folder cannot be used."""
    return Operator(load(path, overrides, seed), out, pace)
