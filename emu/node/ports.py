"""Ports: what a node needs of the world it runs in, emulated or real.

Two storeys. `Worker` runs batches: under it stand our own schedulers, pools and transfer cores. `KvLink`, `Wire`,
`Clock`, `Client`, `Recorder` and `Reports` are the world around a machine. Times are integer picoseconds of the
machine's own clock. Whatever is emulated must stay out of here.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from attrs import frozen

from emu.control.batch import Batch
from emu.control.commands import End, Fail, PostSignal, Put, Reject
from emu.control.messages import LoadReport, Message
from emu.control.messages import Signal as SignalMessage
from emu.control.transfer.chunks import LayerRange
from emu.record.entries import Entry


class Signal(Protocol):
    """Tells one waiting task that there is something for it. Set while nobody waits, it ends the next wait at once."""

    def set(self) -> None: ...

    def clear(self) -> None: ...

    async def wait(self, until_ps: int | None = None, *, periodic: bool = False) -> None:
        """Until it is set, or until `until_ps`, whichever comes first.

        `periodic`: this timer alone gets nothing done, so a run in which only such are left may end.
        """
        ...


class Clock(Protocol):
    """A machine's own time."""

    def now(self) -> int: ...

    def signal(self, name: str) -> Signal:
        """A signal for the one task of that name; names order what happens at the same instant."""
        ...


class Ran(NamedTuple):
    """What a worker did: `steps` steps of a batch, of which the first took `first_step_ps` and each further one
    `growth_ps` more than the one before; `stopped` are the requests whose last token came in the last step.

    `context_ps` of that time rests on the cost of context, and `unmeasured_steps` lie outside what was measured.
    `closes`: steps that follow are not like these, even of the same batch.
    """

    steps: int
    stopped: tuple[int, ...]
    first_step_ps: int
    growth_ps: int = 0
    context_ps: int = 0
    unmeasured_steps: int = 0
    closes: bool = False


class Worker(Protocol):
    """Runs one batch at a time, and keeps its decoding sequences between batches."""

    def start(self, batch: Batch) -> None:
        """Launch the batch, for up to its `max_steps` steps."""
        ...

    async def finish(self, mail: Signal) -> Ran:
        """Let the batch run, but no further than the first boundary between steps at which a sequence has had its last
        token or `mail` is set."""
        ...

    def leave(self, left: tuple[int, ...], grown: tuple[tuple[int, int], ...]) -> None:
        """These requests decode here no more, and no batch follows that would say so; `grown` are the blocks that were
        lent (request, block) since the latest batch. Their blocks may be another's from now on.
        """
        ...

    def steps_done(self, now: int) -> int:
        """Steps of the latest batch that ended before `now`."""
        ...

    def cut(self) -> Ran:
        """The machine has crashed: what it had done of the batch under way, in whole steps, maybe none."""
        ...


class KvLink(Protocol):
    """One-sided writes into other machines' KV blocks. A posted one cannot be recalled."""

    def put(self, put: Put) -> int:
        """Post it; the bytes that it will write."""
        ...

    def get(self, source: int, put: Put, done: SignalMessage) -> int:
        """Post a read of `source`'s blocks into ours, as that put would write them; the bytes that it will read.

        Its completion is delivered here as `done`.
        """
        ...

    def signal(self, signal: PostSignal) -> None:
        """Post a signal, which arrives behind everything already posted for that attempt."""
        ...

    def watch(self, request_id: int, attempt: int) -> None:
        """Deliver `Drained` here when the last put posted for this attempt has completed."""
        ...


class Wire(Protocol):
    """Control messages, which take time and keep their order between any two machines."""

    def send(self, machine: int, message: Message) -> None: ...

    def report(self, message: Message) -> None:
        """To the router."""
        ...


class Client(Protocol):
    """Who sent the requests, and has their tokens."""

    def ended(self, machine: int, end: End) -> None: ...

    def rejected(self, reject: Reject) -> None: ...

    def fence(self, request_id: int, attempt: int) -> int:
        """Take nothing more of this attempt or an earlier one. The tokens that the client has; -1 if all is over."""
        ...

    def claim(self, request_id: int) -> int | None:
        """Listen to no older router about this request. Its latest attempt of which nothing more is taken, -1 for none;
        None if all is over."""
        ...

    def failed(self, fail: Fail) -> None:
        """The router has given the request up."""
        ...


class Recorder(Protocol):
    """Where entries go."""

    def write(self, entry: Entry) -> None: ...


class Reports(Protocol):
    """The channel of load reports. It asks a machine for its report when one is due."""

    def register(self, machine: int, source: Callable[[int], LoadReport]) -> None:
        """`source(at_ps)` says what the machine had just before that instant, which is not after its last change."""
        ...

    def changing(self, machine: int) -> None:
        """To be called before a machine's state changes, if that can change its report."""
        ...

    def collect(self) -> Iterable[LoadReport]:
        """The reports that have reached the router since the last call, the latest of each machine."""
        ...


Checksum = Callable[[tuple[int, ...], tuple[LayerRange, ...]], tuple[int, ...]]
"""Of what stands in these blocks, one for each of these ranges of layers."""


@frozen(eq=False, repr=False)
class MachinePorts:
    """The world around one machine."""

    clock: Clock
    worker: Worker
    link: KvLink
    wire: Wire
    client: Client
    recorder: Recorder
    reports: Reports
    checksum: Checksum | None = None  # None: nothing is ever garbled
    # whether the client of a request still takes the tokens of an attempt; None: the router's word of it is never lost
    wants: Callable[[int, int], bool] | None = None
