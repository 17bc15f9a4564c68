"""ClusterView: a cluster at one moment, frozen, as screens and texts read it.

Times are picoseconds of virtual time; machines and requests are named by `MachineView.name` and `rN`. Nothing here
knows a record or a screen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from emu.record.entries import PrefillSlice
from emu.view.rows import NEVER, PHASE_WORDS, Hold, Key, Phase

POOL_WORDS: Final = ("prefill", "decode", "mixed")


class RequestView(NamedTuple):
    """An open request: where it is, since when, and what it has had."""

    request: int
    arrived_ps: int
    prompt_tokens: int
    max_tokens: int
    attempt: int
    prefill_machine: int
    decode_machine: int
    step: int
    phase: Phase
    since_ps: int
    prefill_start_ps: int
    first_token_ps: int
    delivered: int
    preemptions: int
    wants_blocks: int
    asked_ps: int
    granted_ps: int
    lost: int
    tries: int

    @property
    def key(self) -> Key:
        return self.request, self.attempt

    @property
    def phase_word(self) -> str:
        return PHASE_WORDS[self.phase]

    @property
    def machine(self) -> int:
        """Where it is now; NEVER while the router has it."""
        if self.phase in (Phase.READY, Phase.DECODING, Phase.PREEMPTED):
            return self.decode_machine
        return self.prefill_machine


class EndedView(NamedTuple):
    """A request that ended lately. Latencies are NEVER where there was no such token."""

    request: int
    at_ps: int
    arrived_ps: int
    prompt_tokens: int
    output_tokens: int
    status: int
    reason: int
    attempt: int
    prefill_machine: int
    decode_machine: int
    ttft_ps: int
    alone_ttft_ps: int
    alone_tbt_ps: int
    alone_e2e_ps: int

    @property
    def e2e_ps(self) -> int:
        return self.at_ps - self.arrived_ps


class TransferView(NamedTuple):
    """A cache on its way from `source` to `target`; `committed_ps` is NEVER while the target may not use it."""

    source: int
    target: int
    request: int
    attempt: int
    started_ps: int
    layers: int
    posted_bytes: int
    landed_layers: int
    landed_bytes: int
    landed_ps: int
    committed_ps: int
    lost: int
    follows: int

    @property
    def landed_share(self) -> float:
        return self.landed_bytes / self.posted_bytes if self.posted_bytes else 1.0


class LoanView(NamedTuple):
    """Blocks that one end of a transfer holds; an orphan's attempt is over, and its blocks are still out."""

    request: int
    attempt: int
    side: Hold
    blocks: int
    since_ps: int
    pinned: bool
    orphan: bool


class Memory(NamedTuple):
    """A machine's KV blocks by the reason for which they are out; pinned ones are counted under `held` as well."""

    total: int
    running: int
    reserved: int
    held: int
    orphan: int
    pinned: int

    @property
    def free(self) -> int:
        return self.total - self.running - self.reserved - self.held - self.orphan


class Belief(NamedTuple):
    """What the router believed when it last chose this machine: a figure, and when (NEVER: it never has)."""

    tokens: int
    tokens_ps: int
    free_blocks: int
    free_ps: int


class MachineView(NamedTuple):
    """One machine. `since_ps` is when its batch began, or when it fell idle."""

    number: int
    name: str
    hardware: str
    pool: int
    home: int
    memory: Memory
    queue: tuple[Key, ...]
    queued_tokens: int
    reservations: tuple[Key, ...]
    loans: tuple[LoanView, ...]
    prefills: tuple[PrefillSlice, ...]
    decoding: tuple[int, ...]
    busy: bool
    since_ps: int
    sequences: int
    steps: int
    step_ps: int  # a decode step, lately; NEVER: none yet
    prefill_ps: int  # a prompt token, lately
    put_ps: int  # a megabyte of a put, lately
    refused_ps: int  # when a put to it last landed nowhere
    taken_ps: int  # when one last landed
    mute_ps: int  # when it was last cut off, paused or down
    heard_ps: int  # when that ended
    busy_ps: int
    tokens: int
    outgoing: int
    incoming: int
    belief: Belief
    down_ps: int
    away: bool
    dead_ps: int
    incarnation: int
    faults: tuple[str, ...]  # the kinds of those that last, such as slow

    @property
    def pool_word(self) -> str:
        return POOL_WORDS[self.pool]

    @property
    def home_word(self) -> str:
        return POOL_WORDS[self.home]

    @property
    def doing(self) -> str:
        """down, away, paused, prefill, decode, mixed or idle: what the worker runs."""
        if self.down_ps != NEVER:
            return "away" if self.away else "down"
        if "pause" in self.faults or "hang" in self.faults:
            return "paused"
        if not self.busy:
            return "idle"
        if self.prefills:
            return "mixed" if self.sequences else "prefill"
        return "decode"


class FaultView(NamedTuple):
    """A fault that lasts: `words` names what is wrong, machines are those that it touches; `number` is the record's."""

    number: int
    at_ps: int
    kind: str
    machines: tuple[int, ...]
    words: str


class Counts(NamedTuple):
    """Requests so far."""

    arrived: int
    completed: int
    rejected: int
    failed: int
    cancelled: int

    @property
    def open(self) -> int:
        return self.arrived - self.completed - self.rejected - self.failed - self.cancelled


class ClusterView(NamedTuple):
    """Everything at `at_ps`, after `entries` entries of the record; `over` when its last one is among them."""

    at_ps: int
    entries: int
    over: bool
    name: str
    block_tokens: int
    machines: tuple[MachineView, ...]
    requests: Mapping[int, RequestView]
    transfers: tuple[TransferView, ...]
    ended: tuple[EndedView, ...]
    counts: Counts
    faults: tuple[FaultView, ...]
    crashes: tuple[FaultView, ...]  # of machines that are down by them; what else is wrong is in `faults`
    lease_ps: int  # of a transfer's blocks, since the peer's last word; 0: not known
    heartbeat_ps: int
    router_gone_ps: int  # since when there is no router; NEVER while there is one
    rate_permille: int  # how densely requests arrive, in thousandths of the workload

    def machine_name(self, index: int) -> str:
        return self.machines[index].name if 0 <= index < len(self.machines) else "the router"

    def machine_named(self, name: str) -> MachineView | None:
        return next((machine for machine in self.machines if machine.name == name), None)

    def transfer_of(self, request: int, attempt: int) -> TransferView | None:
        return next((t for t in self.transfers if t.request == request and t.attempt == attempt), None)

    def waiting(self) -> Iterator[RequestView]:
        """Open requests that do not compute."""
        return (r for r in self.requests.values() if r.phase not in (Phase.PREFILLING, Phase.DECODING))


def counted(number: int, noun: str) -> str:
    """`1 request`, `2,020 requests`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def seconds(at_ps: int, digits: int = 3) -> str:
    """A time or an age in words, to a millisecond unless told otherwise: `12.500 s`."""
    return f"{at_ps / 10**12:.{digits}f} s"
