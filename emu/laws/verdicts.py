"""Verdicts: a law by its name, what it says, and how often and where a record broke it.

Every fold of this package judges by these and by nothing else. What a law reads stands in the file of its family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from attrs import define, field, frozen

from emu.record.start import RunStarted

KEPT: Final = 5  # violations of one law that are kept in words; the others are only counted
PS_PER_S: Final = 10**12
Handlers = Mapping[type, Callable[[Any], None]]


@frozen(eq=False, repr=False)
class Broken:
    """One violation: `what` happened, in one sentence that names the request or the machine."""

    law: str
    at_ps: int
    what: str


@define(eq=False, repr=False)
class Law:
    """One law: `statement` is what must hold, in a sentence; `count` is how often it did not."""

    name: str
    statement: str
    count: int = field(init=False, default=0)
    kept: list[Broken] = field(init=False, factory=list)

    def broken(self, at_ps: int, what: str) -> None:
        self.count += 1
        if len(self.kept) < KEPT:
            self.kept.append(Broken(self.name, at_ps, what))


class Family(Protocol):
    """Laws that share what they remember of a record: a fold, with a last word after the last entry."""

    @property
    def laws(self) -> tuple[Law, ...]: ...

    @property
    def handlers(self) -> Handlers: ...

    def finish(self, at_ps: int) -> None:
        """The record is over; its last entry was at `at_ps`."""
        ...


@frozen(eq=False, repr=False)
class LawRules:
    """What laws must know of a run beside its record, as plain numbers."""

    control_latency_ps: int  # of a control message
    layers: int  # of the model
    kv_bytes_per_token: int  # of all layers together
    watermark_blocks: tuple[int, ...]  # by machine: what joins leave free
    prefill_batch_tokens: int = 2048
    decode_batch: int = 512  # sequences
    max_preemptions: int = 4  # of one request; also how often in a row a decode sits out a mixed batch
    reserve_max_tokens: bool = False  # blocks for prompt and max_tokens from the start, so that nothing grows
    liveness_ps: int = 60 * PS_PER_S
    faulty: bool = False  # faults may strike
    get: bool = False  # the target of a transfer posts it, by reading
    max_overtaken: int = 0  # prompts that may go before one that came earlier, of a machine that orders them itself


@frozen(eq=False, repr=False)
class Names:
    """Machines in words."""

    started: RunStarted

    def __getitem__(self, machine: int) -> str:
        machines = self.started.machines
        return machines[machine].name if 0 <= machine < len(machines) else f"machine {machine}"


def seconds(at_ps: int) -> str:
    """A time in words: `3.200000 s`."""
    return f"{at_ps / PS_PER_S:.6f} s"
