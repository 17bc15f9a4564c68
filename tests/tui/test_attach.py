"""A run that somebody else started is followed while it is written, and is a kept record when it has ended."""

import asyncio
from pathlib import Path

from kept_runs import hello
from textual.pilot import Pilot

from emu.view.reader import Reader
from tui.app import Cockpit
from tui.deck import Deck
from tui.player import Player


def test_what_another_process_writes_is_followed_to_its_end(tmp_path: Path) -> None:
    whole = (hello() / "record.jsonl").read_bytes()
    partial = tmp_path / "run.partial"
    partial.mkdir()
    cut = whole.index(b"\n", len(whole) // 2) + 1

    async def story(pilot: Pilot[None], app: Cockpit) -> None:
        for _ in range(100):
            if app.player.at_ps:
                break
            await pilot.pause(0.05)
        half = app.player.at_ps
        assert app.player.clock().live
        with open(partial / "record.jsonl", "ab") as file:
            file.write(whole[cut:])
        for _ in range(100):
            if not app.player.clock().live:
                break
            await pilot.pause(0.05)
        assert not app.player.clock().live
        assert app.player.reader.over
        assert app.player.end_ps > half

    async def run() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            await story(pilot, app)

    (partial / "record.jsonl").write_bytes(whole[:cut])
    reader = Reader(tmp_path / "run")
    app = Cockpit(Deck(Player(reader, live=True)))
    asyncio.run(run())
    reader.close()
