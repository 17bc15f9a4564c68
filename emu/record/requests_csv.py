"""RequestsCsv: requests.csv as it is written, a row a request in the order of their ids.

Requests end in another order, so rows wait until all earlier ones have left. Every number is exact: seconds are
decimals made of whole picoseconds. What the columns mean is decided in `emu.record.lives`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TextIO

from emu.record.life import NEVER, Life

COLUMNS: Final = (
    "request_id",
    "arrival_s",
    "prompt_tokens",
    "output_tokens",
    "status",
    "attempts",
    "prefill_machine",
    "decode_machine",
    "queue_s",
    "prefill_start_s",
    "first_token_s",
    "transfer_start_s",
    "transfer_end_s",
    "second_token_s",
    "last_token_s",
    "ttft_s",
    "ttst_s",
    "tpot_s",
    "tbt_max_s",
    "e2e_s",
    "output_digest",
)


class RequestsCsv:
    """Rows to `file`; a cell is empty where a thing did not happen."""

    def __init__(self, file: TextIO, machines: Sequence[str]) -> None:
        self._file = file
        self._machines = (*machines, "")  # NEVER finds the last one
        self._next = 0
        self._waiting: dict[int, str] = {}
        file.write(",".join(COLUMNS) + "\n")

    def add(self, life: Life, status: str, ended_ps: int, output_digest: int) -> None:
        """The row of a request; `ended_ps` NEVER where it has no end-to-end latency."""
        request, arrived_ps, tokens, machines = life.request, life.arrived_ps, life.output_tokens, self._machines
        row = ",".join(
            (
                f"{request}",
                _seconds(arrived_ps, 0),
                f"{life.prompt_tokens},{tokens if tokens != NEVER else ''},{status},{life.attempts}",
                machines[life.prefill_machine],
                machines[life.decode_machine],
                _seconds(life.prefill_start_ps, arrived_ps),
                _seconds(life.prefill_start_ps, 0),
                _seconds(life.first_token_ps, 0),
                _seconds(life.transfer_start_ps, 0),
                _seconds(life.transfer_end_ps, 0),
                _seconds(life.second_token_ps, 0),
                _seconds(life.last_token_ps, 0),
                _seconds(life.first_token_ps, arrived_ps),
                _seconds(life.second_token_ps, arrived_ps),
                _seconds(life.mean_gap_ps, 0),
                _seconds(life.longest_gap_ps, 0),
                _seconds(ended_ps, arrived_ps),
                f"{output_digest:012x}\n" if tokens > 0 else "\n",
            )
        )
        if request != self._next:
            self._waiting[request] = row
            return
        write, waiting = self._file.write, self._waiting
        write(row)
        self._next += 1
        while (later := waiting.pop(self._next, None)) is not None:
            write(later)
            self._next += 1

    def close(self) -> None:
        """Write what still waits, whatever is missing before it. The file stays open: it is the caller's."""
        for request in sorted(self._waiting):
            self._file.write(self._waiting[request])
        self._waiting.clear()


def _seconds(at_ps: int, since_ps: int) -> str:
    """From `since_ps` to `at_ps`, exactly; empty where `at_ps` is NEVER."""
    if at_ps == NEVER:
        return ""
    elapsed_ps = at_ps - since_ps
    if elapsed_ps < 0:  # only in the record of a broken run, which ought to show it
        return "-" + _seconds(-elapsed_ps, 0)
    digits = str(elapsed_ps).zfill(13)
    return digits[:-12] + "." + digits[-12:]
