"""Any moment of a record, in any order, is what folding from its start gives; half a line is not there yet."""

import random
from pathlib import Path

import pytest
from command_runs import HELLO

from emu.cli import status_of
from emu.record.bulk import decode_bulk
from emu.record.lines import decode
from emu.refusal import Refusal
from emu.view import index
from emu.view.freeze import freeze
from emu.view.reader import INDEX, Reader
from emu.view.state import ClusterState

BURST = HELLO.with_name("burst.toml")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "burst"
    shorter = [
        "--set",
        "workload.duration_s=8",
        "--set",
        "machines[0].kv_blocks=400",
        "--set",
        "machines[1].kv_blocks=400",
    ]
    assert status_of(["run", str(BURST), "--out", str(folder), "--quiet", *shorter]) == 0
    return folder


def test_moments_in_any_order_are_those_of_a_fold_from_the_start(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emu.view.reader.EVERY_ENTRIES", 200)
    monkeypatch.setattr("emu.view.recording.PIECE_BYTES", 4096)
    reader = Reader(kept)
    reader.advance()
    reader.close()
    again = Reader(kept)  # by the index that the first one left
    assert again.over
    assert (kept / INDEX).is_file()
    draw = random.Random(3)
    moments = [draw.randrange(again.front_ps + 10**12) for _ in range(40)]
    entries = [decode(line) for line in (kept / "record.jsonl").read_text().splitlines()[1:]]
    for at_ps in moments:
        state = ClusterState(again.started)
        for entry in entries:
            if entry[0] > at_ps:
                break
            state.take(entry)
        assert again.view(at_ps) == freeze(state, at_ps)
        later = [entry[0] for entry in entries if entry[0] > at_ps]
        assert again.next_ps(at_ps) == (later[0] if later else None)
        earlier = [entry for entry in entries if entry[0] <= at_ps]
        assert next(again.before(at_ps), None) == (earlier[-1] if earlier else None)
    again.close()


def test_a_record_that_grows_is_read_as_it_grows(kept: Path, tmp_path: Path) -> None:
    whole = (kept / "record.jsonl").read_bytes()
    partial = tmp_path / "live.partial"
    partial.mkdir()
    first = whole.index(b"\n") + 1
    with open(partial / "record.jsonl", "wb") as file:
        file.write(whole[:first])
        file.flush()
        reader = Reader(tmp_path / "live")
        for start in range(first, len(whole), 50_001):
            file.write(whole[start : start + 50_001])
            file.flush()
            reader.advance()
            state = ClusterState(reader.started)
            there = whole[first : start + 50_001]
            for entry in decode_bulk(there[: there.rindex(b"\n") + 1]):
                state.take(entry)
            assert reader.view(10**18) == freeze(state, 10**18)
    assert reader.over
    reader.close()


def test_an_index_of_another_record_is_not_believed(kept: Path, tmp_path: Path) -> None:
    whole = (kept / "record.jsonl").read_bytes()
    (tmp_path / "record.jsonl").write_bytes(whole[: whole.rindex(b"\n", 0, len(whole) // 2) + 1])
    (tmp_path / INDEX).write_bytes((kept / INDEX).read_bytes())
    reader = Reader(tmp_path)
    assert reader.front_ps == 0
    reader.advance()
    assert not reader.over
    assert reader.view(reader.front_ps).counts.arrived > 0
    reader.close()


def test_an_index_of_another_version_is_not_believed(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (kept / INDEX).is_file()
    monkeypatch.setattr("emu.view.snapshot.SHAPE", "another")
    reader = Reader(kept)
    assert reader.front_ps == 0
    reader.close()


def test_an_index_that_was_cut_off_is_not_believed(kept: Path, tmp_path: Path) -> None:
    cut = (kept / INDEX).read_bytes()[:-40]
    (tmp_path / "cut").write_bytes(cut)
    assert index.Index.read(tmp_path / "cut", (kept / "record.jsonl").stat().st_size) is None


def test_one_life_holds_every_entry_that_names_it(kept: Path) -> None:
    reader = Reader(kept)
    entries = [decode(line) for line in (kept / "record.jsonl").read_text().splitlines()[1:]]
    named = [entry for entry in entries if getattr(entry, "request", None) == 7]
    life = reader.life(7)
    assert [entry for entry in life if getattr(entry, "request", None) == 7] == named
    assert life == sorted(life, key=lambda entry: entry[0])
    reader.close()


def test_a_life_is_the_same_bit_by_bit(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(kept)
    whole = [reader.life(request) for request in range(30)]
    monkeypatch.setattr("emu.view.search.CHUNK_BYTES", 700)
    for request, life in enumerate(whole):
        search = reader.search(request, 0)
        while search.advance(reader.recording.size_bytes, 0.0):
            pass
        assert search.found == life
    reader.close()


def test_entries_are_told_backwards_over_all_pieces(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emu.view.pieces.PIECE_BYTES", 300)
    monkeypatch.setattr("emu.view.pieces.MOST_ENTRIES", 50)
    monkeypatch.setattr("emu.view.reader.EVERY_ENTRIES", 200)
    reader = Reader(kept)
    reader.advance()
    entries = [decode(line) for line in (kept / "record.jsonl").read_text().splitlines()[1:]]
    assert list(reader.before(reader.front_ps)) == entries[::-1]
    draw = random.Random(5)
    for _ in range(5):
        at_ps = draw.randrange(reader.front_ps)
        assert list(reader.before(at_ps)) == [entry for entry in reversed(entries) if entry[0] <= at_ps]
        few = list(reader.before(at_ps, 2000))
        assert few == [entry for entry in reversed(entries) if entry[0] <= at_ps][: len(few)]
    reader.close()


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "there is none"), (b"", "no whole first line"), (b"{}\n", "RunStarted"), (b"nonsense\n", "RunStarted")],
)
def test_what_is_no_record_is_refused(tmp_path: Path, content: bytes | None, expected: str) -> None:
    folder = tmp_path / "run"
    if content is not None:
        folder.mkdir()
        (folder / "record.jsonl").write_bytes(content)
    with pytest.raises(Refusal, match=expected):
        Reader(folder)


def test_lines_that_are_no_entries_are_refused_by_their_place(kept: Path, tmp_path: Path) -> None:
    first = (kept / "record.jsonl").read_bytes().split(b"\n", 1)[0] + b"\n"
    (tmp_path / "record.jsonl").write_bytes(first + b'{"entry":"Nobody","at_ps":1}\n')
    reader = Reader(tmp_path)
    with pytest.raises(Refusal, match=f"byte {len(first)}"):
        reader.advance()
    reader.close()
