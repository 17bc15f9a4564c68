"""The report as text: what each part says, that it fits, and that it needs neither colour nor anything but ASCII."""

import re
from typing import Any

import pytest
from made_up_summaries import made_up_summary

from emu.screen.lines import COLUMNS
from emu.screen.page import text
from emu.screen.quantities import seconds, share, size, span
from emu.screen.tables import at_most


def lines(summary: dict[str, Any]) -> list[str]:
    return text(summary, colour=False).splitlines()


def under(label: str, summary: dict[str, Any]) -> str:
    """The line that starts with this label, its blanks made one."""
    found = [line for line in lines(summary) if line.startswith(f"{label}  ")]
    assert len(found) == 1, found
    return " ".join(found[0].split())


def test_it_fits_and_is_plain() -> None:
    page = text(made_up_summary(), colour=False)
    assert page.isascii()
    assert "\x1b" not in page
    assert max(map(len, page.splitlines())) <= COLUMNS
    assert page == "\n".join(line.rstrip() for line in page.splitlines()) + "\n"


def test_colour_changes_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured = text(made_up_summary(), colour=True)
    assert "\x1b[" in coloured
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in plain.splitlines()] == lines(made_up_summary())


def test_it_says_what_ran() -> None:
    summary = made_up_summary()
    assert lines(summary)[0] == "made-up   llama2-70b, policy splitwise, seed 7"
    assert under("workload", summary) == "workload azure_conv.csv: 19,366 requests, 5.53 a second"
    assert under("left out", summary) == "left out 3 rows of the trace: failed in the trace"
    assert under("prefix reuse", summary).startswith("prefix reuse 41.2 % of the prompt tokens")
    assert "decode         1 machine of dgx-h100, tensor parallel 8, 61,234 KV blocks each" in lines(summary)


def test_it_names_in_brackets_are_no_markup() -> None:
    summary = made_up_summary()
    summary["scenario"]["name"] = "[bold]odd[/] :smile:"
    assert lines(summary)[0].startswith("[bold]odd[/] :smile:")


def test_what_does_not_apply_is_left_out() -> None:
    summary = made_up_summary() | {"prefix_reuse": None, "slo": {"passed": True, "limits": []}}
    summary["workload"]["left_out"] = 0
    summary["transfers"] |= {"count": 0}
    summary["costs"] |= {"identified": True, "unmeasured_step_share": 0.0}
    page = text(summary, colour=False)
    assert not re.search(r"prefix reuse|left out|SLO|unidentified|extrapolated", page)
    assert under("transfers", summary) == "transfers none"


def test_latencies_have_a_row_each_and_a_dash_where_there_is_none() -> None:
    summary = made_up_summary()
    summary["ttst_s"] = dict.fromkeys(summary["ttst_s"])
    assert under("TTFT", summary).startswith("TTFT 50.2 ms 45.6 ms 91.2 ms 228 ms 912 ms")
    assert under("TTST", summary).startswith("TTST - - - - -")
    assert under("transfer", summary).startswith("transfer 56.3 us 51.2 us 102 us 256 us 1.02 ms")


def test_every_limit_says_by_how_much() -> None:
    summary = made_up_summary()
    assert under("TTFT p50", summary) == "TTFT p50 2.00 x 1.20 x pass 40 % under"
    assert under("TBT p99", summary) == "TBT p99 5.00 x 11.2 x FAIL 125 % over"
    assert under("TTST p99", summary) == "TTST p99 250 ms 249 ms pass 0.4 % under"
    assert under("E2E p90", summary).endswith("FAIL too many requests did not complete")
    assert under("TPOT p90", summary).endswith("pass no request has one")
    assert under("not all", summary) == "not all 3 of 5"


def test_a_broken_law_stands_out() -> None:
    summary = made_up_summary() | {"laws": {"checked": 21, "broken": ["blocks come home"]}}
    assert under("laws", summary) == "laws 21 checked, BROKEN: blocks come home"
    assert under("laws", made_up_summary()) == "laws 21 checked, all held"


@pytest.mark.parametrize(
    ("tokens", "below"), [(0, 0.0), (1, 0.5), (19, 0.5), (20, 0.75), (64, 1.0), (2048, 1.0)], ids=str
)
def test_a_cumulative_share_is_read_off(tokens: int, below: float) -> None:
    assert at_most([[1, 0.5], [20, 0.75], [64, 1.0]], tokens) == below
    assert at_most([], tokens) is None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (seconds(0.0), "0 ms"),
        (seconds(0.000_999_4), "999 us"),
        (seconds(0.000_999_6), "1.00 ms"),
        (seconds(0.9994), "999 ms"),
        (seconds(0.9996), "1.00 s"),
        (seconds(1234.5), "1,234 s"),
        (seconds(None), "-"),
        (share(0.0), "0.0 %"),
        (share(0.0004), "< 0.1 %"),
        (share(0.9996), "> 99.9 %"),
        (share(1.0), "100 %"),
        (size(999), "999 B"),
        (size(6_912_345_678_901), "6.91 TB"),
        (span(3.2), "3.20 s"),
        (span(119.7), "2 min 00 s"),
        (span(3_661), "1 h 01 min"),
    ],
)
def test_numbers_keep_three_digits_and_a_unit(written: str, expected: str) -> None:
    assert written == expected


def test_power_drawn_stands_beside_power_provisioned() -> None:
    summary = made_up_summary()
    assert under("provisioned", summary) == "provisioned 408 kW; 405 kWh over the run"
    assert under("power drawn", summary).endswith("204 kW on average, 306 kW at the peak (50.0 % and 75.0 %)")
    assert (
        under("energy drawn", summary) == "energy drawn 200 kWh: 40.0 kWh in prefill, 60.0 kWh in decode, 100 kWh idle"
    )
    assert any("10.3 Wh a request, 176 J an output token" in line for line in lines(summary))
    summary |= {"power": None, "energy": None}
    summary["pools"]["decode"]["power"] = None
    assert "not known" in under("power drawn", summary)
    assert any(re.fullmatch(r"decode  .*98\.8 % +-", line) for line in lines(summary))
