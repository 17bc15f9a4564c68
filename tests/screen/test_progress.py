"""Progress on a terminal: drawn at most ten times a second, with what a person waits for, and gone at the end."""

import io

from rich.console import Console

from emu.record.entries import Arrived, RequestEnded
from emu.record.start import RunStarted
from emu.screen.progress import ENTRIES_BETWEEN_LOOKS, Progress


class Terminal:
    """A terminal that remembers, and a clock in a hand."""

    def __init__(self) -> None:
        self.written = io.StringIO()
        self.now_s = 0.0
        console = Console(file=self.written, force_terminal=True, width=160, color_system=None, legacy_windows=False)
        self.progress = Progress(console, lambda: self.now_s)

    def drawn(self) -> int:
        return self.written.getvalue().count("virtual time")


def ended(request: int, at_ps: int) -> RequestEnded:
    return RequestEnded(at_ps, 0, request, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)


def started(requests: int) -> RunStarted:
    return RunStarted("a [name]", "llama2-70b", 16, (), requests, True)


def test_it_draws_now_and_then_and_says_how_far_it_is() -> None:
    terminal = Terminal()
    with terminal.progress as progress:
        fold = progress(started(100 * ENTRIES_BETWEEN_LOOKS))
        end = fold.handlers[RequestEnded]
        for request in range(40 * ENTRIES_BETWEEN_LOOKS):
            terminal.now_s += 0.02 / ENTRIES_BETWEEN_LOOKS
            end(ended(request, request * 10**11))
    page = terminal.written.getvalue()
    assert 7 <= terminal.drawn() <= 8  # 0.8 s of a person's time
    assert "a [name]" in page
    assert "of 25,600 requests" in page
    assert "12,800 a second" in page
    assert "s left" in page


def test_nothing_is_drawn_between_looks() -> None:
    terminal = Terminal()
    with terminal.progress as progress:
        arrive = progress(started(10)).handlers[Arrived]
        for request in range(ENTRIES_BETWEEN_LOOKS - 1):
            terminal.now_s += 1.0
            arrive(Arrived(0, request, 1, 1))
    assert terminal.drawn() == 0


def test_it_is_silent_where_there_is_no_terminal() -> None:
    file = io.StringIO()
    with Progress(Console(file=file)) as progress:
        end = progress(started(1)).handlers[RequestEnded]
        for _ in range(ENTRIES_BETWEEN_LOOKS):
            end(ended(0, 0))
    assert file.getvalue().strip() == ""
