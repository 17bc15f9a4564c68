"""The entries of a record: everything worth seeing, each a frozen tuple of integers.

An entry is one canonical JSON line (see `lines`). Times are picoseconds of virtual time, machines and requests their
indices; the codes of `Reason`, `Status` and `PoolCode` stand for words, so that no name reaches the digest. What an
entry means for a latency or a law is computed elsewhere, by folds.
"""

# no annotations from __future__ here: NamedTuple compiles each one that is text, 0.2 M instructions a class
import enum
from typing import Final, NamedTuple


class Status(enum.IntEnum):
    """How a request ended."""

    COMPLETED = 0
    REJECTED = 1
    FAILED = 2
    CANCELLED = 3


class Reason(enum.IntEnum):
    """Why a request was refused or failed, an attempt or a machine given up, or a transfer's blocks went back."""

    NONE = 0
    PROMPT_TOO_LONG = 1
    QUEUE_FULL = 2
    NO_MACHINE = 3
    KV_CAPACITY = 4
    LEASE_EXPIRED = 5
    ACKNOWLEDGED = 6
    ABANDONED = 7
    EXPIRED = 8
    SILENT = 9  # the router has not heard of a machine for the time to detect
    RESTARTED = 10  # a machine reports under a new incarnation
    MACHINE_DEAD = 11  # an attempt's machine was declared dead
    SOURCE_GONE = 12  # an attempt's cache will never be whole, since its prefill machine is gone
    STALE = 13  # of an attempt that the router had given up
    CANCELLED = 14
    QUARANTINED = 15  # a fenced loan whose writers must have ended by now
    MAX_ATTEMPTS = 16
    POISON = 17
    ROUTER_GONE = 18  # of an attempt of which the new router knows nothing, or too little
    GAVE_WAY = 19  # a cache that waited for blocks elsewhere, to somebody who waits for the blocks that it had


class PolicySeat(enum.IntEnum):
    """Where a policy of one's own sits."""

    ROUTING = 0
    SCHEDULING = 1
    TRANSFER = 2


class PolicyFault(enum.IntEnum):
    """How a policy of one's own broke its contract."""

    RAISED = 0
    LATE = 1
    NOT_OFFERED = 2
    UNREADABLE = 3


class PoolCode(enum.IntEnum):
    """Which phases a machine serves."""

    PREFILL = 0
    DECODE = 1
    MIXED = 2


class SliceKind(enum.IntEnum):
    """What a prefill slice computes."""

    PREFILL = 0
    RECOMPUTE = 1


class FaultCode(enum.IntEnum):
    """What kind of fault struck; by `word` a scenario names it."""

    CRASH = 0
    RESTART = 1
    DRAIN = 2
    JOIN = 3
    PAUSE = 4
    HANG = 5
    SLOW = 6
    LATE_WRITE = 7
    POST_FAIL = 8
    LOSE_COMPLETION = 9
    CORRUPT = 10
    NIC_DOWN = 11
    LINK_DOWN = 12
    LINK_SLOW = 13
    LOSE = 14
    DUPLICATE = 15
    DELAY = 16
    REORDER = 17
    STALE_REPORT = 18
    ROUTER_CRASH = 19
    ROUTER_FAILOVER = 20
    CLOCK = 21
    CANCEL = 22
    POISON = 23

    @property
    def word(self) -> str:
        return self.name.lower()


class Arrived(NamedTuple):
    """A request reached the router."""

    at_ps: int
    request: int
    prompt_tokens: int
    max_tokens: int


class Assigned(NamedTuple):
    """The router chose an attempt's machines, by placement step `step`, believing this of their loads."""

    at_ps: int
    request: int
    attempt: int
    prefill_machine: int
    decode_machine: int
    step: int
    believed_prompt_tokens: int
    believed_free_blocks: int


class MachineMoved(NamedTuple):
    """A machine serves `pool` from now on; `home` is its home pool (both PoolCode)."""

    at_ps: int
    machine: int
    pool: int
    home: int


class Queued(NamedTuple):
    """The prefill machine has the assignment, sent at `sent_ps`."""

    at_ps: int
    machine: int
    request: int
    attempt: int
    sent_ps: int


class ReserveQueued(NamedTuple):
    """The decode machine has the reservation and no blocks for it yet."""

    at_ps: int
    machine: int
    request: int
    attempt: int
    blocks: int
    sent_ps: int


class Reserved(NamedTuple):
    """The decode machine lent blocks to a reservation that was sent at `sent_ps`, and granted them."""

    at_ps: int
    machine: int
    request: int
    attempt: int
    loan: int
    blocks: int
    sent_ps: int


class Granted(NamedTuple):
    """The prefill machine has the grant."""

    at_ps: int
    machine: int
    request: int
    attempt: int
    sent_ps: int


class PrefillSlice(NamedTuple):
    """Part of a StepStarted: positions `first` to `first + tokens - 1`, in `blocks` blocks lent under `loan`."""

    request: int
    attempt: int
    first: int
    tokens: int
    kind: int  # SliceKind
    loan: int
    blocks: int


class StepStarted(NamedTuple):
    """A batch whose members differ from the machine's last one runs from now on.

    `joined` are requests that decode from now on, `left` those that decoded in the last batch and do not in this one.
    """

    at_ps: int
    machine: int
    prefills: tuple[PrefillSlice, ...]
    joined: tuple[int, ...]
    left: tuple[int, ...]
    sequences: int
    context_tokens: int
    layer_wise: int
    grown_blocks: int  # lent to decoding sequences since the machine's last StepStarted or StepFinished
    free_blocks: int


class StepFinished(NamedTuple):
    """`steps` steps of one batch, the last one ending now; each took `growth_ps` longer than the one before.

    `context_ps` of their time rests on the cost of context, and `unmeasured_steps` lie outside what was measured.
    """

    at_ps: int
    machine: int
    started_ps: int
    steps: int
    sequences: int
    prompt_tokens: int
    first_step_ps: int
    growth_ps: int
    context_ps: int
    unmeasured_steps: int
    grown_blocks: int  # as in StepStarted


class TransferStarted(NamedTuple):
    """The prefill machine posted puts of these layers; with `follows`, each goes when it is computed."""

    at_ps: int
    source: int
    target: int
    request: int
    attempt: int
    first_layer: int
    last_layer: int
    bytes: int
    follows: int


class Landed(NamedTuple):
    """Posted puts have landed in the target's memory, in `blocks` blocks of `loan`."""

    at_ps: int
    target: int
    request: int
    attempt: int
    loan: int
    first_layer: int
    last_layer: int
    blocks: int
    bytes: int


class Committed(NamedTuple):
    """The decode machine has seen, at a step boundary, the signal that came at `signalled_ps`: it may use the cache."""

    at_ps: int
    machine: int
    request: int
    attempt: int
    layers: int
    loan: int
    blocks: int
    signalled_ps: int


class Released(NamedTuple):
    """An end of a transfer gave its blocks back; `sent_ps` of the message that allowed it, -1 without one."""

    at_ps: int
    machine: int
    request: int
    attempt: int
    loan: int
    blocks: int
    reason: int
    sent_ps: int


class Preempted(NamedTuple):
    """A decoding sequence gave its blocks back; its delivered tokens stay delivered."""

    at_ps: int
    machine: int
    request: int
    attempt: int
    delivered: int
    loan: int
    blocks: int


class RequestEnded(NamedTuple):
    """The client knows that its request is over; `blocks` went back from `loan` (0 where a transfer still has them).

    The alone_* are what the same request takes alone on a calibrated DGX-A100, 0 where it did not complete.
    """

    at_ps: int
    machine: int  # -1: the router refused it
    request: int
    attempt: int
    status: int
    reason: int
    output_tokens: int
    output_digest: int
    loan: int
    blocks: int
    alone_ttft_ps: int
    alone_tbt_ps: int
    alone_e2e_ps: int


class FaultStruck(NamedTuple):
    """Fault number `fault` of the plan struck, whoever caused it; `kind` is a FaultCode.

    `machine` and `peer` are what it names (a message's or a transfer's sender and receiver), -1 the router or nothing;
    `request` is the one that it hit by name, -1 if none; `live` how many open requests were assigned there.
    """

    at_ps: int
    fault: int
    kind: int
    machine: int
    peer: int
    request: int
    live: int


class FaultHealed(NamedTuple):
    """What fault number `fault` did is undone."""

    at_ps: int
    fault: int
    kind: int
    machine: int
    peer: int


class RateChanged(NamedTuple):
    """From now on requests arrive so many thousandths as densely as the workload has them."""

    at_ps: int
    permille: int


class MachineCrashed(NamedTuple):
    """This incarnation of a machine is gone, with all that was in its memory."""

    at_ps: int
    machine: int
    incarnation: int


class MachineLeft(NamedTuple):
    """This incarnation of a machine has gone by itself, with nothing left in it; or it has never been there (at 0)."""

    at_ps: int
    machine: int
    incarnation: int


class Resent(NamedTuple):
    """The client sends its request again, for the `times`th time, under the same name."""

    at_ps: int
    request: int
    times: int


class MachineStarted(NamedTuple):
    """A new incarnation of a machine is ready, with an empty pool. The first ones are not told."""

    at_ps: int
    machine: int
    incarnation: int


class LandedNowhere(NamedTuple):
    """Posted puts that will never land: what they were to write into is gone, or they failed; fields as in Landed."""

    at_ps: int
    source: int
    target: int
    request: int
    attempt: int
    loan: int
    first_layer: int
    last_layer: int
    bytes: int


class MachineClosed(NamedTuple):
    """What a machine still has at the end of the run; a quiescent one has all of its blocks and nothing else."""

    at_ps: int
    machine: int
    kv_blocks: int
    free_blocks: int
    loans: int
    pinned_loans: int
    queued: int
    decoding: int
    outgoing: int
    incoming: int


class BeliefClosed(NamedTuple):
    """What the router believes of a machine at the end of the run, after its last report."""

    at_ps: int
    machine: int
    pending_tokens: int
    sequences: int
    free_blocks: int
    pool: int
    home: int


class RunEnded(NamedTuple):
    """Nothing is left to happen. `open_requests` of the router, `transfers` under way on the links."""

    at_ps: int
    open_requests: int
    transfers: int


class StepsCut(NamedTuple):
    """The machine has crashed in a run: `steps` steps of it had ended, at least 0, and the one under way is lost.

    Everything else is as in StepFinished, whose last step ended at or before `at_ps`.
    """

    at_ps: int
    machine: int
    started_ps: int
    steps: int
    sequences: int
    prompt_tokens: int
    first_step_ps: int
    growth_ps: int
    context_ps: int
    unmeasured_steps: int
    grown_blocks: int


class MachineDead(NamedTuple):
    """The router has declared this incarnation of a machine dead, for `reason`; whether it is, it cannot know."""

    at_ps: int
    machine: int
    incarnation: int
    reason: int


class MachineBack(NamedTuple):
    """A machine that had been declared dead has given up what it held, and takes work again."""

    at_ps: int
    machine: int
    incarnation: int


class AttemptLost(NamedTuple):
    """The router gives up an attempt: its client takes nothing more of it, and the request waits for its next one."""

    at_ps: int
    request: int
    attempt: int
    reason: int


class AttemptEnded(NamedTuple):
    """An attempt is over on a machine, and its request is not, or was before. `blocks` went back from `loan` (0 where
    it had none there, or a transfer still has them)."""

    at_ps: int
    machine: int
    request: int
    attempt: int
    reason: int
    delivered: int
    loan: int
    blocks: int


class Resumed(NamedTuple):
    """An attempt goes on behind the tokens that its client has, whose cache is computed again with the prompt's."""

    at_ps: int
    request: int
    attempt: int
    delivered: int


class PolicyBroke(NamedTuple):
    """A policy of one's own broke its contract: `seat` is a PolicySeat, `fault` a PolicyFault."""

    at_ps: int
    machine: int  # -1: the router's
    seat: int
    fault: int


class RouterGone(NamedTuple):
    """The router of this term does nothing more."""

    at_ps: int
    term: int


class RouterStarted(NamedTuple):
    """A router of this term takes over. The first one, of term 0, is not told.

    Its attempts are numbered from `term` * 1024 on, those of older routers below.
    """

    at_ps: int
    term: int


class TermTaken(NamedTuple):
    """A machine has heard of the router of this term, and obeys no older one from now on."""

    at_ps: int
    machine: int
    term: int


Entry = (
    Arrived
    | Assigned
    | MachineMoved
    | Queued
    | ReserveQueued
    | Reserved
    | Granted
    | StepStarted
    | StepFinished
    | TransferStarted
    | Landed
    | Committed
    | Released
    | Preempted
    | RequestEnded
    | FaultStruck
    | FaultHealed
    | MachineCrashed
    | MachineStarted
    | MachineLeft
    | Resent
    | LandedNowhere
    | MachineClosed
    | BeliefClosed
    | RunEnded
    | StepsCut
    | MachineDead
    | MachineBack
    | AttemptLost
    | AttemptEnded
    | Resumed
    | PolicyBroke
    | RateChanged
    | RouterGone
    | RouterStarted
    | TermTaken
)

KINDS: Final[tuple[type[Entry], ...]] = Entry.__args__
