"""Routing policies: which machines get a request, as pure functions of what the router believes.

A policy names the ranks by which it wants each pool ordered, and asks only for the first of a pool, so that a decision
costs the same with a thousand machines. It moves no machine and sends nothing: it says which machines it would borrow.
Nothing here may know output lengths, step costs or link speeds.
"""

from typing import Final, NamedTuple, Protocol

from attrs import frozen

from emu.control.pools import Load, Pool, Pools, Rank


class Demand(NamedTuple):
    """What a request asks of its machines: prompt tokens, and KV blocks on each; `draw` is in 0 .. 2**32 - 1."""

    prompt_tokens: int
    prefill_blocks: int
    decode_blocks: int
    draw: int = 0


class Placement(NamedTuple):
    """The machines of an attempt, those that must move to the mixed pool for it, and the step that decided."""

    prefill: int
    decode: int
    step: int
    borrowed: tuple[int, ...] = ()


class Policy(Protocol):
    """A routing policy. `ranks` are all ranks that `place` asks the pools for."""

    @property
    def ranks(self) -> tuple[Rank, ...]: ...

    def place(self, pools: Pools, demand: Demand) -> Placement | None:
        """Where this request goes; None where no machine serves one of its phases."""
        ...


def pending(load: Load) -> int:
    """The paper's queue length in tokens: a waiting prompt counts all of its tokens, a decoding sequence one."""
    return load.pending_tokens + load.sequences


def occupied(load: Load) -> int:
    """Blocks in use or promised; the same order as most free blocks first where pools are of one size."""
    return load.kv_blocks - load.free_blocks


def requests(load: Load) -> int:
    """How often the router has chosen the machine: the least often chosen comes next, in turn."""
    return load.assigned


def open_sequences(load: Load) -> int:
    """Requests there, each counted once whatever its length."""
    return load.sequences + load.outgoing


_EITHER: Final = (Pool.PREFILL, Pool.DECODE, Pool.MIXED)


@frozen(eq=False, repr=False)
class Splitwise:
    """The paper's cluster-level scheduler (section 4.1): join the shortest queue, both machines chosen at arrival.

    1 the request's own pool; 2 the mixed pool; 3 the other pool, whose machine becomes mixed; 4 (machines go home:
    see `router`); 5 the least loaded machine of all runs both phases.
    """

    queue_limit_tokens: int = 8192
    ranks: tuple[Rank, ...] = (pending, occupied)

    def place(self, pools: Pools, demand: Demand) -> Placement | None:
        prefill, prefill_step = self._prefill(pools, demand)
        decode, decode_step = self._decode(pools, demand)
        if prefill is None or decode is None:
            last = pools.first_of(_EITHER, pending)
            return None if last is None else Placement(last.machine, last.machine, 5)
        borrowed = tuple(
            sorted({load.machine for load, step in ((prefill, prefill_step), (decode, decode_step)) if step == 3})
        )
        return Placement(prefill.machine, decode.machine, max(prefill_step, decode_step), borrowed)

    def _prefill(self, pools: Pools, demand: Demand) -> tuple[Load | None, int]:
        for step, pool in ((1, Pool.PREFILL), (2, Pool.MIXED)):
            load = pools.first(pool, pending)
            if load is not None and self._has_queue_room(load, demand) and _can_hold(load, demand.prefill_blocks):
                return load, step
        load = pools.first(Pool.DECODE, pending)
        if load is not None and demand.prefill_blocks <= load.free_blocks:
            return load, 3
        return None, 5

    def _decode(self, pools: Pools, demand: Demand) -> tuple[Load | None, int]:
        for step, pool in ((1, Pool.DECODE), (2, Pool.MIXED), (3, Pool.PREFILL)):
            load = pools.first(pool, occupied)
            if load is not None and demand.decode_blocks <= load.free_blocks:
                return load, step
        return None, 5

    def _has_queue_room(self, load: Load, demand: Demand) -> bool:
        return not load.pending_tokens or load.pending_tokens + demand.prompt_tokens <= self.queue_limit_tokens


@frozen(eq=False, repr=False)
class Shortest:
    """Join the machine of least rank: in each pool where there are pools, for both phases where all are mixed."""

    rank: Rank

    @property
    def ranks(self) -> tuple[Rank, ...]:
        return (self.rank,)

    def place(self, pools: Pools, demand: Demand) -> Placement | None:
        del demand
        prefill = pools.first_of((Pool.PREFILL, Pool.MIXED), self.rank)
        if prefill is not None and prefill.pool is Pool.MIXED:
            return Placement(prefill.machine, prefill.machine, 1)
        decode = pools.first_of((Pool.DECODE, Pool.MIXED), self.rank)
        return None if prefill is None or decode is None else Placement(prefill.machine, decode.machine, 1)


@frozen(eq=False, repr=False)
class Random:
    """Any machine of the pool, by the draw that the event carries."""

    ranks: tuple[Rank, ...] = (pending,)

    def place(self, pools: Pools, demand: Demand) -> Placement | None:
        mixed = pools.machines(Pool.MIXED)
        prefills = sorted(pools.machines(Pool.PREFILL) + mixed)
        decodes = sorted(pools.machines(Pool.DECODE) + mixed)
        if not prefills or not decodes:
            return None
        turn, index = divmod(demand.draw, len(prefills))
        prefill = prefills[index]
        if pools.loads[prefill].pool is Pool.MIXED:
            return Placement(prefill, prefill, 1)
        return Placement(prefill, decodes[turn % len(decodes)], 1)


def _can_hold(load: Load, blocks: int) -> bool:
    """Whether the machine's pool is large enough at all: waiting for memory there is then finite."""
    return blocks <= load.kv_blocks


def policy(name: str, queue_limit_tokens: int = 8192) -> Policy:
    """The policy of that name. Raises KeyError."""
    policies: dict[str, Policy] = {
        "splitwise": Splitwise(queue_limit_tokens),
        "token-jsq": Shortest(pending),
        "jsq": Shortest(open_sequences),
        "round-robin": Shortest(requests),
        "random": Random(),
    }
    return policies[name]
