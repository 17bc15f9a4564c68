"""Two machines over a network that delivers when it likes: every request ends, and the pools are whole again."""

from hypothesis import event, given, settings
from hypothesis import strategies as st
from machine_network import Job, Network

from emu.control.mixed import SchedulerRules

RULES = st.builds(
    SchedulerRules,
    prefill_batch_tokens=st.integers(4, 60),
    decode_batch=st.integers(1, 6),
    max_preemptions=st.integers(0, 3),
    watermark=st.sampled_from((0.0, 0.1)),
    layer_wise_from_tokens=st.sampled_from((1, 12, 1000)),
)
DELAYS = st.lists(st.integers(0, 6000), min_size=1, max_size=12)


def jobs(ways: list[tuple[int, int]]) -> st.SearchStrategy[list[Job]]:
    one = st.builds(
        lambda gap, prompt, output, more, way: Job(gap, prompt, output + more, output, *way),
        st.integers(0, 3000),
        st.integers(1, 24),
        st.integers(1, 16),
        st.integers(0, 3),
        st.sampled_from(ways),
    )
    return st.lists(one, min_size=1, max_size=14)


def check(network: Network, submitted: list[Job]) -> None:
    """Everything ended as it should, and both machines say that they have nothing left."""
    network.submit(submitted)
    network.run()
    for number, job in enumerate(submitted):
        end = network.ends[number]
        assert (end.status, end.delivered) == ("completed", job.output)
    for host in network.hosts:
        core = host.core
        assert (core.pool.free_blocks, core.pool.loans, core.pool.pinned_loans) == (network.kv_blocks, 0, 0)
        scheduler = core.scheduler
        assert (scheduler.prefilling, scheduler.decoding, len(scheduler.prefills)) == ((), 0, 0)
        assert not core.has_transfers
        assert (len(core.sender.leases), len(core.receiver.leases)) == (0, 0)
        report = core.load_report(network.now, 0)
        assert (report.queued_prompt_tokens, report.sequences) == (0, 0)
        assert report.free_blocks == network.kv_blocks
        here = core.rules.index
        assert report.counted == sum(here in {job.prefill, job.decode} for job in submitted)


@settings(deadline=None, derandomize=True, max_examples=160)
@given(jobs([(0, 1), (0, 1), (0, 1), (0, 0), (1, 1)]), RULES, st.integers(12, 30), DELAYS, st.booleans())
def test_one_way_with_little_memory(
    submitted: list[Job], rules: SchedulerRules, blocks: int, delays: list[int], get: bool
) -> None:
    """Machine 0 prefills for machine 1, and each has work of its own; requests queue and are preempted."""
    network = Network(blocks, 4, rules, delays, get)
    check(network, submitted)
    event("preempted" if network.preemptions else "none preempted")


@settings(deadline=None, derandomize=True, max_examples=100)
@given(jobs([(0, 1), (1, 0), (0, 0), (1, 1)]), RULES, DELAYS, st.booleans())
def test_both_ways_with_memory_to_spare(
    submitted: list[Job], rules: SchedulerRules, delays: list[int], get: bool
) -> None:
    network = Network(400, 4, rules, delays, get)
    check(network, submitted)
    assert network.preemptions == 0
    handed_over = sum(job.prefill != job.decode and job.output > 1 for job in submitted)
    assert network.puts >= handed_over


@settings(deadline=None, derandomize=True, max_examples=100)
@given(jobs([(0, 1)]), DELAYS)
def test_the_same_network_twice_ends_the_same(submitted: list[Job], delays: list[int]) -> None:
    twice = [Network(20, 4, SchedulerRules(layer_wise_from_tokens=8), delays) for _ in range(2)]
    for network in twice:
        check(network, submitted)
    assert (twice[0].now, twice[0].ends, twice[0].puts) == (twice[1].now, twice[1].ends, twice[1].puts)
