"""What holds of the sending end, in whatever order grants, steps, acknowledgements and failures come."""

from collections.abc import Callable

from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from emu.control.blocks import BlockPool
from emu.control.commands import Command, PostSignal, Put, Release, Send, WatchDrain
from emu.control.messages import Abandon, Acknowledge, Grant, Heartbeat
from emu.control.request import Move, Phase, Request, Sequence
from emu.control.transfer.chunks import LayerRange
from emu.control.transfer.leases import Leases, spans
from emu.control.transfer.sender import Sender

LAYERS, HERE, THERE = 4, 0, 1
TRANSFERS = range(5)
PICK = st.integers(0, 9)


@define
class Story:
    """One transfer as the model sees it: flags that only go up, and all that was commanded for it."""

    assigned: bool = False
    granted: bool = False
    started: bool = False
    layer_wise: bool = False
    computed: bool = False
    given_up: bool = False
    over: bool = False
    sequence: Sequence | None = None
    puts: list[Put] = field(factory=list)
    signals: list[PostSignal] = field(factory=list)
    releases: list[Release] = field(factory=list)

    def is_open(self) -> bool:
        return self.assigned and not self.given_up and not self.over

    def may_start(self) -> bool:
        return self.is_open() and not self.started

    def may_be_computed(self) -> bool:
        return self.is_open() and self.started and not self.computed

    def is_draining(self) -> bool:
        return self.given_up and not self.over

    def is_flushing(self) -> bool:
        return self.is_open() and bool(self.signals)

    @property
    def may_put(self) -> bool:
        """The cache is there, or on its way layer by layer, and somebody said where to put it."""
        return self.granted and (self.computed or (self.started and self.layer_wise))


class SenderAndModel(RuleBasedStateMachine):
    """One sender and several transfers; each rule is legal, or silent, whatever came before."""

    @initialize(blocks=st.integers(1, 3))
    def begin(self, blocks: int) -> None:
        self.pool = BlockPool(len(TRANSFERS) * blocks)
        self.sender = Sender(HERE, LAYERS, self.pool, Leases(100), spans(100, 20))
        self.blocks = blocks
        self.stories = [Story() for _ in TRANSFERS]
        self.now = 0

    @precondition(lambda self: self.eligible(lambda story: not story.assigned))
    @rule(pick=PICK)
    def assign(self, pick: int) -> None:
        number, story = self.one(pick, lambda story: not story.assigned)
        story.assigned = True
        story.sequence = Sequence(Request(number, self.blocks * 16, 9, 0), 0, Phase.QUEUED, THERE)
        self.sender.begin(story.sequence)

    @precondition(lambda self: self.eligible(lambda story: not story.granted))
    @rule(pick=PICK)
    def grant(self, pick: int) -> None:
        """Before the assignment, or at any time between."""
        number, story = self.one(pick, lambda story: not story.granted)
        commands = self.sender.granted(self._grant(number), self.now)
        self._expect(story, commands, posts=story.assigned and not story.over)
        story.granted = True

    @precondition(lambda self: self.eligible(lambda story: story.granted))
    @rule(pick=PICK)
    def grant_again(self, pick: int) -> None:
        number, _ = self.one(pick, lambda story: story.granted)
        assert self.sender.granted(self._grant(number), self.now) == ()

    @precondition(lambda self: self.eligible(Story.may_start))
    @rule(pick=PICK, layer_wise=st.booleans())
    def start(self, pick: int, layer_wise: bool) -> None:
        number, story = self.one(pick, Story.may_start)
        assert story.sequence is not None
        story.sequence.move(Move.START_PREFILL)
        story.sequence.loan = self.pool.lend(number, 0, self.blocks)
        story.started, story.layer_wise = True, layer_wise
        self._expect(story, self.sender.started(story.sequence, layer_wise, self.now))

    @precondition(lambda self: self.eligible(Story.may_be_computed))
    @rule(pick=PICK)
    def compute(self, pick: int) -> None:
        _, story = self.one(pick, Story.may_be_computed)
        assert story.sequence is not None
        story.sequence.move(Move.HAND_OVER)
        story.computed = True
        self._expect(story, self.sender.computed(story.sequence, self.now))

    @precondition(lambda self: self.eligible(Story.is_open))
    @rule(pick=PICK)
    def give_up(self, pick: int) -> None:
        number, story = self.one(pick, Story.is_open)
        story.given_up = True
        commands = self.sender.give_up((number, 0), "lease_expired", self.now)
        if story.puts:
            assert commands == (WatchDrain(number, 0),), "posted puts cannot be recalled"
        else:
            self._check_abandoned(number, commands)

    @precondition(lambda self: self.eligible(Story.is_draining))
    @rule(pick=PICK)
    def drain(self, pick: int) -> None:
        number, _ = self.one(pick, Story.is_draining)
        self._check_abandoned(number, self.sender.drained((number, 0), self.now))

    @precondition(lambda self: self.eligible(Story.is_flushing))
    @rule(pick=PICK)
    def acknowledge(self, pick: int) -> None:
        number, story = self.one(pick, Story.is_flushing)
        (release,) = self._acknowledge(number, LAYERS, ())
        assert isinstance(release, Release)
        assert release.reason == "acknowledged"
        self._close(story, release)
        assert self._acknowledge(number, LAYERS, ()) == (), "the same acknowledgement again"

    @rule(number=st.sampled_from(TRANSFERS), below=st.integers(0, LAYERS))
    def acknowledge_a_part(self, number: int, below: int) -> None:
        """At any time, for a transfer in any state or none."""
        assert self._acknowledge(number, below, ((0, 0),)) == ()

    @rule()
    def heartbeat(self) -> None:
        """The destination hears of everything that it has granted and may still get."""
        self.now += 1
        wanted = {
            (number, 0) for number, story in enumerate(self.stories) if story.assigned and self._is_granted(story)
        }
        heard = self.sender.heartbeats(self.now)
        assert len(heard) == (1 if wanted else 0)
        for send in heard:
            assert isinstance(send, Send)
            assert isinstance(send.message, Heartbeat)
            assert (send.machine, set(send.message.transfers)) == (THERE, wanted)

    @invariant()
    def pins_and_loans_balance(self) -> None:
        open_stories = [story for story in self.stories if not story.over]
        assert self.pool.pinned_loans == sum(1 for story in open_stories if story.puts)
        assert self.pool.loans == sum(1 for story in open_stories if story.started)
        assert self.pool.free_blocks == self.pool.capacity - self.blocks * self.pool.loans
        assert {key for key, _ in self.sender.open} == {
            number for number, story in enumerate(self.stories) if story.assigned and not story.over
        }

    @invariant()
    def everything_is_posted_once_and_in_order(self) -> None:
        for story in self.stories:
            assert len(story.puts) <= 1
            assert len(story.signals) <= len(story.puts)
            assert not story.signals or story.computed, "a signal before the prefill was done"
            if not story.given_up:
                assert bool(story.puts) is (story.assigned and story.may_put)
                assert bool(story.signals) is (story.granted and story.computed)

    def eligible(self, fits: Callable[[Story], bool]) -> list[int]:
        return [number for number, story in enumerate(self.stories) if fits(story)]

    def one(self, pick: int, fits: Callable[[Story], bool]) -> tuple[int, Story]:
        """One of the transfers that a rule may take."""
        numbers = self.eligible(fits)
        number = numbers[pick % len(numbers)]
        return number, self.stories[number]

    def _acknowledge(self, number: int, below: int, holes: tuple[LayerRange, ...]) -> tuple[Command, ...]:
        return self.sender.acknowledged(Acknowledge(number, 0, THERE, below, holes, self.now), self.now)

    def _grant(self, number: int) -> Grant:
        return Grant(number, 0, THERE, 70 + number, tuple(range(number, number + self.blocks + 1)), self.now)

    def _is_granted(self, story: Story) -> bool:
        return story.granted and not story.given_up and not story.over

    def _expect(self, story: Story, commands: tuple[Command, ...], posts: bool = True) -> None:
        """Note what was posted; each names the blocks of both ends, the destination's spare block left out."""
        assert posts or not commands
        for command in commands:
            sequence = story.sequence
            assert sequence is not None
            assert sequence.loan is not None
            grant = self._grant(sequence.request.request_id)
            if isinstance(command, Put):
                story.puts.append(command)
                assert command.source_blocks == tuple(sequence.loan.blocks)
                assert (command.target, command.target_loan) == (THERE, grant.loan)
                assert command.target_blocks == grant.blocks[: self.blocks]
                assert (command.layers, command.follow) == ((0, LAYERS - 1), not story.computed)
            else:
                assert isinstance(command, PostSignal)
                assert story.puts, "a signal must come behind the data"
                story.signals.append(command)
                assert (command.signal.loan, command.signal.blocks) == (grant.loan, grant.blocks[: self.blocks])

    def _check_abandoned(self, number: int, commands: tuple[Command, ...]) -> None:
        story, last = self.stories[number], commands[-1]
        assert isinstance(last, Send)
        assert isinstance(last.message, Abandon)
        assert len(commands) == 1 + story.started
        if not story.started:
            story.over = True
            return
        release = commands[0]
        assert isinstance(release, Release)
        assert release.reason == "abandoned"
        self._close(story, release)

    def _close(self, story: Story, release: Release) -> None:
        story.over = True
        story.releases.append(release)
        assert story.sequence is not None
        assert story.sequence.loan is not None
        assert (release.loan, release.blocks) == (story.sequence.loan.number, self.blocks)
        assert not self.pool.is_current(release.loan, ())


SenderAndModel.TestCase.settings = settings(deadline=None, derandomize=True, max_examples=150, stateful_step_count=50)
TestSender = SenderAndModel.TestCase
