"""The five placement steps of the paper, one small example each, and the baselines. Policies only look."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.control.placement import Demand, Placement, Policy, policy
from emu.control.pools import Load, Member, Pool, Pools

steady = settings(deadline=None, derandomize=True)


BLOCKS, LIMIT = 100, 1000
P, D, M = Pool.PREFILL, Pool.DECODE, Pool.MIXED
DEMAND = Demand(prompt_tokens=400, prefill_blocks=25, decode_blocks=26)
NAMES = ("splitwise", "token-jsq", "jsq", "round-robin", "random")


def cluster(decides: Policy, *homes: Pool) -> Pools:
    return Pools(tuple(Member(machine, home, BLOCKS) for machine, home in enumerate(homes)), decides.ranks)


def load(pools: Pools, machine: int, tokens: int = 0, sequences: int = 0, blocks: int = 0) -> None:
    pools.loads[machine].assign(tokens, sequences, blocks)
    pools.changed(pools.loads[machine])


SPLITWISE = policy("splitwise", LIMIT)


def test_step_1_the_least_loaded_machine_of_each_own_pool() -> None:
    pools = cluster(SPLITWISE, P, P, D, D, M)
    load(pools, 0, tokens=300)
    load(pools, 2, sequences=1, blocks=30)
    assert SPLITWISE.place(pools, DEMAND) == Placement(1, 3, 1)


def test_step_2_the_mixed_pool_when_the_prefill_queues_are_full() -> None:
    pools = cluster(SPLITWISE, P, D, M)
    load(pools, 0, tokens=601)
    assert SPLITWISE.place(pools, DEMAND) == Placement(2, 1, 2)


def test_step_2_the_mixed_pool_when_the_decode_machines_have_no_memory() -> None:
    pools = cluster(SPLITWISE, P, D, M)
    load(pools, 1, sequences=1, blocks=75)
    assert SPLITWISE.place(pools, DEMAND) == Placement(0, 2, 2)


def test_step_3_a_prefill_machine_is_borrowed_to_decode() -> None:
    pools = cluster(SPLITWISE, P, P, D)
    load(pools, 2, sequences=1, blocks=75)
    load(pools, 0, tokens=10, blocks=1)
    assert SPLITWISE.place(pools, DEMAND) == Placement(1, 1, 3, (1,)), "the emptiest prefill machine does both"


def test_step_3_a_decode_machine_is_borrowed_to_prefill() -> None:
    pools = cluster(SPLITWISE, P, D, D)
    load(pools, 0, tokens=601)
    load(pools, 1, sequences=5, blocks=10)
    assert SPLITWISE.place(pools, DEMAND) == Placement(2, 2, 3, (2,))


def test_step_5_the_least_loaded_machine_of_all_runs_both_phases() -> None:
    """Queues and memories are full everywhere, so somebody must queue. (Step 4, going home, is the router's.)"""
    pools = cluster(SPLITWISE, P, D, M)
    load(pools, 0, tokens=900, blocks=90)
    load(pools, 1, sequences=50, blocks=90)
    load(pools, 2, tokens=900, sequences=20, blocks=90)
    assert SPLITWISE.place(pools, DEMAND) == Placement(1, 1, 5)


def test_the_queue_limit_is_a_limit_on_waiting_and_not_on_prompts() -> None:
    pools = cluster(SPLITWISE, P, D, M)
    assert SPLITWISE.place(pools, DEMAND._replace(prompt_tokens=LIMIT + 1)) == Placement(0, 1, 1)
    load(pools, 0, tokens=600)
    assert SPLITWISE.place(pools, DEMAND) == Placement(0, 1, 1), "exactly at the limit there is room"
    assert SPLITWISE.place(pools, DEMAND._replace(prompt_tokens=401)) == Placement(2, 1, 2)


def test_a_pool_that_can_never_hold_the_prompt_is_passed_over() -> None:
    members = (Member(0, P, 10), Member(1, D, BLOCKS), Member(2, M, BLOCKS))
    assert SPLITWISE.place(Pools(members, SPLITWISE.ranks), DEMAND) == Placement(2, 1, 2)


@pytest.mark.parametrize("name", ["token-jsq", "jsq", "round-robin", "random"])
def test_baselines_run_both_phases_on_mixed_machines_and_split_them_over_pools(name: str) -> None:
    baseline = policy(name)
    for draw in range(4):
        mixed = baseline.place(cluster(baseline, M, M), DEMAND._replace(draw=draw))
        assert mixed is not None
        assert mixed.prefill == mixed.decode
        split = baseline.place(cluster(baseline, P, D), DEMAND._replace(draw=draw))
        assert split == Placement(0, 1, 1)


def test_token_jsq_counts_tokens_and_jsq_counts_requests() -> None:
    for name, expected in (("token-jsq", 1), ("jsq", 0)):
        shortest = policy(name)
        pools = cluster(shortest, M, M)
        load(pools, 0, tokens=5000, sequences=1)
        load(pools, 1, tokens=10, sequences=1)
        load(pools, 1, tokens=10, sequences=1)
        assert shortest.place(pools, DEMAND) == Placement(expected, expected, 1)


@steady
@given(st.integers(1, 7), st.integers(0, 50))
def test_round_robin_is_fair_within_one(machines: int, count: int) -> None:
    robin = policy("round-robin")
    pools, chosen = cluster(robin, *[M] * machines), Counter[int]()
    for _ in range(count):
        placement = robin.place(pools, DEMAND)
        assert placement is not None
        chosen[placement.prefill] += 1
        load(pools, placement.prefill, 400, 1, 26)
    each = [chosen[machine] for machine in range(machines)]
    assert max(each) - min(each) <= 1


@steady
@given(st.lists(st.sampled_from(Pool), min_size=1, max_size=6), st.integers(0, 2**32 - 1), st.integers(0, 10**4))
def test_only_the_draw_decides_where_random_goes(homes: list[Pool], draw: int, tokens: int) -> None:
    chance = policy("random")
    empty, busy = cluster(chance, *homes), cluster(chance, *homes)
    for machine in range(0, len(homes), 2):
        load(busy, machine, tokens, 3, 50)
    demand = DEMAND._replace(draw=draw)
    assert chance.place(empty, demand) == chance.place(busy, demand)


def test_every_machine_is_drawn() -> None:
    chance = policy("random")
    pools = cluster(chance, P, P, D, D, M)
    placements = [chance.place(pools, DEMAND._replace(draw=draw)) for draw in range(36)]
    pairs = Counter((place.prefill, place.decode) for place in placements if place is not None)
    assert pairs == {(4, 4): 12} | {(prefill, decode): 4 for prefill in (0, 1) for decode in (2, 3, 4)}


def test_nobody_can_prefill_or_nobody_can_decode() -> None:
    for name in NAMES[1:]:
        baseline = policy(name)
        for homes in ((P, P), (D, D)):
            assert baseline.place(cluster(baseline, *homes), DEMAND) is None
    with pytest.raises(KeyError):
        policy("fastest")


@steady
@given(
    st.sampled_from(NAMES),
    st.lists(
        st.tuples(st.sampled_from(Pool), st.integers(0, 1200), st.integers(0, 9), st.integers(0, 110)), min_size=1
    ),
    st.integers(0, 2**32 - 1),
)
def test_a_policy_only_looks(name: str, machines: list[tuple[Pool, int, int, int]], draw: int) -> None:
    """Asked twice it says the same, no belief changes, and whoever it names serves that phase or is borrowed."""
    decides = policy(name, LIMIT)
    pools = cluster(decides, *[pool for pool, _, _, _ in machines])
    for machine, (_, tokens, sequences, blocks) in enumerate(machines):
        load(pools, machine, tokens, sequences, blocks)
    before = [seen(load) for load in pools.loads]
    demand = DEMAND._replace(draw=draw)
    placement = decides.place(pools, demand)
    assert placement == decides.place(pools, demand)
    assert [seen(load) for load in pools.loads] == before
    if placement is None:
        assert name != "splitwise"
        return
    prefill, decode = pools.loads[placement.prefill], pools.loads[placement.decode]
    if placement.step == 5:
        assert prefill is decode
        return
    assert prefill.pool is not D or prefill.machine in placement.borrowed
    assert decode.pool is not P or decode.machine in placement.borrowed
    assert {pools.loads[machine].pool for machine in placement.borrowed} <= {P, D}
    assert bool(placement.borrowed) is (placement.step == 3)


def seen(load: Load) -> tuple[object, ...]:
    return load.pool, load.home, load.pending_tokens, load.sequences, load.free_blocks, load.assigned
