"""Whatever happens to a request, its answer is the one that it gets alone: same tokens out of the same KV."""

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from small_clusters import Row, Written, rows, scenario_of, scenarios, written

from emu.fake.model import KvMemory
from emu.record.entries import RequestEnded, Status
from emu.scenario.schema import Router, Scenario, Scheduler, Transfer


def answers(run: Written) -> dict[int, tuple[int, int]]:
    """Tokens and output digest of each completed request."""
    ended = run.of(RequestEnded)
    return {end.request: (end.output_tokens, end.output_digest) for end in ended if end.status == Status.COMPLETED}


@settings(max_examples=150, deadline=None)
@given(scenarios(), rows)
def test_answers_do_not_depend_on_the_cluster(scenario: Scenario, requests: list[Row]) -> None:
    spacious = scenario_of(0, 0, 8, router=Router(policy="round-robin"), workload=scenario.workload)
    alone = answers(written(spacious, requests))
    found = answers(written(scenario, requests))
    assert found == {request: answer for request, answer in alone.items() if request in found}


@settings(max_examples=25, deadline=None)
@given(rows, st.sampled_from([40, 60, 2000]))
def test_serialized_and_layer_wise_and_local_give_the_same_answers(requests: list[Row], kv_blocks: int) -> None:
    def run(mode: str) -> dict[int, tuple[int, int]]:
        return answers(written(scenario_of(2, 2, kv_blocks=kv_blocks, transfer=Transfer(mode=mode)), requests))  # type: ignore[arg-type]

    found = [run(mode) for mode in ("serialized", "layer-wise", "auto")]
    assert found[0] == found[1] == found[2]


def test_who_fails_alone_leaves_no_trace_in_the_blocks_that_the_next_one_gets() -> None:
    """No batch follows a sequence that fails for want of blocks before its last block holds another's cache."""
    scenario = scenario_of(1, 1, kv_blocks=60, router=Router(policy="jsq"))
    run = written(scenario, [(0, 800, 200), (0, 840, 2)])
    alone = answers(written(scenario_of(1, 1, kv_blocks=2000), [(0, 800, 200), (0, 840, 2)]))
    assert [end.status for end in run.of(RequestEnded)] == [Status.FAILED, Status.COMPLETED]
    assert answers(run) == {1: alone[1]}


def test_who_sits_out_may_have_got_the_block_of_one_who_was_preempted_before_it() -> None:
    """Both leave with the same batch: what the first has said it read before the second wrote there."""
    scheduler = Scheduler(prefill_batch_tokens=16, decode_batch=2)
    requests: list[Row] = [(0, 60, 200), (0, 100, 90), (0, 100, 100)]
    tight = written(scenario_of(0, 0, 1, kv_blocks=25, scheduler=scheduler), requests)
    assert answers(tight) == answers(written(scenario_of(0, 0, 3), requests))


def test_a_wrong_byte_is_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same request, with the prompt's blocks swapped on their way, has another answer."""
    scenario = scenario_of(transfer=Transfer(mode="serialized"))
    rows_: list[Row] = [(0, 900, 20)]
    right = answers(written(scenario, rows_))
    assert right == answers(written(evolve(scenario, interleaving=1), rows_))
    copy = KvMemory.copy_from

    def swapped(
        self: KvMemory,
        source: KvMemory,
        source_blocks: tuple[int, ...],
        blocks: tuple[int, ...],
        layers: tuple[int, int],
        of_layers: int,
    ) -> None:
        copy(self, source, source_blocks[::-1], blocks, layers, of_layers)

    monkeypatch.setattr(KvMemory, "copy_from", swapped)
    assert answers(written(scenario, rows_)) != right


def test_what_a_sequence_that_failed_had_written_stays_under_the_cache_that_came_after_it() -> None:
    """The first one runs out of blocks, alone; its last blocks have another's cache before the next batch."""
    scenario = scenario_of(kv_blocks=60, router=Router(policy="jsq"))
    both = answers(written(scenario, [(0, 800, 200), (0, 840, 2)]))
    alone = answers(written(scenario, [(0, 16, 1), (0, 840, 2)]))
    assert both[1] == alone[1]


@settings(max_examples=20, deadline=None)
@given(scenarios(), rows, st.integers(1, 12))
def test_an_answer_is_cut_by_the_control_plane_where_its_model_would_go_on(
    scenario: Scenario, requests: list[Row], asked: int
) -> None:
    shorter: list[Row] = [(at_ms, prompt, min(output, asked)) for at_ms, prompt, output in requests]
    scenario = evolve(scenario, workload=evolve(scenario.workload, max_tokens=asked))
    cut, ended = written(scenario, requests), written(scenario, shorter)
    assert answers(cut) == answers(ended)
    assert all(output <= asked for output, _ in answers(cut).values())
