"""The folder of a run is whole or not there at all, whatever happens on the way."""

import errno
import json
from pathlib import Path

import pytest

from emu.output import FILES, Folder
from emu.refusal import Refusal


def fill(folder: Folder) -> None:
    folder.record.write(b"{}\n")
    folder.requests.write("request_id\n")


def test_it_takes_its_name_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "kept"
    with Folder(path) as folder:
        fill(folder)
        assert not path.exists()
        folder.keep('name = "x"\n', {"digest": "00"})
    assert {file.name for file in path.iterdir()} == FILES
    assert json.loads((path / "summary.json").read_text()) == {"digest": "00"}
    assert (path / "record.jsonl").read_bytes() == b"{}\n"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ZeroDivisionError(), Refusal("trace.csv:3", "a number")])
def test_nothing_stays_of_a_run_that_fails(tmp_path: Path, failure: BaseException) -> None:
    def run() -> None:
        with Folder(tmp_path / "a" / "kept") as folder:
            fill(folder)
            raise failure

    with pytest.raises(type(failure)):
        run()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    def run() -> None:
        with Folder(tmp_path / "kept") as folder:
            fill(folder)
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Refusal, match=r"^--out .*kept: expected a place to write to; No space left on device$"):
        run()
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_json_has_no_word_for_is_a_bug(tmp_path: Path) -> None:
    def run() -> None:
        with Folder(tmp_path / "kept") as folder:
            folder.keep("", {"ttft_s": float("nan")})

    with pytest.raises(ValueError, match="JSON"):
        run()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["..", ".", "/", "x/.."])
def test_a_path_that_names_no_new_folder_is_refused(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").write_text("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refusal):
        Folder.check(Path(path))


def test_a_link_in_the_place_of_a_left_over_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "kept.partial").symlink_to(tmp_path / "mine")
    with pytest.raises(Refusal, match=r"kept\.partial"), Folder(tmp_path / "kept"):
        pass
    assert (tmp_path / "kept.partial").is_symlink()
