"""The journal: whatever moment a process dies at, what was finished is there and nothing else is."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.refusal import Refusal
from emu.sweep.journal import JOURNAL, Journal, check_folder

RESULTS = {f"k{number}": {"summary": {"figure": number, "text": "é\n"}} for number in range(5)}


@given(st.integers(0, 10_000))
def test_a_journal_cut_anywhere_keeps_its_whole_lines_and_goes_on(cut: int) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        with Journal(folder) as journal:
            for key, result in RESULTS.items():
                journal.add(key, result)
        whole = (folder / JOURNAL).read_bytes()
        cut = min(cut, len(whole))
        (folder / JOURNAL).write_bytes(whole[:cut])
        lines = whole[:cut].count(b"\n")
        with Journal(folder) as journal:
            assert journal.results == dict(list(RESULTS.items())[:lines])
            for key, result in RESULTS.items():
                if key not in journal.results:
                    journal.add(key, result)
        assert (folder / JOURNAL).read_bytes() == whole


def test_what_failed_is_to_be_tried_again(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.add("k", {"failure": "it died"})
        assert journal.results == {"k": {"failure": "it died"}}
    with Journal(tmp_path) as journal:
        assert journal.results == {}


def test_two_processes_do_not_fill_one_folder(tmp_path: Path) -> None:
    with Journal(tmp_path), pytest.raises(Refusal, match="no other process"), Journal(tmp_path):
        pass


def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    for text in ("my notes\n", json.dumps([1]) + "\n", json.dumps({"x": 1}) + "\n"):
        (tmp_path / JOURNAL).write_text(text)
        with pytest.raises(Refusal, match="journal of a sweep"), Journal(tmp_path):
            pass
        assert (tmp_path / JOURNAL).read_text() == text


def test_a_folder_of_anothers_is_refused(tmp_path: Path) -> None:
    check_folder(tmp_path / "new", frozenset({"a"}))
    (tmp_path / "a").touch()
    check_folder(tmp_path, frozenset({"a"}))
    (tmp_path / "b").touch()
    with pytest.raises(Refusal, match="holds b"):
        check_folder(tmp_path, frozenset({"a"}))
