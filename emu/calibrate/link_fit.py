"""From what a real pair measured of its copies and transfers to the figures that a hardware profile has of its link.

`copies.csv` times caches alone and under a prefill, `transfers.csv` the transfers of whole runs (`emu run --world real
--profile-out`). Plain arithmetic in a fixed order: the same tables give the same text. What a run makes of the figures
stands in `emu.fake.link` and `emu.fake.signals`.
"""

import csv
import math
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import tomli_w

from emu.fake.profiles import load_model
from emu.refusal import Refusal

FROM_TOKENS: Final = 512
"""Copies of shorter prompts take as long as launching them."""

SHARES: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
HOST_SHARES: Final = (0.0, 0.01, 0.02, *SHARES[1:-2], 0.99, 0.995, 0.998, 0.999, 1.0)
LEAST_S: Final = 1e-6
COLUMNS: Final = {
    "steps": ("phase", "batch", "context", "ms", "turn_ms"),
    "copies": ("prompt_tokens", "ms", "layer_wise_prefill_ms", "prefill_ms", "next_prefill_ms"),
    "transfers": ("mode", "busy", "visible_bytes", "remainder_ms", "model"),
    "prefills": ("layer_wise", "behind", "launches", "ms", "alone_ms"),
    "turns": ("over_ms",),
}
CURVES: Final = {
    "serialized_s": ("serialized", "0"),
    "serialized_busy_s": ("serialized", "1"),
    "layer_wise_s": ("layer-wise", "0"),
    "layer_wise_busy_s": ("layer-wise", "1"),
}


def link_tables(folder: Path) -> dict[str, Any]:
    """`nic_bytes_per_s`, `signal_s`, `layer_sync_s`, `signals` and `host`, of copies.csv, steps.csv, transfers.csv,
    prefills.csv and turns.csv.

    The rate is the slope of copies over their bytes, from FROM_TOKENS on; a synchronisation a layer is what prefills
    take longer whose caches follow them, the median; a signal is what of a transfer stays visible beyond the bytes that
    could only go when its prefill had ended; a launch what a prefill takes longer behind a copy in one piece, the
    median; `behind` and `paused` are by how much prefills of one prompt differ from what is expected of them, the mean.
    Raises `Refusal` for files that lack rows or columns.
    """
    steps, copies, transfers, prefills, turns = (
        _rows(folder / f"{name}.csv", columns) for name, columns in COLUMNS.items()
    )
    try:
        model = load_model(transfers[0]["model"])
        rate = _rate(copies, model.kv_bytes_per_token)
        sync_s = _sync_s(steps, copies, model.layers)
        found = {name: sorted(_signals_s(transfers, *key, rate)) for name, key in CURVES.items()}
        launch_ms = statistics.median(_number(row["next_prefill_ms"]) - _number(row["prefill_ms"]) for row in copies)
        ratios = _ratios(prefills, launch_ms, 1e3 * sync_s * model.layers)
        over = sorted(_number(row["over_ms"]) / 1e3 for row in turns)
    except (LookupError, ValueError, ArithmeticError, statistics.StatisticsError) as error:
        raise Refusal(str(folder), f"expected the tables of emu run --profile-out ({error})") from None
    few = [name for name, times in found.items() if len(times) < 2]
    if few:
        raise Refusal(str(folder / "transfers.csv"), f"expected two transfers or more for {few[0]}")
    if not all(ratios.values()):
        raise Refusal(str(folder / "prefills.csv"), "expected prefills that begin as another ends, and others")
    if len(over) < 2:
        raise Refusal(str(folder / "turns.csv"), "expected two decode steps or more")
    counts = ", ".join(f"{len(times)} for {name}" for name, times in found.items())
    signals: dict[str, Any] = {"shares": list(SHARES)}
    signals |= {name: [_at(times, share) for share in SHARES] for name, times in found.items()}
    signals["source"] = f"transfers.csv, what stays visible beyond the bytes: {counts}"
    everything = [seconds for times in found.values() for seconds in times]
    return {
        "nic_bytes_per_s": rate,
        "signal_s": round(statistics.fmean(everything), 6),
        "layer_sync_s": sync_s,
        "signals": signals,
        "host": _host(over, launch_ms, ratios, len(copies)),
    }


def as_toml(tables: dict[str, Any]) -> str:
    """Lines for a hardware profile."""
    return tomli_w.dumps(tables, multiline_strings=False)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"could not convert to a number: {text!r}")
    return number


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise Refusal(str(path), "expected a table that can be read") from None
    if not rows:
        raise Refusal(str(path), f"expected rows of {','.join(columns)}")
    for number, row in enumerate(rows, 2):
        missing = [column for column in columns if row.get(column) is None]
        if missing:
            where = f"{path}:1" if missing[0] not in row else f"{path}:{number}"
            raise Refusal(where, f"expected a column {missing[0]}")
    return rows


def _rate(copies: Iterable[dict[str, str]], token_bytes: int) -> int:
    """Bytes a second, to two digits."""
    rows = [(int(row["prompt_tokens"]), _number(row["ms"]) / 1e3) for row in copies]
    points = [(tokens * token_bytes, seconds) for tokens, seconds in rows if tokens >= FROM_TOKENS]
    slope, _ = statistics.linear_regression(*zip(*points, strict=True))
    return int(float(f"{1 / slope:.1e}"))


def _sync_s(steps: Iterable[dict[str, str]], copies: Iterable[dict[str, str]], layers: int) -> float:
    """Seconds a layer, to the microsecond, and no less than one."""
    alone_ms = {
        int(row["context"]): _number(row["ms"]) - _number(row["turn_ms"])
        for row in steps
        if (row["phase"], row["batch"]) == ("prefill", "1")
    }
    longer_ms = [
        _number(row["layer_wise_prefill_ms"]) - alone_ms[int(row["prompt_tokens"])]
        for row in copies
        if int(row["prompt_tokens"]) >= FROM_TOKENS
    ]
    return max(LEAST_S, round(statistics.median(longer_ms) / 1e3 / layers, 6))


def _signals_s(transfers: Iterable[dict[str, str]], mode: str, busy: str, rate: int) -> Iterator[float]:
    for row in transfers:
        if (row["mode"], row["busy"]) == (mode, busy):
            yield max(LEAST_S, _number(row["remainder_ms"]) / 1e3 - int(row["visible_bytes"]) / rate)


def _ratios(prefills: Iterable[dict[str, str]], launch_ms: float, syncs_ms: float) -> dict[str, list[float]]:
    """What prefills took over what is expected of them, of those that began as another ended ("1") and of others."""
    found: dict[str, list[float]] = {"0": [], "1": []}
    for row in prefills:
        expected_ms = _number(row["alone_ms"]) + int(row["layer_wise"]) * syncs_ms
        found[row["behind"]].append((_number(row["ms"]) - int(row["launches"]) * launch_ms) / expected_ms)
    return found


def _host(over: list[float], launch_ms: float, ratios: dict[str, list[float]], copies: int) -> dict[str, Any]:
    sources = (
        f"turns.csv, {len(over)} decode steps",
        f"copies.csv, {copies} prefills behind a copy",
        f"prefills.csv, {len(ratios['1'])} behind another beside {len(ratios['0'])}",
    )
    return {
        "shares": list(HOST_SHARES),
        "over_s": [_at(over, share) for share in HOST_SHARES],
        "launch_s": max(LEAST_S, round(launch_ms / 1e3, 6)),
        "behind": round(statistics.fmean(ratios["1"]) - 1, 4),
        "paused": round(statistics.fmean(ratios["0"]) - 1, 4),
        "source": "; ".join(sources),
    }


def _at(times: list[float], share: float) -> float:
    """The quantile of sorted times, linear between ranks, to the microsecond."""
    place = share * (len(times) - 1)
    low = min(int(place), len(times) - 2)
    return round(times[low] + (times[low + 1] - times[low]) * (place - low), 6)
