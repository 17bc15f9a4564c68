"""The cockpit on a real terminal: however it ends, the terminal is given back and no run goes on."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_runs import HELLO

DEADLINE_S = 60.0
ALTERNATE, BACK = b"\x1b[?1049h", b"\x1b[?1049l"


class Terminal:
    """One program on a terminal of 80x24, and all that it wrote."""

    def __init__(self, *arguments: str, room: Path) -> None:
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "emu", *arguments],
            env={**os.environ, "TERM": "xterm-256color", "TMPDIR": str(room), "COLUMNS": "80", "LINES": "24"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.written = b""

    def until(self, wanted: Callable[[bytes], bool]) -> None:
        ends = time.monotonic() + DEADLINE_S
        while not wanted(self.written):
            assert time.monotonic() < ends, self.written[-2000:]
            if not select.select([self.ours], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(self.ours, 1 << 16)
            except OSError:  # nobody has the other end any more
                break
            if not piece:
                break
            self.written += piece
        assert wanted(self.written), self.written[-2000:]

    def close(self) -> None:
        os.close(self.ours)
        self.process.kill()
        self.process.wait()


def quits(terminal: Terminal) -> None:
    os.write(terminal.ours, b"q")


def is_told_to_end(terminal: Terminal) -> None:
    terminal.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize(("leave", "status"), [(quits, 0), (is_told_to_end, 128 + signal.SIGTERM)])
def test_the_terminal_is_given_back(tmp_path: Path, leave: Callable[[Terminal], None], status: int) -> None:
    terminal = Terminal("watch", str(HELLO), "--pace", "1", room=tmp_path)
    try:
        terminal.until(lambda written: ALTERNATE in written and b"LIVE" in written)
        assert len(list(tmp_path.iterdir())) == 1  # the run's own
        leave(terminal)
        terminal.until(lambda written: BACK in written)
        assert terminal.process.wait(DEADLINE_S) == status
        assert list(tmp_path.iterdir()) == []
    finally:
        terminal.close()


def test_a_record_that_is_none_is_one_line_on_a_terminal_too(tmp_path: Path) -> None:
    terminal = Terminal("replay", str(tmp_path / "nowhere"), room=tmp_path)
    try:
        terminal.until(lambda written: b"there is none" in written)
        assert terminal.process.wait(DEADLINE_S) == 2
        assert terminal.written.count(b"\n") == 1
        assert ALTERNATE not in terminal.written
    finally:
        terminal.close()
