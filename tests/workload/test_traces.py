"""Every format that `read_trace` knows: what is written comes back, and what is no row is refused at its own line."""

import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.refusal import Refusal
from emu.workload.table import MOST_TOKENS, Workload
from emu.workload.traces import FORMATS, read_trace

Row = tuple[int, int, int]  # arrival in ticks of 100 ns, prompt tokens, output tokens
TICKS_PER_S = 10**7
PS_PER_TICK = 10**5

tokens = st.integers(1, MOST_TOKENS) | st.integers(1, 3)
rows = st.lists(
    st.tuples(st.integers(0, 20) | st.integers(0, 30 * 86_400 * TICKS_PER_S), tokens, tokens), min_size=1, max_size=20
)


def seconds(ticks: int) -> str:
    return f"{ticks // TICKS_PER_S}.{ticks % TICKS_PER_S:07}"


def date_time(ticks: int) -> str:
    """From the last minutes of a leap February on, so that days and months turn over."""
    whole, fraction = divmod(ticks + (23 * 3600 + 59 * 60) * TICKS_PER_S, TICKS_PER_S)
    day, of_day = divmod(whole, 86_400)
    date = f"2024-02-{29 + day:02}" if day == 0 else f"2024-03-{day:02}"
    return f"{date} {of_day // 3600:02}:{of_day // 60 % 60:02}:{of_day % 60:02}.{fraction:07}"


def azure(row: Row) -> str:
    return f"{date_time(row[0])},{row[1]},{row[2]}"


def mooncake(row: Row) -> str:
    ticks, prompt, output = row
    time_ms = f"{ticks // 10_000}.{ticks % 10_000:04}" if ticks % 10_000 else f"{ticks // 10_000}"
    return f'{{"timestamp": {time_ms}, "input_length": {prompt}, "output_length": {output}, "hash_ids": [{ticks}, 7]}}'


WRITERS: dict[str, tuple[str, Callable[[Row], str]]] = {
    "azure": ("TIMESTAMP,ContextTokens,GeneratedTokens", azure),
    "azure-2025": ("TIMESTAMP,ContextTokens,GeneratedTokens,NumImages", lambda row: azure(row) + ",0"),
    "splitwise-sim": (
        "request_id,request_type,application_id,arrival_timestamp,batch_size,prompt_size,token_size",
        lambda row: f"0,2,0,{seconds(row[0])},1,{row[1]},{row[2]}",
    ),
    "vidur": (
        "arrived_at,num_prefill_tokens,num_decode_tokens",
        lambda row: f"{seconds(row[0])},{row[1]},{row[2]}",
    ),
    "burstgpt": (
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type",
        lambda row: f'{seconds(row[0])},"GPT-4, turbo",{row[1]},{row[2]},{row[1] + row[2]},API log',
    ),
    "emu": (
        "request_id,arrival_s,prompt_tokens,output_tokens,ttft_s",
        lambda row: f"0,{seconds(row[0])},{row[1]},{row[2]},",
    ),
    "mooncake": ("", mooncake),
}
every_format = pytest.mark.parametrize("form", WRITERS)
thrifty = settings(max_examples=25)  # for tests that run once for each format


def text_of(form: str, written: Sequence[Row]) -> str:
    header, line = WRITERS[form]
    return "\n".join([*([header] if header else []), *map(line, written)]) + "\n"


def columns_of(workload: Workload) -> list[tuple[int, int, int]]:
    return list(zip(workload.arrivals_ps, workload.prompt_tokens, workload.output_tokens, strict=True))


@pytest.fixture(scope="module")
def new_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes | str], Path]:
    """A function that writes a new file and returns its path; Hypothesis may call it as often as it likes."""
    folder, numbers = tmp_path_factory.mktemp("traces"), count()

    def write(content: bytes | str) -> Path:
        path = folder / f"trace-{next(numbers)}.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


NewFile = Callable[[bytes | str], Path]


@every_format
@thrifty
@given(written=rows)
def test_what_is_written_comes_back_in_order_of_arrival(form: str, new_file: NewFile, written: list[Row]) -> None:
    read = read_trace(new_file(text_of(form, written)))
    start = min(row[0] for row in written) if form.startswith("azure") else 0
    in_order = sorted(written, key=lambda row: row[0])
    assert columns_of(read) == [((ticks - start) * PS_PER_TICK, p, o) for ticks, p, o in in_order]
    assert (read.left_out, read.left_out_reason) == (0, "")
    if form == "mooncake":
        assert read.prefix is not None
        assert [list(read.prefix.ids.row(i)) for i in range(len(read))] == [[ticks, 7] for ticks, _, _ in in_order]


@every_format
@thrifty
@given(written=rows, crlf=st.booleans(), mark=st.booleans(), blank=st.sampled_from(["", "\n", "\n \n\n"]))
def test_packing_and_line_ends_change_nothing(
    form: str, new_file: NewFile, written: list[Row], crlf: bool, mark: bool, blank: str
) -> None:
    plain = text_of(form, written)
    dressed = ((plain + blank).replace("\n", "\r\n") if crlf else plain + blank).encode(
        "utf-8-sig" if mark else "utf-8"
    )
    expected = columns_of(read_trace(new_file(plain)))
    assert columns_of(read_trace(new_file(dressed))) == expected
    assert columns_of(read_trace(new_file(gzip.compress(dressed)))) == expected
    assert columns_of(read_trace(new_file(plain.rstrip("\n")))) == expected


def refusal_of(path: Path) -> str:
    with pytest.raises(Refusal) as caught:
        read_trace(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


BAD_COUNTS = (
    "-3",
    "0",
    "00",
    "nan",
    "1.5",
    "7.0",
    "1e3",
    "inf",
    "many",
    "",
    " ",
    "1_0",
    "+5",
    "٣",
    "²",
    str(2**31),
    "9" * 5000,
)
BAD_SECONDS = (
    "-1",
    "-0.5",
    "nan",
    "inf",
    "soon",
    "",
    "1_0",
    "1.2.3",
    "٣",
    "1e400",
    "9999999",
    "1e7",
    "9" * 30,
    "1e",
    ".5",
)
BAD_DATES = (
    "2024-02-30 00:00:00",
    "2024-13-01 00:00:00",
    "0000-01-01 00:00:00",
    "2024-02-29 24:00:00",
    "2024-02-29 23:60:00",
    "2024-02-29 23:59:60",
    "2024-02-29 23:59:59.",
    "2024-02-29 23:59:59+02:00",
    "2024-02-29",
    "1024-02-29 23:59:59",
    "12.5",
    "",
)
good_rows = st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 9), st.integers(1, 9)), max_size=4)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@thrifty
@given(before=good_rows, after=good_rows, data=st.data())
def test_a_bad_cell_is_refused_at_its_line(
    form: object, new_file: NewFile, before: list[Row], after: list[Row], data: st.DataObject
) -> None:
    assert form in FORMATS
    known = FORMATS[FORMATS.index(form)]
    header, line = WRITERS["emu" if known.name.startswith("emu") else known.name]
    column = data.draw(st.sampled_from(known.columns))
    if column != known.arrival:
        bad = data.draw(st.sampled_from(BAD_COUNTS))
        if known.zero_output and column == known.output and bad in ("0", "00"):
            bad = "-1"
    else:
        bad = data.draw(st.sampled_from(BAD_DATES if known.absolute else BAD_SECONDS))
        before = before or [(0, 1, 1)]  # a date is too far from others only where there are others
    cells = line((0, 1, 1)).replace('"GPT-4, turbo"', "GPT-4").split(",")
    cells[header.split(",").index(column)] = bad
    path = new_file("\n".join([header, *map(line, before), ",".join(cells), *map(line, after)]))
    assert refusal_of(path).startswith(f"{path}:{len(before) + 2}: {column}: expected ")


def test_the_message_shows_what_was_found(new_file: NewFile) -> None:
    path = new_file(text_of("azure", [(0, 1, 1)] * 15) + "2024-02-29 23:59:59,-3,1\n")
    assert refusal_of(path) == f"{path}:17: ContextTokens: expected a positive whole number, got '-3'"


@pytest.mark.parametrize("form", [form for form in WRITERS if form != "mooncake"])
@thrifty
@given(before=good_rows, fault=st.sampled_from(["short", "long", "blank", "quote", "bytes"]))
def test_a_row_that_is_none_is_refused_at_its_line(form: str, new_file: NewFile, before: list[Row], fault: str) -> None:
    header, line = WRITERS[form]
    good = line((0, 1, 1))
    bad = {
        "short": good.rsplit(",", 1)[0],
        "long": good + ",1",
        "blank": "",
        "quote": '"' + good.replace('"', ""),
        "bytes": good + "\udcff",
    }[fault]
    content = "\n".join([header, *map(line, before), bad, good])
    path = new_file(content.encode(errors="surrogateescape"))
    assert refusal_of(path).startswith(f"{path}:{len(before) + 2}: expected ")


MOONCAKE_ROW = {"timestamp": 0, "input_length": 5, "output_length": 1, "hash_ids": [1]}


@pytest.mark.parametrize("key", MOONCAKE_ROW)
@thrifty
@given(before=good_rows, data=st.data())
def test_a_bad_value_of_mooncake_is_refused_at_its_line(
    key: str, new_file: NewFile, before: list[Row], data: st.DataObject
) -> None:
    bad_values = ["-3", '"7"', "null", "true", "-0.5", "1" + "0" * 30, "{}", "1e999999999"]
    bad_values += ["0", "1.5", "5.0", "2147483648"] if key.endswith("length") else []
    bad_values += (
        ["1", "[-1]", "[1.5]", "[true]", '["a"]', "[[1]]", "[9223372036854775808]"] if key == "hash_ids" else []
    )
    bad = data.draw(st.sampled_from(bad_values))
    row = json.dumps(MOONCAKE_ROW | {key: "?"}).replace('"?"', bad)
    path = new_file("\n".join([*map(mooncake, before), row, mooncake((0, 1, 1))]))
    assert refusal_of(path).startswith(f"{path}:{len(before) + 1}: {key}: expected ")


@given(
    before=good_rows,
    bad=st.sampled_from(
        ["{", "[1]", "5", '{"timestamp": NaN}', '{"timestamp": 1}', "{}", "x", '{"a":' + "[" * 100_000]
    ),
)
def test_a_line_that_is_no_mooncake_row_is_refused_at_its_line(new_file: NewFile, before: list[Row], bad: str) -> None:
    path = new_file("\n".join([*map(mooncake, [(0, 1, 1), *before]), bad]))
    assert refusal_of(path).startswith(f"{path}:{len(before) + 2}: expected ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty file"),
        (b"\n\n", "empty file"),
        (b"\xef\xbb\xbf", "empty file"),
        (b"TIMESTAMP,ContextTokens,GeneratedTokens\n", "at least one request below the header"),
        (b"TIMESTAMP,ContextTokens\n1,2\n", "azure but lacks the column GeneratedTokens"),
        (b"a,b\n1,2\n", "mooncake (JSON: timestamp, input_length, output_length, hash_ids); got 'a, b'"),
        (b'{"input_toks": 3}\n', "expected mooncake's keys"),
        (b"arrived_at,arrived_at,num_prefill_tokens,num_decode_tokens\n", "arrived_at 2 times"),
        (
            b"arrived_at,num_prefill_tokens,num_decode_tokens,arrival_s,prompt_tokens,output_tokens\n",
            "columns of vidur and emu requests.csv",
        ),
        (b"Timestamp,Request tokens,Response tokens\n1,5,0\n2,5,0\n", "all 2 rows are left out"),
        (b"\n" + text_of("vidur", [(0, 1, 1)]).encode(), ":1: expected a row, got a blank line"),
        (b"\xff\xfe,", ":1: expected UTF-8"),
        (gzip.compress(text_of("vidur", [(0, 1, 1)]).encode())[:-9], "ends early"),
        (gzip.compress(text_of("vidur", [(0, 1, 1)]).encode())[:5], "ends early"),
        (b"\x1f\x8b" + zlib.compress(b"no"), "is broken"),
    ],
)
def test_a_file_that_is_no_trace_is_refused(new_file: NewFile, content: bytes, said: str) -> None:
    path = new_file(content)
    assert refusal_of(path).startswith(str(path))
    assert said in refusal_of(path)


def test_a_truncated_gzip_is_refused_at_the_line_where_it_ends(new_file: NewFile) -> None:
    packed = gzip.compress(text_of("vidur", [(i * i, i + 1, 1) for i in range(50_000)]).encode())
    path = new_file(packed[: len(packed) // 2])
    line = int(refusal_of(path).removeprefix(f"{path}:").split(":")[0])
    assert 10_000 < line < 40_000


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert refusal_of(tmp_path) == f"{tmp_path}: cannot be read: Is a directory"
    assert refusal_of(tmp_path / "none.csv") == f"{tmp_path / 'none.csv'}: cannot be read: No such file or directory"
    assert "cannot be read" in refusal_of(Path("a\0b"))


@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(new_file: NewFile, content: bytes) -> None:
    for start in (b"", b"\x1f\x8b", b'{"timestamp": ', b"arrived_at,num_prefill_tokens,num_decode_tokens\n"):
        refusal_of(new_file(start + content))


@every_format
@thrifty
@given(written=rows, at=st.integers(0, 10**6), junk=st.binary(max_size=3), cut=st.integers(0, 3))
def test_damaged_bytes_are_read_or_refused(
    form: str, new_file: NewFile, written: list[Row], at: int, junk: bytes, cut: int
) -> None:
    content = text_of(form, written).encode()
    at %= len(content)
    path = new_file(content[:at] + junk + content[at + cut :])
    try:
        read = read_trace(path)
    except Refusal as refusal:
        read, said = None, str(refusal)
    if read is None:
        assert said.startswith(str(path))
    else:
        assert min(*read.prompt_tokens, *read.output_tokens) > 0
        assert list(read.arrivals_ps) == sorted(read.arrivals_ps)


@given(written=rows, failed=st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_failed_requests_of_burstgpt_are_left_out_and_counted(
    new_file: NewFile, written: list[Row], failed: list[int]
) -> None:
    failures = "".join(f"{i},GPT-4,{prompt},0,{prompt},API log\n" for i, prompt in enumerate(failed))
    read = read_trace(new_file(text_of("burstgpt", written) + failures))
    assert columns_of(read) == columns_of(read_trace(new_file(text_of("burstgpt", written))))
    assert (read.left_out, read.left_out_reason) == (len(failed), "failed: Response tokens is 0")


@pytest.mark.parametrize(
    ("text", "time_ps"),
    [
        ("0", 0),
        ("0.1", 10**11),
        ("2.", 2 * 10**12),
        (" 3 ", 3 * 10**12),
        ("0.123456789012", 123456789012),
        ("0.1234567890129999999999", 123456789012),
        ("4.75e-06", 4_750_000),
        ("2.e3", 2 * 10**15),
        ("1E+2", 10**14),
        ("1e-300", 0),
        ("9223372.036854775807", 2**63 - 1),
    ],
)
def test_seconds_are_read_exactly(new_file: NewFile, text: str, time_ps: int) -> None:
    assert (
        read_trace(new_file(f"arrived_at,num_prefill_tokens,num_decode_tokens\n{text},1,1\n")).arrivals_ps[0] == time_ps
    )


@given(st.integers(0, 2**63 - 1))
def test_every_picosecond_can_be_written(new_file: NewFile, time_ps: int) -> None:
    text = f"{time_ps // 10**12}.{time_ps % 10**12:012}"
    path = new_file(f"arrived_at,num_prefill_tokens,num_decode_tokens\n{text},1,1\n")
    assert list(read_trace(path).arrivals_ps) == [time_ps]


def test_dates_of_2024_with_their_zone_and_of_another_day_first(new_file: NewFile) -> None:
    header = "TIMESTAMP,ContextTokens,GeneratedTokens"
    lines = ["2024-05-11 00:00:00.009930+00:00,2,2", "2024-05-10T23:59:59Z,1,1"]
    read = read_trace(new_file("\n".join([header, *lines])))
    assert columns_of(read) == [(0, 1, 1), (1_009_930_000_000, 2, 2)]


def test_dates_too_far_apart_are_refused(new_file: NewFile) -> None:
    header = "TIMESTAMP,ContextTokens,GeneratedTokens"
    path = new_file("\n".join([header, *(f"2024-0{month}-01 00:00:00,1,1" for month in (5, 2, 8))]))
    assert "within 9223372 s (106 days) of each other" in refusal_of(path)


def test_options_that_make_no_sense_are_the_callers_mistake(new_file: NewFile) -> None:
    path = new_file(text_of("vidur", [(10**7, 1, 1)]))
    for options in ({"limit": 0}, {"until_s": -1.0}, {"until_s": float("nan")}, {"speedup": 0.0}):
        with pytest.raises(ValueError, match="expected"):
            read_trace(path, **options)


def test_a_trace_of_which_nothing_is_left_is_refused(new_file: NewFile) -> None:
    path = new_file(text_of("vidur", [(10**7, 1, 1)]))
    with pytest.raises(Refusal, match=r"expected an arrival before until_s = 1\.0"):
        read_trace(path, until_s=1.0)
    with pytest.raises(Refusal, match="speedup = 1e-09: expected arrivals within"):
        read_trace(path, speedup=1e-9)
    assert list(read_trace(path, until_s=1.0000001, speedup=0.5).arrivals_ps) == [2 * 10**12]
