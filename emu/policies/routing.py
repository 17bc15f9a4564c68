"""OwnRouting: a routing policy of one's own, as the router asks its policies.

It shows the machines as plain values, and takes no answer on trust. Nothing here decides where a request goes.
"""

from __future__ import annotations

from attrs import define

from emu.control.placement import Demand, Placement, pending
from emu.control.pools import Load, Pool, Pools, Rank
from emu.policies.contract import Contract, shown
from emu.policies.interface import Ask, Offer, RoutingPolicy
from emu.record.entries import PolicyFault, PolicySeat


@define(eq=False, repr=False)
class OwnRouting:
    """A `Policy` of the router that asks `chosen`. A breach of the contract places nothing: the request is rejected."""

    chosen: RoutingPolicy
    contract: Contract
    ranks: tuple[Rank, ...] = (pending,)

    def place(self, pools: Pools, demand: Demand) -> Placement | None:
        offered = sorted(machine for pool in Pool for machine in pools.machines(pool))
        offers = tuple(_offer(pools.loads[machine]) for machine in offered)
        ask = Ask(demand.prompt_tokens, demand.prefill_blocks, demand.decode_blocks, demand.draw)
        try:
            answer: object = self.chosen.place(ask, offers)
        except Broke as broke:
            self.contract.broken(PolicySeat.ROUTING, -1, broke.fault, broke.words)
            return None
        except Exception as error:
            self.contract.raised(PolicySeat.ROUTING, -1, error)
            return None
        if answer is None:
            return None
        if not (isinstance(answer, tuple) and len(answer) == 2 and all(type(machine) is int for machine in answer)):
            words = f"place() answered {shown(answer)}, expected a Choice of two machines or None"
            self.contract.broken(PolicySeat.ROUTING, -1, PolicyFault.UNREADABLE, words)
            return None
        if not set(answer) <= set(offered):
            words = f"place() answered {shown(answer)}, offered were the machines {offered}"
            self.contract.broken(PolicySeat.ROUTING, -1, PolicyFault.NOT_OFFERED, words)
            return None
        prefill, decode = answer
        borrowed = _borrowed(pools.loads[prefill], pools.loads[decode])
        return Placement(prefill, decode, 3 if borrowed else 1, borrowed)


class Broke(Exception):
    """A policy's answer is none; `words` say what came in its place."""

    def __init__(self, fault: PolicyFault, words: str) -> None:
        super().__init__(words)
        self.fault = fault
        self.words = words


def _borrowed(prefill: Load, decode: Load) -> tuple[int, ...]:
    """Who serves a phase that is not its pool's."""
    found = {prefill.machine} if prefill.pool is Pool.DECODE else set[int]()
    if decode.pool is Pool.PREFILL:
        found.add(decode.machine)
    return tuple(sorted(found))


def _offer(load: Load) -> Offer:
    return Offer(
        load.machine,
        load.pool.value,
        load.pending_tokens,
        load.sequences,
        load.free_blocks,
        load.kv_blocks,
        load.assigned,
    )
