"""The cockpit on a real terminal, measured from inside: python tests/bench/seen.py PACE DURATION REPORT.

It is the application itself, over the 40-machine scenario. When the screen that follows a key has gone to the terminal,
a mark follows it, by which whoever holds the other end knows when it came. What a key, a screen and each go of the
event loop take is counted, and written to REPORT as JSON when `q` is pressed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

from bench.counter import Counter, Work
from emu.scenario.load import load
from emu.view.reader import Reader
from emu.view.survey import PS_PER_S
from tui.app import Cockpit
from tui.deck import Deck
from tui.operate import Operator, slo_of
from tui.player import Player

SCENARIO: Final = Path(__file__).parents[2] / "scenarios" / "splitwise_hh.toml"
MARK: Final = "\x1b]7007;{}\x07"  # a terminal does not show it
WARM_S: Final = 3.0
KEPT_GOES: Final = 30


class Seen(Cockpit):
    """Counts what it does; what it does is the cockpit's own."""

    def __init__(self, deck: Deck, operator: Operator) -> None:
        super().__init__(deck, operator)
        self.counter = Counter()
        self.keys: list[dict[str, Any]] = []
        self.screens: list[Work] = []
        self.old: list[float] = []
        self.goes: list[tuple[int, float, str]] = []
        self.did: list[str] = []
        self.began: dict[str, float] = {}
        self.began_screens = 0
        self._pending: list[tuple[str, str, Work]] = []
        self._sizes: deque[tuple[float, int]] = deque(maxlen=200)
        self._drawn: float | None = None
        self._shown_age: float | None = None

    def on_mount(self) -> None:
        super().on_mount()
        run = asyncio.Handle._run

        def counted(handle: asyncio.Handle) -> None:
            before = self.counter.now()
            self.did.clear()
            run(handle)
            work = self.counter.now().since(before)
            if self.began:
                self.goes.append((work.instructions, work.cpu_s, " ".join(self.did)))
                if len(self.goes) > 100 * KEPT_GOES:
                    self.goes = sorted(self.goes, reverse=True)[:KEPT_GOES]

        asyncio.Handle._run = counted  # type: ignore[method-assign,assignment]
        self.set_timer(WARM_S, self.begin)

    def begin(self) -> None:
        """From now on it counts."""
        assert self.operator is not None
        self.keys.clear()
        self.old.clear()
        self.began_screens = self.frames
        self.began = self.so_far()
        self.tell(0)

    def so_far(self) -> dict[str, float]:
        assert self.operator is not None
        return {
            "wall_s": time.perf_counter(),
            "virtual_s": self.operator.now_ps / PS_PER_S,
            "own_cpu_s": time.process_time(),
            "run_cpu_s": cpu_s(self.operator),
            "entries": self.player.reader.view(self.player.reader.front_ps).entries,
            "instructions": self.counter.now().instructions,
        }

    def press(self, key: str) -> bool:
        before, page = self.counter.now(), self.deck.page.name
        self.did.append(f"press {key} on {page}")
        meant = super().press(key)
        self._pending.append((key, page, before))
        return meant

    def draw(self) -> None:
        now_s, read = time.perf_counter(), self.player.reader.read_bytes
        self._sizes.append((now_s, self.player.reader.recording.size_bytes))
        before = self.counter.now()
        super().draw()
        self.screens.append(self.counter.now().since(before))
        self.did.append(f"draw {self.deck.page.name}")
        self._drawn = next((at_s for at_s, size in self._sizes if size > read), time.perf_counter())

    def post_display_hook(self) -> None:
        if self._drawn is None:
            return
        if self.player.follow:
            self.old.append(time.perf_counter() - self._drawn)
        self._drawn = None
        for key, page, before in self._pending:
            work = self.counter.now().since(before)
            self.keys.append({"key": key, "page": page, "instructions": work.instructions, "cpu_s": work.cpu_s})
            self.tell(len(self.keys))
        self._pending.clear()

    def tell(self, number: int) -> None:
        """Behind all that was drawn so far."""
        assert self._driver is not None
        self._driver.write(MARK.format(number))

    def report(self) -> dict[str, Any]:
        now = self.so_far()
        screens = self.screens[self.began_screens :]
        return {
            "keys": self.keys,
            "old_s": self.old,
            "goes": sorted(self.goes, reverse=True)[:KEPT_GOES],
            "screens": len(screens),
            "screen_instructions": sum(each.instructions for each in screens) / len(screens),
            "screen_cpu_s": sum(each.cpu_s for each in screens) / len(screens),
            "passed": {name: now[name] - self.began[name] for name in now},
        }


def cpu_s(operator: Operator) -> float:
    """CPU time of the run's process so far."""
    assert operator.process is not None
    fields = Path(f"/proc/{operator.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    pace, duration_s, report = float(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
    scenario = load(SCENARIO, (f"workload.duration_s={duration_s}",), None)
    operator = Operator(scenario, None, pace)
    app = Seen(Deck(Player(Reader(operator.folder, slo_of(scenario)), live=True, pace=pace)), operator)
    leave = app.leave

    def leave_and_tell() -> None:
        report.write_text(json.dumps(app.report()), encoding="utf-8")
        leave()

    app._keys["q"] = leave_and_tell
    try:
        app.run()
    finally:
        operator.close()


if __name__ == "__main__":
    main()
