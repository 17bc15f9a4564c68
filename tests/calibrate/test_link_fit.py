"""A link's figures from copies and transfers, where what they are is known."""

import csv
from pathlib import Path
from typing import Any

import pytest

from emu.calibrate.link_fit import HOST_SHARES, SHARES, as_toml, link_tables
from emu.cli import status_of
from emu.fake.host import parse_host
from emu.fake.profiles import load_model
from emu.fake.signals import parse_signals
from emu.refusal import Refusal

MODEL = load_model("llama3-8b")
RATE = 200_000_000_000
MODES = ("serialized", "layer-wise")


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def tables(folder: Path, sync_s: float = 25e-6) -> None:
    """A link of 200 GB/s and 1 ms of launching, with signals of 1.0 to 1.2 ms, and twice that where it is busy; a host
    whose decode steps scatter by 0.3 ms, and whose prefills wait 0.7 ms for a copy's launch and take 4 % longer behind
    one another, 1 % less behind a pause."""
    longer_ms = 1e3 * sync_s * MODEL.layers
    prefills = {tokens: tokens / 32 for tokens in (64, 512, 1024, 2048)}
    steps = [
        {"phase": phase, "batch": batch, "context": tokens, "ms": ms + 0.5, "turn_ms": 0.5}
        for tokens, ms in prefills.items()
        for phase, batch in [("prefill", 1), ("prefill", 2), ("decode", 1)]
    ]
    copies = [
        {
            "prompt_tokens": tokens,
            "ms": 9.0 if tokens < 512 else 1 + 1e3 * tokens * MODEL.kv_bytes_per_token / RATE,
            "layer_wise_prefill_ms": ms + (longer_ms if tokens >= 512 else 8.0),
            "prefill_ms": ms,
            "next_prefill_ms": ms + 0.7 + (5.0 if tokens == 64 else 0.0),  # one is no median
        }
        for tokens, ms in prefills.items()
    ]
    transfers = [
        {
            "mode": mode,
            "busy": busy,
            "bytes": 8 * visible,
            "visible_bytes": visible,
            "remainder_ms": (1 + busy) * (1 + 0.02 * number) + 1e3 * visible / RATE,
            "model": "llama3-8b",
        }
        for mode in MODES
        for busy in (0, 1)
        for number in range(11)
        for visible in [1_000_000 * (1 + number % 3)]
    ]
    followed_ms = 1e3 * max(1e-6, sync_s) * MODEL.layers
    prefilled = [
        {
            "layer_wise": layer_wise,
            "behind": behind,
            "launches": launches,
            "alone_ms": 20.0,
            "ms": (20.0 + layer_wise * followed_ms) * (1.04 if behind else 0.99) + launches * 0.7,
        }
        for layer_wise in (0, 1)
        for behind, launches in [(0, 0), (1, 0), (1, 1), (1, 2)]
    ]
    write(folder / "prefills.csv", prefilled)
    write(folder / "turns.csv", [{"sequences": 3, "over_ms": 0.003 * each - 0.15} for each in range(101)])
    write(folder / "steps.csv", steps)
    write(folder / "copies.csv", copies)
    write(folder / "transfers.csv", transfers)


def test_what_was_put_in_comes_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables(tmp_path)
    found = link_tables(tmp_path)
    assert found["nic_bytes_per_s"] == RATE
    assert found["layer_sync_s"] == pytest.approx(25e-6)
    assert found["signal_s"] == pytest.approx(1.65e-3)
    figures = parse_signals(dict(found["signals"]), "here")
    for share, idle_s, busy_s in zip(SHARES, figures.layer_wise_s, figures.serialized_busy_s, strict=True):
        assert idle_s == pytest.approx(1e-3 + share * 0.2e-3, abs=1e-6)
        assert busy_s == pytest.approx(2 * idle_s, abs=2e-6)
    host = parse_host(dict(found["host"]), "here")
    assert host.launch_s == pytest.approx(0.7e-3)
    assert (host.behind, host.paused) == pytest.approx((0.04, -0.01))
    assert host.shares == HOST_SHARES
    assert host.over_s == pytest.approx([0.3e-3 * share - 0.15e-3 for share in HOST_SHARES], abs=1e-6)
    assert status_of(["calibrate", "link", str(tmp_path)]) == 0
    assert capsys.readouterr().out == as_toml(found)


def test_no_synchronisation_is_less_than_a_microsecond(tmp_path: Path) -> None:
    tables(tmp_path, sync_s=-3e-5)
    assert link_tables(tmp_path)["layer_sync_s"] == 1e-6


def test_tables_that_lack_something_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"steps\.csv: expected a table that can be read"):
        link_tables(tmp_path)
    tables(tmp_path)
    lines = (tmp_path / "transfers.csv").read_text().splitlines()
    (tmp_path / "transfers.csv").write_text("\n".join(line for line in lines if not line.startswith("serialized,1")))
    with pytest.raises(Refusal, match="two transfers or more for serialized_busy_s"):
        link_tables(tmp_path)
    tables(tmp_path)
    (tmp_path / "turns.csv").write_text("sequences,over_ms\n1,0.2\n")
    with pytest.raises(Refusal, match=r"turns\.csv: expected two decode steps"):
        link_tables(tmp_path)
    rows = (tmp_path / "prefills.csv").read_text().splitlines()
    (tmp_path / "prefills.csv").write_text("\n".join(row for row in rows if row.split(",")[1] != "0"))
    with pytest.raises(Refusal, match=r"prefills\.csv: expected prefills that begin as another ends, and others"):
        link_tables(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("copies", "prompt_tokens\n512\n", r"copies\.csv:1: expected a column ms"),
        ("turns", "sequences,over_ms\n1,0.1\n2\n", r"turns\.csv:3: expected a column over_ms"),
        ("turns", "sequences,over_ms\n", r"turns\.csv: expected rows of over_ms"),
        ("turns", "sequences,over_ms\n1,soon\n", r"expected the tables of emu run --profile-out \(could not convert"),
        ("turns", "sequences,over_ms\n1,nan\n1,0\n", "expected the tables of emu run --profile-out"),
        ("copies", None, r"copies\.csv: expected a table that can be read"),
    ],
)
def test_a_broken_table_is_named(tmp_path: Path, name: str, text: str | None, line: str) -> None:
    tables(tmp_path)
    path = tmp_path / f"{name}.csv"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with pytest.raises(Refusal, match=line):
        link_tables(tmp_path)
