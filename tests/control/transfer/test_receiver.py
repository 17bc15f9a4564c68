"""What holds of the receiving end: first come, first served, exact commits, and blocks kept until the last word."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from emu.control.blocks import BlockPool
from emu.control.commands import Command, Commit, Lend, Release, Send
from emu.control.messages import Abandon, Grant, Heartbeat, Reserve, Signal, Unknown
from emu.control.request import Phase, Request
from emu.control.transfer.leases import Leases, Spans
from emu.control.transfer.receiver import MOST_GRANTS, CommitMismatch, Receiver

LAYERS, HERE, THERE = 3, 1, 0
WHOLE = ((0, LAYERS - 1),)
PICK = st.integers(0, 9)
LEASE = 5000  # longer than any run of the model: who expires is said
SPANS = Spans(right_ps=1, hold_ps=3, flight_ps=1)
TAMPERINGS = ("loan", "a layer less", "a layer more", "a block less", "another block", "blocks in another order")


@define
class Story:
    """One transfer as the model sees it."""

    number: int
    prompt_blocks: int
    asked: int
    loan: int = 0
    blocks: tuple[int, ...] = ()
    fenced: bool = False
    said: int = 0  # when its source was last told that it may write
    unheard: int = 0  # heartbeats since then
    grants: int = 1

    @property
    def clear_at(self) -> int:
        """From when on nothing can be in flight for a fenced one."""
        return self.said + SPANS.hold_ps


class ReceiverAndModel(RuleBasedStateMachine):
    """One receiver, and lists of who waits, who has blocks and whose cache came."""

    @initialize(capacity=st.integers(1, 20))
    def begin(self, capacity: int) -> None:
        self.pool = BlockPool(capacity)
        self.receiver = Receiver(HERE, LAYERS, self.pool, Leases(LEASE), SPANS)
        self.waiting: list[Story] = []
        self.granted: list[Story] = []
        self.committed: list[Story] = []
        self.asked = self.now = 0

    @rule(prompt_blocks=st.integers(1, 6), spare=st.integers(0, 1))
    def ask(self, prompt_blocks: int, spare: int) -> None:
        self.asked += 1
        request = Request(self.asked, 16 * prompt_blocks, 9, 0)
        self.receiver.ask(Reserve(request, 0, self.asked, THERE, self.now), prompt_blocks + spare)
        self.waiting.append(Story(self.asked, prompt_blocks, prompt_blocks + spare))

    @precondition(lambda self: self.waiting and self.waiting[0].asked <= self.pool.free_blocks)
    @rule()
    def lend(self) -> None:
        story = self.waiting.pop(0)
        lend = self.receiver.lend_next(self.now)
        assert isinstance(lend, Lend)
        grant = lend.message
        assert (grant.request_id, lend.machine, lend.blocks) == (story.number, THERE, story.asked), "not first come"
        assert self.pool.is_current(grant.loan, grant.blocks)
        assert len(grant.blocks) == story.asked
        story.loan, story.blocks, story.said = grant.loan, grant.blocks, self.now
        self.granted.append(story)

    @precondition(lambda self: self.granted)
    @rule(pick=PICK, cuts=st.booleans())
    def signal(self, pick: int, cuts: bool) -> None:
        """Exactly what was promised, in one range or more: it commits, unless the lease was fenced."""
        story = self.granted.pop(pick % len(self.granted))
        signal = self._signal(story)
        if cuts:
            signal = signal._replace(layers=((1, LAYERS - 1), (0, 1)))
        sequence, (command,) = self.receiver.signalled(signal, self.now)
        if story.fenced:
            assert sequence is None, "it never commits"
            self._check_release(story, command, "expired")
            return
        assert sequence is not None
        assert sequence.loan is not None
        assert (sequence.phase, sequence.delivered, sequence.peer) == (Phase.READY, 1, HERE)
        assert (sequence.loan.number, tuple(sequence.loan.blocks)) == (story.loan, story.blocks)
        assert isinstance(command, Commit)
        assert (command.machine, command.loan, command.blocks) == (THERE, story.loan, story.prompt_blocks)
        assert (command.message.below, command.message.holes) == (LAYERS, ())
        self.committed.append(story)

    @precondition(lambda self: any(not story.fenced for story in self.granted))
    @rule(pick=PICK, how=st.sampled_from(TAMPERINGS))
    def signal_something_else(self, pick: int, how: str) -> None:
        open_stories = [story for story in self.granted if not story.fenced]
        story = open_stories[pick % len(open_stories)]
        signal = self._signal(story)
        match how:
            case "loan":
                signal = signal._replace(loan=signal.loan + 1)
            case "a layer less":
                signal = signal._replace(layers=((1, LAYERS - 1),))
            case "a layer more":
                signal = signal._replace(layers=((0, LAYERS),))
            case "a block less":
                signal = signal._replace(blocks=signal.blocks[:-1])
            case "another block":
                signal = signal._replace(blocks=(*signal.blocks[:-1], self.pool.capacity))
            case _ if len(signal.blocks) > 1:
                signal = signal._replace(blocks=signal.blocks[::-1])
            case _:
                return
        with self.nothing_changes(), pytest.raises(CommitMismatch):
            self.receiver.signalled(signal, self.now)

    @precondition(lambda self: self.waiting)
    @rule(pick=PICK)
    def signal_without_a_grant(self, pick: int) -> None:
        story = self.waiting[pick % len(self.waiting)]
        with self.nothing_changes(), pytest.raises(CommitMismatch):
            self.receiver.signalled(self._signal(story), self.now)

    @rule(pick=PICK)
    def abandon(self, pick: int) -> None:
        """Who waits leaves the queue; who has blocks gives them back; of anybody else nothing is known."""
        stories = self.waiting + self.granted
        if not stories:
            self._check_unknown(self.asked + 1)
            return
        story = stories[pick % len(stories)]
        (command,) = self.receiver.abandoned(self._abandon(story.number), self.now)
        if story in self.waiting:
            self.waiting.remove(story)
        else:
            self.granted.remove(story)
        self._check_release(story, command, "abandoned")
        self._check_unknown(story.number)

    @precondition(lambda self: self.granted)
    @rule(pick=PICK)
    def expire(self, pick: int) -> None:
        """The lease runs out: the attempt is fenced, and its blocks stay out."""
        story = self.granted[pick % len(self.granted)]
        if not story.fenced:
            free = self.pool.free_blocks
            self.receiver.expired((story.number, 0), self.now)
            story.fenced = True
            assert self.pool.free_blocks == free

    @precondition(lambda self: self.waiting or self.granted)
    @rule(pick=PICK)
    def give_up(self, pick: int) -> None:
        """Who waits leaves the queue; who has blocks is fenced, once, and keeps them."""
        stories = self.waiting + self.granted
        story, free = stories[pick % len(stories)], self.pool.free_blocks
        commands = self.receiver.give_up((story.number, 0), self.now)
        if story in self.waiting:
            self.waiting.remove(story)
            self._check_release(story, commands[0], "cancelled")
            return
        assert (commands, self.pool.free_blocks) == ((), free)
        story.fenced = True

    @rule()
    def clear(self) -> None:
        """Time passes: of what is fenced that is free which was not renewed for long enough, and nothing else."""
        self.now += 1
        due = [story for story in self.granted if story.fenced and story.clear_at <= self.now]
        released = {command.request_id: command for command in self.receiver.cleared(self.now)}  # type: ignore[union-attr]
        assert set(released) == {story.number for story in due}
        for story in due:
            self.granted.remove(story)
            self._check_release(story, released[story.number], "quarantined")

    @rule()
    def heartbeat(self) -> None:
        """The sources hear of every cache that waits for blocks, and of those of whose blocks they say nothing."""
        self.now += 1
        heard = [send.message for send in self.receiver.heartbeats(self.now) if isinstance(send, Send)]
        for story in self.granted:
            story.unheard += not story.fenced
        unheard = tuple((story.number, 0) for story in self.granted if story.unheard > 1 and not story.fenced)
        wanted = (*((story.number, 0) for story in self.waiting), *unheard)
        assert heard == ([Heartbeat(HERE, wanted, self.now, unheard)] if wanted else [])

    @rule(stamp=st.integers(0, 9))
    def a_source_asks(self, stamp: int) -> None:
        """Of all that it ever heard of: it may go on with what has blocks and is not fenced, and is told so."""
        every = tuple((number, 0) for number in range(1, self.asked + 1))
        commands = self.receiver.heard(Heartbeat(THERE, every, stamp), self.now)
        kept = [story for story in self.granted if not story.fenced]
        for story in kept:
            story.said, story.unheard = self.now, 0
        answers = [x.message for x in commands if isinstance(x, Send) and isinstance(x.message, Heartbeat)]
        assert [answer.answers_ps for answer in answers] == ([stamp] if kept else [])
        assert sorted(key for answer in answers for key in answer.transfers) == sorted((s.number, 0) for s in kept)
        assert len(commands) - len(answers) == len(self.committed), "each of them has lost its acknowledgement"

    @rule()
    def a_source_has_no_grants(self) -> None:
        """They are said again, so often, and may be used from then on."""
        every = tuple((number, 0) for number in range(1, self.asked + 1))
        commands = self.receiver.unknown(Unknown(THERE, every, self.now), self.now)
        again = [x.message for x in commands if isinstance(x, Send) and isinstance(x.message, Grant)]
        assert len(again) == len(commands)
        kept = {s.number: s for s in self.granted if not s.fenced and s.grants < MOST_GRANTS}
        assert {grant.request_id for grant in again} == set(kept)
        for grant in again:
            story = kept[grant.request_id]
            story.said, story.grants = self.now, story.grants + 1
            assert (grant.loan, grant.blocks) == (story.loan, story.blocks)

    @invariant()
    def counts_are_those_of_the_model(self) -> None:
        assert self.receiver.queued_blocks == sum(story.asked for story in self.waiting)
        assert self.receiver.granted_blocks == sum(s.asked for s in self.granted if not s.fenced)
        assert [incoming.reserve.number for incoming in self.receiver.queue] == [s.number for s in self.waiting]
        assert {number for number, _ in self.receiver.open} == {s.number for s in self.waiting + self.granted}
        held = sum(story.asked for story in self.granted + self.committed)
        assert self.pool.free_blocks == self.pool.capacity - held
        assert all(self.pool.is_current(s.loan, s.blocks) for s in self.granted + self.committed)

    @contextmanager
    def nothing_changes(self) -> Iterator[None]:
        before = repr((self.receiver, self.pool, list(self.receiver.queue)))
        states = [(key, incoming.state) for key, incoming in self.receiver.open.items()]
        yield
        assert repr((self.receiver, self.pool, list(self.receiver.queue))) == before
        assert [(key, incoming.state) for key, incoming in self.receiver.open.items()] == states

    def _signal(self, story: Story) -> Signal:
        return Signal(story.number, 0, THERE, story.loan, WHOLE, story.blocks[: story.prompt_blocks])

    def _abandon(self, number: int) -> Abandon:
        return Abandon(number, 0, THERE, "given up", self.now)

    def _check_unknown(self, number: int) -> None:
        assert self.receiver.abandoned(self._abandon(number), 0) == ()
        assert (number, 0) in self.receiver.early, "its reservation may still come"
        self.receiver.early.end((number, 0))

    def _check_release(self, story: Story, command: Command, reason: str) -> None:
        assert isinstance(command, Release)
        blocks = story.asked if story.loan else 0
        assert (command.request_id, command.loan, command.blocks) == (story.number, story.loan, blocks)
        assert command.reason == reason
        assert not story.loan or not self.pool.is_current(story.loan, story.blocks)


ReceiverAndModel.TestCase.settings = settings(deadline=None, derandomize=True, max_examples=80, stateful_step_count=40)
TestReceiver = ReceiverAndModel.TestCase
