"""What travels between machines: frozen values, and nothing that only one machine can understand.

Times in them are durations or the sender's own; block ids are meaningful to the machine that lent them. They are
NamedTuples, as commands and batches are: made by the dozen for a request, at half of what a frozen attrs class costs.
"""

# no annotations from __future__ here: NamedTuple compiles each one that is text, 0.2 M instructions a class
from typing import Final, NamedTuple

from emu.control.batch import InStep
from emu.control.request import Request


class Submit(NamedTuple):
    """Client to router. `draw` is the one random number a policy may use, in 0 .. 2**32 - 1.

    `attempt` is the latest of which the client has heard: a router that does not know of it is not the one that it was.
    """

    request: Request
    draw: int
    attempt: int = -1


class Assign(NamedTuple):
    """Router to prefill machine: prefill this, then hand over to `decode_machine` (or go on here, if it is you).

    `number` counts the router's messages to this machine, so that a load report can say which ones it has counted.
    `epoch` is the one under which the router admitted the machine: any other is refused.
    """

    request: Request
    attempt: int
    number: int
    decode_machine: int
    sent_ps: int
    epoch: int = 0


class Reserve(NamedTuple):
    """Router to decode machine: keep blocks for this request, and tell its prefill machine where they are."""

    request: Request
    attempt: int
    number: int
    prefill_machine: int
    sent_ps: int
    epoch: int = 0


class Grant(NamedTuple):
    """Decode to prefill machine: put the prompt's cache into these blocks, lent under `loan`."""

    request_id: int
    attempt: int
    machine: int
    loan: int
    blocks: tuple[int, ...]
    sent_ps: int


class Offer(NamedTuple):
    """Prefill to decode machine: this request's cache is whole in these blocks, lent under `loan`. Read it."""

    request: Request
    attempt: int
    machine: int
    loan: int
    blocks: tuple[int, ...]
    sent_ps: int
    checksums: tuple[int, ...] = ()  # of what stands there, one for each group of layers; none: none were made


class Signal(NamedTuple):
    """Prefill to decode machine, behind the data on the same connection: what was put, exactly."""

    request_id: int
    attempt: int
    machine: int
    loan: int
    layers: tuple[tuple[int, int], ...]  # ranges (first, last), both included
    blocks: tuple[int, ...]
    checksums: tuple[int, ...] = ()  # of what was put there, one for each group of layers; none: none were made
    put: int = 1  # which of the transfer's puts went before it


class Garbled(NamedTuple):
    """Decode to prefill machine: what came for these layers is not what was sent. Put them again, and no others."""

    request_id: int
    attempt: int
    machine: int
    layers: tuple[tuple[int, int], ...]  # ranges (first, last), both included
    sent_ps: int
    put: int  # of the signal that told of it: what was put again since may be whole


class Acknowledge(NamedTuple):
    """Decode to prefill machine: all layers below `below` are here, but for `holes`."""

    request_id: int
    attempt: int
    machine: int
    below: int
    holes: tuple[tuple[int, int], ...]
    sent_ps: int


class Abandon(NamedTuple):
    """Prefill to decode machine: nothing more will be put for this attempt, and nothing is in flight."""

    request_id: int
    attempt: int
    machine: int
    reason: str
    sent_ps: int


class Heartbeat(NamedTuple):
    """Between the two ends of transfers: these are still wanted; renew their leases.

    Who has another's blocks to write or to read is answered in the same way, and may go on: for as long as that right
    lasts since it asked, by its own clock, whose stamp comes back.
    """

    machine: int
    transfers: tuple[tuple[int, int], ...]  # (request, attempt)
    sent_ps: int
    unheard: tuple[tuple[int, int], ...] = ()  # of these, those of whose blocks the other end seems not to know
    answers_ps: int = -1  # the stamp of the heartbeat that this one answers


class Unknown(NamedTuple):
    """In answer to a heartbeat: of these no grant, or no offer, has come here. Say it again."""

    machine: int
    transfers: tuple[tuple[int, int], ...]  # (request, attempt)
    sent_ps: int


class Ended(NamedTuple):
    """Machine to router: this attempt is over. `status` is one of completed, rejected, failed, cancelled."""

    request_id: int
    attempt: int
    machine: int
    status: str
    sent_ps: int


class LoadReport(NamedTuple):
    """Machine to router: what it has, as of its assignments up to number `counted` and `taken_ps` of its clock."""

    machine: int
    counted: int
    taken_ps: int
    queued_prompt_tokens: int  # assigned here and not prefilled yet
    outgoing: int  # requests here that will decode elsewhere
    sequences: int  # that decode here, wait to, or have blocks reserved or asked for here
    free_blocks: int  # less what queued reservations ask for; negative when they ask for more than there is
    incarnation: int = 0  # of the machine's process
    epoch: int = 0  # under which it was admitted; UNADMITTED when it has just been started again


UNADMITTED: Final = -1


class Silent(NamedTuple):
    """To the router, by whoever watches the reports: none of this machine's has come for the time to detect."""

    machine: int


class Drain(NamedTuple):
    """To the router, by whoever runs the cluster: this machine is to leave. Place nothing new there."""

    machine: int


class Withdraw(NamedTuple):
    """Client to router: this request is over for me, whatever becomes of it."""

    request_id: int


class Cancel(NamedTuple):
    """Router to machine: these attempts are over; give back all that they hold."""

    attempts: tuple[tuple[int, int], ...]  # (request, attempt)
    sent_ps: int
    term: int = 0  # of the router, as everywhere


class SourceGone(NamedTuple):
    """Router to decode machine: the prefill machine of these attempts sends nothing more. Say which are not whole."""

    attempts: tuple[tuple[int, int], ...]  # (request, attempt)
    sent_ps: int
    term: int = 0


class Audit(NamedTuple):
    """Router to machine: say which of these attempts you know nothing of. Its messages to you so far are `number`."""

    attempts: tuple[tuple[int, int], ...]  # (request, attempt)
    number: int
    sent_ps: int
    term: int = 0


class Welcome(NamedTuple):
    """Router to a machine that it had declared dead: drop all that you hold, and take new work under `epoch`.

    The router's messages are numbered on from `number`.
    """

    epoch: int
    number: int
    sent_ps: int


class Lost(NamedTuple):
    """Machine to router: this attempt cannot go on here."""

    request_id: int
    attempt: int
    machine: int
    reason: str
    sent_ps: int


class Wreck(NamedTuple):
    """Machine to router: a step with these attempts has ended a process with an error; none: something else did.

    Its last words, and what the next process says in answer to its welcome.
    """

    machine: int
    incarnation: int  # of the next process
    attempts: InStep
    sent_ps: int


class Doubt(NamedTuple):
    """Prefill machine to router: this cache was never acknowledged, or is not known here; ask its decode machine."""

    request_id: int
    attempt: int
    machine: int
    sent_ps: int


class Inquire(NamedTuple):
    """A router that has taken over, to machine: obey no router of a lower term any more, and say what you hold."""

    term: int
    sent_ps: int


class Holding(NamedTuple):
    """An attempt that a machine has a part in; `peer` is the machine of its other phase, itself if both run there."""

    request: Request
    attempt: int
    peer: int
    decodes: bool  # this is its decode machine
    whole: bool  # whose part is all that is needed


class Inventory(NamedTuple):
    """Machine to router: what it holds, and its load, under the epoch with which that router's term begins."""

    machine: int
    report: LoadReport
    holdings: tuple[Holding, ...]
    sent_ps: int


Message = (
    Submit
    | Assign
    | Reserve
    | Grant
    | Offer
    | Signal
    | Acknowledge
    | Garbled
    | Abandon
    | Heartbeat
    | Ended
    | LoadReport
    | Cancel
    | SourceGone
    | Audit
    | Welcome
    | Lost
    | Doubt
    | Wreck
    | Inquire
    | Inventory
    | Unknown
)
