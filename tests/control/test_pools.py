"""What holds of the router's beliefs: reports plus what they do not count, and rankings that are always in order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from emu.control.messages import LoadReport
from emu.control.placement import Demand, Policy, occupied, open_sequences, pending, policy, requests
from emu.control.pools import Load, Member, Pool, Pools, Rank, Ranking

steady = settings(deadline=None, derandomize=True)


RANKS: tuple[Rank, ...] = (pending, occupied)
BLOCKS = 1000
POOLS = st.sampled_from(Pool)
SMALL = st.integers(0, 5)


def cluster(*homes: Pool, ranks: tuple[Rank, ...] = RANKS) -> Pools:
    return Pools(tuple(Member(machine, home, BLOCKS) for machine, home in enumerate(homes)), ranks)


def report(machine: int, counted: int, tokens: int = 0, sequences: int = 0, free: int = BLOCKS) -> LoadReport:
    return LoadReport(machine, counted, 7, tokens, 0, sequences, free)


@steady
@given(st.lists(st.tuples(st.integers(0, 4), SMALL, st.booleans()), max_size=400))
def test_the_first_is_the_least_by_rank_then_machine(changes: list[tuple[int, int, bool]]) -> None:
    """However often ranks change and machines leave and come back; long lists make it throw stale entries away."""
    ranking, ranks = Ranking(pending), dict[int, int]()
    for machine, rank, leaves in changes:
        load = Load(machine, Pool.MIXED, Pool.MIXED, BLOCKS, BLOCKS, pending_tokens=rank)
        if leaves:
            ranking.remove(load)
            ranks.pop(machine, None)
        else:
            ranking.update(load)
            ranks[machine] = rank
        expected = min(((rank, machine) for machine, rank in ranks.items()), default=None)
        assert ranking.first() == (None if expected is None else expected[1])
        assert ranking.machines() == sorted(ranks)
        assert len(ranking) == len(ranks)


@steady
@given(
    st.lists(POOLS, min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), SMALL, SMALL, SMALL, st.none() | POOLS), max_size=40),
)
def test_the_first_of_a_pool_after_any_updates_and_moves(
    homes: list[Pool], changes: list[tuple[int, int, int, int, Pool | None]]
) -> None:
    pools = cluster(*homes)
    for now, (machine, tokens, sequences, blocks, moves_to) in enumerate(changes):
        load = pools.loads[machine % len(homes)]
        if moves_to is None:
            load.assign(tokens, sequences, blocks)
            pools.changed(load)
        else:
            pools.move(load, moves_to, now)
            assert load.crossed_ps == now
        for rank in RANKS:
            for pool in Pool:
                there = [load for load in pools.loads if load.pool is pool]
                assert pools.first(pool, rank) is min(there, key=lambda load: (rank(load), load.machine), default=None)
                assert pools.machines(pool) == [load.machine for load in there]
            best = min(pools.loads, key=lambda load: (rank(load), load.machine))
            assert pools.first_of(tuple(Pool), rank) is best


@steady
@given(st.lists(st.tuples(SMALL, SMALL, SMALL) | st.tuples(SMALL, SMALL, SMALL, st.integers(0, 9)), max_size=30))
def test_a_belief_is_the_report_plus_what_it_does_not_count(deeds: list[tuple[int, ...]]) -> None:
    """Reports come late, count what had come to the machine by then, and never forget what they counted."""
    load = Load(0, Pool.MIXED, Pool.MIXED, BLOCKS, BLOCKS)
    sent: list[tuple[int, int, int]] = []
    counted, told = 0, (0, 0, BLOCKS)
    for deed in deeds:
        if len(deed) == 3:
            sent.append((deed[0], deed[1], deed[2]))
            assert load.assign(*sent[-1]) == len(sent), "numbers count up by one"
        else:
            counted = min(len(sent), counted + deed[3])
            told = (deed[0], deed[1], deed[2])
            load.report(report(0, counted, *told))
            assert load.reported_ps == 7
        rest = sent[counted:]
        assert load.pending_tokens == told[0] + sum(tokens for tokens, _, _ in rest)
        assert load.sequences == told[1] + sum(sequences for _, sequences, _ in rest)
        assert load.free_blocks == told[2] - sum(blocks for _, _, blocks in rest)


@steady
@given(st.integers(1, 8), st.integers(1, 60), st.sampled_from(("token-jsq", "jsq", "round-robin")), SMALL)
def test_a_burst_between_two_reports_spreads(machines: int, count: int, name: str, before: int) -> None:
    """Equal requests to machines that report nothing new: the belief alone keeps them apart."""
    chosen = burst(cluster(*[Pool.MIXED] * machines, ranks=policy(name).ranks), policy(name), count, before)
    assert max(chosen) <= -(-count // machines) + 1
    assert min(chosen) >= count // machines - 1


@steady
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 40))
def test_a_burst_spreads_over_both_pools_of_the_paper(prefills: int, decodes: int, count: int) -> None:
    splitwise = policy("splitwise", 10**9)
    pools = cluster(*[Pool.PREFILL] * prefills, *[Pool.DECODE] * decodes)
    chosen = burst(pools, splitwise, count, 0)
    assert max(chosen[:prefills]) <= -(-count // prefills) + 1
    assert max(chosen[prefills:]) <= -(-count // decodes) + 1
    assert sum(chosen) == 2 * count


def test_jsq_spreads_a_burst_over_prefill_machines() -> None:
    jsq = policy("jsq")
    chosen = burst(cluster(Pool.PREFILL, Pool.PREFILL, Pool.DECODE, ranks=jsq.ranks), jsq, 10, 0)
    assert max(chosen[:2]) <= 6


def burst(pools: Pools, decides: Policy, count: int, before: int) -> list[int]:
    """Place `count` equal requests, with a report in the middle that says nothing new; how many each machine got."""
    chosen = [0] * len(pools.loads)
    for number in range(count):
        if number == before:
            for load in pools.loads:
                load.report(report(load.machine, 0))
                pools.changed(load)
        placement = decides.place(pools, Demand(100, 7, 7))
        assert placement is not None
        prefill, decode = pools.loads[placement.prefill], pools.loads[placement.decode]
        if prefill is decode:
            prefill.assign(100, 1, 7)
        else:
            prefill.assign(100, 0, 7)
            decode.assign(0, 1, 7)
        for load in {prefill.machine: prefill, decode.machine: decode}.values():
            chosen[load.machine] += 1
            pools.changed(load)
    return chosen


@steady
@given(st.lists(POOLS, min_size=1, max_size=5), st.lists(st.tuples(st.integers(0, 4), POOLS), max_size=20))
def test_a_home_pool_never_loses_its_last_machine(homes: list[Pool], changes: list[tuple[int, Pool]]) -> None:
    pools = cluster(*homes)
    for now, (machine, home) in enumerate(changes):
        load = pools.loads[machine % len(homes)]
        before = load.home
        at_home = sum(other.home is before for other in pools.loads)
        assert pools.rehome(load, home, now) is (at_home > 1)
        assert load.home is (home if at_home > 1 else before)
    assert {load.home for load in pools.loads} >= set(homes)


def test_what_the_ranks_count() -> None:
    load = Load(0, Pool.MIXED, Pool.MIXED, 50, 30, pending_tokens=200, outgoing=1, sequences=3, assigned=9)
    assert (pending(load), occupied(load), requests(load), open_sequences(load)) == (203, 20, 9, 4)


def test_a_report_of_more_asked_for_than_there_is_ranks_behind_a_full_machine() -> None:
    pools = cluster(Pool.DECODE, Pool.DECODE)
    for machine, free in ((0, -5), (1, 0)):
        pools.loads[machine].report(report(machine, 0)._replace(free_blocks=free))
        pools.changed(pools.loads[machine])
    first = pools.first(Pool.DECODE, occupied)
    assert first is pools.loads[1]
