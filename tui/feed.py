"""Feed: a run in a process of its own, paced, held, struck and acted on as its operator says. All that starts runs.

The process reads orders from its standard input and says on its standard output how far it is, a JSON object a line
either way; the record goes to its folder as always. Between two instants it waits on the orders, so no thread is
needed and nothing of a run happens but in its own order. What the cockpit does with all that is `tui.operate`'s.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
import tomllib
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from emu.execute import execute
from emu.fake.clock import HeapClock
from emu.fake.paced import Pace, PacedClock
from emu.laws.checker import Checker
from emu.refusal import Refusal
from emu.run import Run
from emu.scenario.load import from_document, load
from emu.scenario.schema import Action, Delay, Fault, Scenario
from emu.scenario.write import resolved_toml

SAY_EVERY_S: Final = 0.04
MICROSECOND_PS: Final = 10**6
PS_PER_S: Final = 10**12
_WAIT_S: Final = 0.25
_YIELDS: Final = 5  # so much nicer than the screens: where the processor is short of time, they come first


class Left(Exception):
    """Whoever gave the orders has gone, or wants no more: the run ends here."""


class Orders:
    """Lines of JSON from a file descriptor."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._rest = b""

    def read(self, wait_s: float) -> list[dict[str, Any]]:
        """What came within so long, at once where something is there. Raises Left."""
        if not select.select([self._file], [], [], max(0.0, wait_s))[0]:
            return []
        piece = os.read(self._file, 1 << 16)
        if not piece:
            raise Left
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return [json.loads(line) for line in lines]


class Helm:
    """Steers one run: the gate before its instants, and all that was done to it.

    `until_ps`: run there as fast as it goes, then hold. What is done has a time of its own, in whole microseconds, so
    that a scenario file says exactly the same.
    """

    def __init__(self, orders: Orders, say: Any, pace: float, until_ps: int, held: bool) -> None:
        self._orders = orders
        self._say = say
        self._pace = Pace(time.monotonic(), pace)
        self._until_ps = until_ps
        self._held = held
        self._may_ps = -1  # instants up to this one may fire
        self._step_from: int | None = None  # entries that were written when a step began
        self._next_ps = 0  # what was last asked about: a run that lags is not later than that
        self._said_s = 0.0
        self._next_s = 0.0
        self._broken = 0
        self._stopped_ps = 0  # what time it was when the run was held
        self._done_ps = -1  # when something was last done to the run
        self._struck: list[Fault] = []
        self._acted: list[Action] = []
        self._run: Run | None = None
        self._checker: Checker | None = None

    def clock(self, interleaving: int, liveness_ps: int) -> HeapClock:
        return PacedClock(self, interleaving, liveness_ps)

    def begin(self, run: Run, checker: Checker) -> None:
        self._run, self._checker = run, checker
        self._pace.set(self._pace.factor, time.monotonic(), 0)
        self._tell(time.monotonic())

    def kept(self, scenario: Scenario) -> Scenario:
        return with_deeds(scenario, self._struck, self._acted)

    @property
    def open(self) -> bool:
        return not self._held and self._pace.factor == inf and not self._until_ps

    def passes(self, at_ps: int) -> bool:
        """Heed orders until `at_ps` is due."""
        self._next_ps = at_ps
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + SAY_EVERY_S / 2
            if self._heed(0.0):
                return False
            if now_s - self._said_s >= SAY_EVERY_S:
                self._tell(now_s)
        if at_ps <= self._may_ps:
            return True
        if self._step_from is not None and self._step(at_ps):
            return True
        if self._until_ps:
            if at_ps <= self._until_ps:
                return True
            self._arrive()
        while True:
            now_s = time.monotonic()
            if not self._held:
                wait_s = self._pace.due_s(at_ps) - now_s
                if wait_s <= 0:
                    self._pace.late(at_ps, now_s)
                    return True
            else:
                wait_s = _WAIT_S
            self._tell(now_s)
            if self._heed(min(wait_s, SAY_EVERY_S)):
                return at_ps <= self._may_ps or (self._step_from is not None and self._step(at_ps))

    def _step(self, at_ps: int) -> bool:
        """Instants that write nothing are no step of their own."""
        assert self._run is not None
        if self._run.log.written == self._step_from:
            self._may_ps = at_ps
            return True
        self._step_from = None
        return False

    def _arrive(self) -> None:
        """Where the run was to be held, or to go on at its pace."""
        self._stopped_ps, self._until_ps = self._until_ps, 0
        self._pace.set(self._pace.factor, time.monotonic(), self._stopped_ps)

    def now_ps(self) -> int:
        """What time it is for whoever watches: between the last instant and the next."""
        assert self._run is not None
        fired_ps = self._run.clock.now_ps
        if self._until_ps or (self._pace.factor == inf and not self._held):
            return fired_ps
        if self._held:
            return max(fired_ps, self._stopped_ps)
        return max(fired_ps, min(self._next_ps, self._pace.virtual_ps(time.monotonic())))

    def _heed(self, wait_s: float) -> bool:
        """Carry out what was ordered; whether anything was."""
        orders = self._orders.read(wait_s)
        for order in orders:
            self._carry_out(order)
        return bool(orders)

    def _carry_out(self, order: dict[str, Any]) -> None:
        kind, now_ps = order["order"], self.now_ps()
        if kind == "pace":
            self._pace.set(inf if order["factor"] is None else float(order["factor"]), time.monotonic(), now_ps)
        elif kind == "hold":
            self._held, self._stopped_ps = bool(order["held"]), now_ps
            self._pace.set(self._pace.factor, time.monotonic(), now_ps)
        elif kind == "step":
            self._step_from = self._run.log.written if self._run is not None else 0
        elif kind == "run_to":
            self._may_ps = int(order["at_ps"])
            self._stopped_ps = max(self._stopped_ps, self._may_ps)
        elif kind == "strike":
            self._strike(order["fault"], now_ps)
        elif kind == "act":
            self._act(order["action"], now_ps)
        elif kind == "leave":
            raise Left
        self._tell(time.monotonic())

    def _strike(self, values: dict[str, Any], now_ps: int) -> None:
        assert self._run is not None
        at_ps = self._soon(now_ps)
        fault = fault_of(at_ps, values)
        if self._may([*self._struck, fault], self._acted):
            self._run.inject(fault, at_ps)
            self._struck.append(fault)
            self._say({"said": "struck", "at_ps": at_ps, "values": values})

    def _act(self, values: dict[str, Any], now_ps: int) -> None:
        assert self._run is not None
        at_ps = self._soon(now_ps)
        action = Action(at_s=at_ps / PS_PER_S, **values)
        if self._may(self._struck, [*self._acted, action]):
            self._run.act(action, at_ps)
            self._acted.append(action)
            self._say({"said": "acted", "at_ps": at_ps, "values": values})

    def _may(self, struck: Sequence[Fault], acted: Sequence[Action]) -> bool:
        """Whether a scenario can say this; if not, why is said."""
        assert self._run is not None
        try:
            check_deeds(with_deeds(self._run.cluster.scenario, struck, acted))
        except Refusal as refused:
            self._say({"said": "not done", "words": str(refused)})
            return False
        return True

    def _soon(self, now_ps: int) -> int:
        """Now, rounded up to a microsecond; later than the last instant, and than all that was done before."""
        assert self._run is not None
        least_ps = max(now_ps, self._run.clock.now_ps + 1, self._done_ps + 1)
        at_ps = self._done_ps = -(-least_ps // MICROSECOND_PS) * MICROSECOND_PS
        self._may_ps = max(self._may_ps, at_ps if self._held else -1)
        self._stopped_ps = max(self._stopped_ps, at_ps)
        return at_ps

    def _tell(self, now_s: float) -> None:
        assert self._run is not None
        self._said_s = now_s
        self._run.log.flush()
        self._say(
            {
                "said": "now",
                "at_ps": self.now_ps(),
                "held": self._held,
                "pace": None if self._pace.factor == inf else self._pace.factor,
                "broken": self._newly_broken(),
            }
        )

    def _newly_broken(self) -> list[dict[str, Any]]:
        assert self._checker is not None
        kept = [broken for law in self._checker.statutes for broken in law.kept]
        if len(kept) == self._broken:
            return []
        self._broken = len(kept)
        return [{"law": each.law, "at_s": each.at_ps / PS_PER_S, "what": each.what} for each in kept]


def fault_of(at_ps: int, values: dict[str, Any]) -> Fault:
    """A fault as orders have it, at that time."""
    ends = {"machines": tuple(values["machines"])} if "machines" in values else {}
    return Fault(at_s=at_ps / PS_PER_S, **{**values, **ends})


def with_deeds(scenario: Scenario, struck: Sequence[Fault], acted: Sequence[Action]) -> Scenario:
    """The scenario with all that was done to its run, which repeats it.

    Its delays, which are numbered behind its faults, become faults, so that those that came later keep their numbers.
    """
    delays = [_as_fault(delay) for delay in scenario.delays] if struck else []
    return evolve(
        scenario,
        faults=(*scenario.faults, *delays, *struck),
        delays=() if struck else scenario.delays,
        actions=(*scenario.actions, *acted),
    )


def check_deeds(scenario: Scenario) -> None:
    """Refusal: a scenario cannot say what was done, so that it could not be saved either."""
    from_document(tomllib.loads(resolved_toml(scenario)), Path(f"{scenario.name}.toml"))


def _as_fault(delay: Delay) -> Fault:
    return Fault(kind="delay", message=delay.kind, nth=delay.nth, by_s=delay.by_s)


def say(words: dict[str, Any]) -> None:
    """One line to whoever started this process. Raises Left where nobody reads."""
    try:
        os.write(1, json.dumps(words).encode() + b"\n")
    except BrokenPipeError:
        raise Left from None


def main(arguments: Sequence[str]) -> int:
    """The process: `SETTINGS` as JSON is its one argument. Refusals and the end are said like everything else."""
    os.nice(_YIELDS)
    settings = json.loads(arguments[0])
    pace = inf if settings["pace"] is None else float(settings["pace"])
    helm = Helm(Orders(0), say, pace, int(settings["until_ps"]), bool(settings["held"]))
    try:
        scenario = load(Path(settings["scenario"]), tuple(settings["overrides"]), settings["seed"])
        outcome = execute(scenario, Path(settings["out"]), steer=helm)
    except Refusal as refused:
        say({"said": "refused", "words": str(refused)})
        return 2
    except Left:
        return 130
    say({"said": "over", "digest": outcome.summary["digest"], "broken": [law.name for law in outcome.broken]})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
