"""A Scheduler under way: a driver that knows when outputs end, and what must hold at every step boundary."""

from collections import Counter

from attrs import define, evolve, field, frozen
from hypothesis import strategies as st

from emu.control.batch import Batch, Kind, StepResult
from emu.control.blocks import BlockPool
from emu.control.mixed import Outcome, Scheduler, SchedulerRules
from emu.control.request import Move, Phase, Request, Sequence

HERE, THERE = 0, 1


@frozen
class Ask:
    """A request that comes: `output` is what it will get, known to the driver alone."""

    prompt_tokens: int
    max_tokens: int
    output: int


@frozen
class Assigned:
    """To be prefilled here; it `stays` or hands its cache over."""

    ask: Ask
    stays: bool


@frozen
class Arrived:
    """Prefilled elsewhere: its cache comes into blocks that are lent if there is room."""

    ask: Ask


@frozen
class Run:
    """So many steps, unless there is nothing to run."""

    steps: int


@frozen
class Released:
    """The oldest cache that waits to be handed over has arrived elsewhere."""


Deed = Assigned | Arrived | Run | Released

ASKS = st.builds(
    lambda prompt, output, more: Ask(prompt, output + more, output),
    st.integers(1, 60),
    st.integers(2, 60) | st.just(1),
    st.integers(0, 20),
)
DEEDS = st.lists(
    st.one_of(
        st.builds(Assigned, ASKS, st.booleans()),
        st.builds(Arrived, ASKS.map(lambda ask: evolve(ask, max_tokens=ask.max_tokens + 1, output=ask.output + 1))),
        st.builds(Run, st.integers(1, 30)),
        st.just(Released()),
    ),
    min_size=5,
    max_size=30,
)
RULES = st.builds(
    SchedulerRules,
    prefill_batch_tokens=st.integers(1, 80),
    decode_batch=st.integers(1, 6),
    max_preemptions=st.integers(0, 3),
    watermark=st.sampled_from((0.0, 0.01, 0.2)),
    reserve_max_tokens=st.booleans(),
    layer_wise_from_tokens=st.integers(1, 80),
)


@define
class Flight:
    """One scheduler, its sequences, and the worker's view of them."""

    rules: SchedulerRules
    capacity: int
    block_tokens: int
    scheduler: Scheduler = field(init=False)
    alive: dict[int, Sequence] = field(factory=dict)
    output: dict[int, int] = field(factory=dict)
    handing_over: list[Sequence] = field(factory=list)
    ended: dict[int, tuple[str, int]] = field(factory=dict)  # status and delivered tokens
    preemptions: int = 0
    _known: dict[int, list[int]] = field(factory=dict)  # the worker's decoding sequences and their blocks
    _waited: Counter[int] = field(factory=Counter)  # batches in a row that a sequence has sat out
    _asked: int = 0

    def __attrs_post_init__(self) -> None:
        self.scheduler = Scheduler(BlockPool(self.capacity, self.block_tokens), self.rules, HERE)

    def do(self, deed: Deed) -> None:
        match deed:
            case Assigned(ask, stays):
                self._assign(ask, HERE if stays else THERE)
            case Arrived(ask):
                self._arrive(ask)
            case Run(steps):
                self.run(steps)
            case Released():
                if self.handing_over:
                    self._end(self.handing_over.pop(0), "handed over")
        self.check_places()

    def run(self, steps: int) -> int:
        """Run `steps` steps, whatever batches they come in; the steps that could not be run."""
        while steps and (batch := self._next_batch()) is not None:
            done = min(batch.max_steps, steps, *self._steps_to_last())
            steps -= done
            self._finish(done)
        return steps

    def land(self) -> None:
        """Until everything has ended."""
        for _ in range(10_000):
            while self.handing_over:
                self.do(Released())
            if not self.alive:
                break
            assert self.scheduler.prefilling or self.scheduler.decoding or self.scheduler.prefills
            assert self.run(1) == 0 or not self.alive, "stuck"
        assert self.scheduler.pool.free_blocks == self.capacity

    def picture(self) -> dict[str, object]:
        """All that two flights must have in common."""
        decoder, scheduler = self.scheduler.decoder, self.scheduler
        return {
            "loans": {r: s.loan and (s.loan.number, tuple(s.loan.blocks)) for r, s in self.alive.items()},
            "delivered": {r: self._delivered(s) for r, s in self.alive.items()},
            "phases": {r: s.phase for r, s in self.alive.items()},
            "ready": [s.request.request_id for s in decoder.ready],
            "ended": self.ended,
            "free": scheduler.pool.free_blocks,
            "context": decoder.context_tokens,
            "steps": decoder.steps,
        }

    def check_places(self) -> None:
        """Every sequence is in the one place that its phase names, and every block in one loan."""
        scheduler, decoder = self.scheduler, self.scheduler.decoder
        queued = [*scheduler.prefills.preempted, *scheduler.prefills.waiting]
        places = [*queued, *scheduler.prefilling, *decoder.ready, *decoder.running.values(), *self.handing_over]
        assert len({id(sequence) for sequence in places}) == len(places), "a sequence in two places"
        assert {s.request.request_id for s in places} == set(self.alive)
        assert {s.phase for s in queued} <= {Phase.QUEUED}
        assert {s.phase for s in decoder.ready} <= {Phase.READY}
        assert {s.phase for s in decoder.running.values()} <= {Phase.DECODING}
        assert scheduler.decoding == len(decoder.ready) + len(decoder.running) + len(scheduler.prefills.preempted)
        loans = [sequence.loan for sequence in places if sequence.loan is not None]
        blocks = [block for loan in loans for block in loan.blocks]
        assert len(blocks) == len(set(blocks))
        assert scheduler.pool.free_blocks == self.capacity - len(blocks)
        assert all(s.loan is None for s in queued)

    def _assign(self, ask: Ask, peer: int) -> None:
        sequence = Sequence(self._request(ask), 0, Phase.QUEUED, peer)
        if self.scheduler.blocks_wanted(sequence) <= self.capacity:
            self._admit(sequence, ask)
            self.scheduler.prefills.add(sequence)

    def _arrive(self, ask: Ask) -> None:
        request, pool = self._request(ask), self.scheduler.pool
        blocks = self.scheduler.blocks_to_decode(request.prompt_tokens, request.max_tokens)
        if self.scheduler.has_room(blocks):
            loan = pool.lend(request.request_id, 0, blocks)
            sequence = Sequence(request, 0, Phase.READY, HERE, loan, delivered=1)
            self._admit(sequence, ask)
            self.scheduler.decoder.ready.append(sequence)

    def _request(self, ask: Ask) -> Request:
        self._asked += 1
        return Request(self._asked, ask.prompt_tokens, ask.max_tokens, self._asked // 2)

    def _admit(self, sequence: Sequence, ask: Ask) -> None:
        self.alive[sequence.request.request_id] = sequence
        self.output[sequence.request.request_id] = ask.output

    def _next_batch(self) -> Batch | None:
        scheduler = self.scheduler
        aged = {r for r, s in self.alive.items() if s.sat_out >= self.rules.max_preemptions}
        had = {r: self._delivered(s) for r, s in self.alive.items()}
        batch = scheduler.next_batch()
        for sequence, _, blocks in scheduler.preempted:
            assert blocks
            assert sequence.delivered == had[sequence.request.request_id], "a preemption lost tokens"
            self.preemptions += 1
        scheduler.preempted.clear()
        self._fail()
        if batch is not None:
            self._check_limits(batch, aged)
            self._check_slices(batch)
            self._tell_worker(batch)
            self._check_sitting_out()
        return batch

    def _fail(self) -> None:
        """Nobody else had a block when these failed; theirs are back."""
        for sequence, _, blocks in self.scheduler.failed:
            assert blocks
            assert sequence.loan is None
            self._end(sequence, "failed")
        self.scheduler.failed.clear()

    def _check_limits(self, batch: Batch, aged: set[int]) -> None:
        rules, scheduler = self.rules, self.scheduler
        tokens, free = batch.prompt_tokens, scheduler.pool.free_blocks
        assert len(batch.prefills) == 1 or tokens <= rules.prefill_batch_tokens
        assert batch.sequences == len(scheduler.decoder.running) <= rules.decode_batch
        assert 1 <= batch.max_steps <= (rules.max_steps or batch.max_steps)
        if batch.prefills:
            assert batch.max_steps == 1
            assert batch.sequences <= max(rules.prefill_batch_tokens - tokens, len(aged))
            alone = len(batch.prefills) == 1 and free + len(batch.prefills[0].blocks) == self.capacity
            assert alone or free >= scheduler.watermark_blocks

    def _check_slices(self, batch: Batch) -> None:
        for piece in batch.prefills:
            sequence = self.alive[piece.request_id]
            assert piece.kind is (Kind.RECOMPUTE if sequence.delivered else Kind.PREFILL)
            assert (piece.first, piece.count) == (0, sequence.request.prompt_tokens + sequence.delivered)
            assert piece.count <= len(piece.blocks) * self.block_tokens
        running = self.scheduler.decoder.running.values()
        assert batch.context_tokens == sum(s.request.prompt_tokens + self._delivered(s) for s in running)
        leaving = any(self.alive[piece.request_id].peer == THERE for piece in batch.prefills)
        assert batch.layer_wise is (leaving and batch.prompt_tokens >= self.rules.layer_wise_from_tokens)

    def _tell_worker(self, batch: Batch) -> None:
        """A worker that only hears of changes knows who decodes, and in which blocks."""
        for request_id, block in batch.grown:
            if request_id in self._known:
                self._known[request_id].append(block)
        for request_id in batch.left:
            self._known.pop(request_id)
        for piece in batch.joined:
            assert piece.request_id not in self._known
            self._known[piece.request_id] = list(piece.blocks)
        running = self.scheduler.decoder.running
        assert self._known == {r: s.loan.blocks for r, s in running.items() if s.loan is not None}
        for sequence in running.values():
            context = sequence.request.prompt_tokens + self._delivered(sequence)
            assert context <= len(self._known[sequence.request.request_id]) * self.block_tokens

    def _check_sitting_out(self) -> None:
        ready = {s.request.request_id for s in self.scheduler.decoder.ready}
        for request_id, sequence in self.alive.items():
            assert not (self._waited[request_id] and request_id in ready), "a newcomer took its place"
            out = sequence.phase is Phase.READY and request_id not in ready
            self._waited[request_id] = self._waited[request_id] + 1 if out else 0
            assert self._waited[request_id] <= self.rules.max_preemptions, "it sits out for too long"

    def _steps_to_last(self) -> list[int]:
        running = self.scheduler.decoder.running
        return [self.output[r] - self._delivered(sequence) for r, sequence in running.items()]

    def _finish(self, done: int) -> None:
        scheduler, had = self.scheduler, {r: self._delivered(s) for r, s in self.alive.items()}
        made = dict.fromkeys(scheduler.decoder.running, done)
        made |= {s.request.request_id: 1 for s in scheduler.prefilling}
        stopped = tuple(r for r, more in made.items() if had[r] + more == self.output[r])
        outcome: Outcome = scheduler.finish(StepResult(done, stopped))
        assert {r: self._delivered(s) - had[r] for r, s in self.alive.items() if self._delivered(s) != had[r]} == made
        assert sorted(s.request.request_id for s in outcome.stopped) == sorted(stopped)
        for sequence in outcome.stopped:
            self._end(sequence, "completed")
        self.handing_over += [s for s in outcome.prefilled if s.phase is Phase.HANDING_OVER]

    def _delivered(self, sequence: Sequence) -> int:
        running = sequence.request.request_id in self.scheduler.decoder.running
        return self.scheduler.decoder.delivered(sequence) if running else sequence.delivered

    def _end(self, sequence: Sequence, status: str) -> None:
        request_id, loan = sequence.request.request_id, sequence.loan
        if sequence.phase is not Phase.ENDED:
            sequence.move(Move.END)
        del self.alive[request_id]
        self._waited.pop(request_id, None)
        self.ended[request_id] = (status, sequence.delivered)
        if loan is not None:
            self.scheduler.pool.give_back(loan)
