"""Life: what is known of one request while it is open, and the latencies that follow from it.

Who fills it in is `emu.record.lives`; how it is written, summed up or judged must stay out of here.
"""

from __future__ import annotations

from typing import Final

from attrs import define

NEVER: Final = -1  # in the place of a time or a machine: it has not happened


@define(eq=False, repr=False)
class Life:
    """One request. Times are picoseconds of virtual time."""

    request: int
    arrived_ps: int
    prompt_tokens: int
    attempts: int = 0
    resumed: int = NEVER  # the attempt that goes on behind delivered tokens
    prefill_machine: int = NEVER
    decode_machine: int = NEVER
    prefill_start_ps: int = NEVER
    first_token_ps: int = NEVER
    transfer_start_ps: int = NEVER
    transfer_end_ps: int = NEVER
    transfer_bytes: int = 0
    second_token_ps: int = NEVER
    last_token_ps: int = NEVER  # kept up to date only while it does not decode
    longest_gap_ps: int = NEVER  # as above
    decodes_on: int = NEVER
    joined_run: int = 0  # the machine's run with which it began to decode there
    output_tokens: int = NEVER  # these two are known when it has ended
    mean_gap_ps: int = NEVER

    def close(self, output_tokens: int) -> None:
        """It has ended with so many tokens delivered. TPOT is rounded down."""
        self.output_tokens = output_tokens
        if output_tokens > 1:
            self.mean_gap_ps = (self.last_token_ps - self.first_token_ps) // (output_tokens - 1)
