"""What the fold says of requests, against every token's time kept one by one."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from token_stepper import Stepper, Truth

from emu.arrivals import load_workload
from emu.cluster import Cluster
from emu.record import entries as e
from emu.record.lives import Lives
from emu.record.log import Fold
from emu.record.requests_csv import COLUMNS
from emu.record.slo import Limit
from emu.record.start import RunStarted
from emu.record.usage import Usage
from emu.run import build
from emu.scenario.load import load
from emu.scenario.schema import Pool

SCENARIOS = Path(__file__).parents[2] / "scenarios"
unhurried = settings(deadline=None, max_examples=60)
cases = st.tuples(st.integers(0, 2**32), st.integers(1, 25), st.integers(1, 4))


def feed(fold: Fold, entries: Iterable[e.Entry]) -> None:
    for entry in entries:
        handler = fold.handlers.get(type(entry))
        if handler is not None:
            handler(entry)


def followed(
    started: RunStarted, entries: Iterable[e.Entry], limits: tuple[Limit, ...] | None = None
) -> tuple[Lives, str]:
    text = io.StringIO()
    lives = Lives(started, text, limits)
    feed(lives, entries)
    lives.close()
    return lives, text.getvalue()


def ps(cell: str) -> int | None:
    if not cell:
        return None
    whole, fraction = cell.split(".")
    assert len(fraction) == 12
    return int(whole + fraction)


def expected_row(truth: Truth) -> dict[str, Any]:
    tokens, arrived = truth.tokens_ps, truth.arrived_ps
    completed = truth.status == e.Status.COMPLETED
    start, end = truth.transfer or (None, None)
    first, last = (tokens[0], tokens[-1]) if tokens else (None, None)
    second = tokens[1] if len(tokens) > 1 else None
    return {
        "arrival_s": arrived,
        "queue_s": None if truth.prefill_start_ps is None else truth.prefill_start_ps - arrived,
        "prefill_start_s": truth.prefill_start_ps,
        "first_token_s": first,
        "transfer_start_s": start,
        "transfer_end_s": end,
        "second_token_s": second,
        "last_token_s": last,
        "ttft_s": None if first is None else first - arrived,
        "ttst_s": None if second is None else second - arrived,
        "tpot_s": sum(truth.gaps_ps) // len(truth.gaps_ps) if truth.gaps_ps else None,
        "tbt_max_s": max(truth.gaps_ps, default=None),
        "e2e_s": last - arrived if completed and last is not None else None,
    }


@given(cases)
@unhurried
def test_a_row_says_what_every_token_says(case: tuple[int, int, int]) -> None:
    stepper = Stepper(*case)
    _, text = followed(stepper.started(), stepper.entries)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["request_id"]) for row in rows] == list(range(len(stepper.truths)))
    for row, truth in zip(rows, stepper.truths, strict=True):
        expected = expected_row(truth)
        assert {column: ps(row[column]) for column in expected} == expected
        assert row["status"] == e.Status(truth.status or 0).name.lower()
        assert int(row["output_tokens"]) == len(truth.tokens_ps)
        assert int(row["prompt_tokens"]) == truth.prompt_tokens
        assert (row["prefill_machine"], row["decode_machine"]) == (
            f"m-{truth.prefill_machine}",
            f"m-{truth.decode_machine}",
        )
        assert row["output_digest"] == (f"{truth.request + 1:012x}" if truth.tokens_ps else "")


@given(cases)
@unhurried
def test_gaps_are_those_of_all_tokens(case: tuple[int, int, int]) -> None:
    stepper = Stepper(*case)
    lives, _ = followed(stepper.started(), stepper.entries)
    gaps = sorted(gap for truth in stepper.truths for gap in truth.gaps_ps)
    assert (lives.gaps.count, lives.gaps.sum_ps) == (len(gaps), sum(gaps))
    assert lives.gaps.max_ps == max(gaps, default=0)
    counted = lives.gaps.ordered()
    assert [counted[index] for index in range(len(counted))] == pytest.approx(gaps, rel=5.1e-4)


@given(cases)
@unhurried
def test_a_leap_and_its_steps_are_the_same(case: tuple[int, int, int]) -> None:
    whole, split = Stepper(*case), Stepper(*case, split=True)
    assert [truth.tokens_ps for truth in whole.truths] == [truth.tokens_ps for truth in split.truths]
    leapt, leapt_text = followed(whole.started(), whole.entries)
    stepped, stepped_text = followed(split.started(), split.entries)
    assert leapt_text == stepped_text
    one, other = leapt.gaps.ordered(), stepped.gaps.ordered()
    # the edge of a bin may fall to either side
    assert [one[i] for i in range(len(one))] == pytest.approx([other[i] for i in range(len(other))], rel=1.1e-3)


@given(cases)
@unhurried
def test_sums_are_those_of_the_requests(case: tuple[int, int, int]) -> None:
    stepper = Stepper(*case)
    lives, _ = followed(stepper.started(), stepper.entries)
    truths = stepper.truths
    completed = [truth for truth in truths if truth.status == e.Status.COMPLETED]
    rows = {truth.request: expected_row(truth) for truth in truths}

    def column(name: str, among: list[Truth]) -> list[int]:
        return sorted(rows[truth.request][name] for truth in among if rows[truth.request][name] is not None)

    assert lives.arrived == len(truths)
    assert lives.ended == [sum(truth.status == status for truth in truths) for status in e.Status]
    assert lives.output_tokens == sum(len(truth.tokens_ps) for truth in truths)
    assert sorted(lives.ttft_ps) == column("ttft_s", truths)
    assert sorted(lives.queue_ps) == column("queue_s", truths)
    assert sorted(lives.ttst_ps) == column("ttst_s", completed)
    assert sorted(lives.tpot_ps) == column("tpot_s", completed)
    assert sorted(lives.e2e_ps) == column("e2e_s", completed)
    moved = [(t.transfer[0], t.transfer[1], t.tokens_ps[0]) for t in truths if t.transfer]
    assert sorted(lives.transfer_ps) == sorted(end - start for start, end, _ in moved)
    assert sorted(lives.remainder_ps) == sorted(end - first for _, end, first in moved)
    assert lives.overlapped_byte_ps == 0  # each started when its prefill was over
    assert lives.transfers == len(moved)


def test_rows_leave_as_soon_as_no_earlier_one_is_missing() -> None:
    started = Stepper(0, 1, 1).started()
    text = io.StringIO()
    lives = Lives(started, text)

    def end(request: int) -> list[str]:
        feed(lives, [e.RequestEnded(50, -1, request, 0, e.Status.REJECTED, 2, 0, 0, 0, 0, 0, 0, 0)])
        return [line.split(",")[0] for line in text.getvalue().splitlines()[1:]]

    feed(lives, [e.Arrived(request, request, 10, 10) for request in range(5)])
    assert end(2) == []
    assert end(1) == []
    assert end(0) == ["0", "1", "2"]
    assert end(4) == ["0", "1", "2"]
    lives.close()
    lines = text.getvalue().splitlines()
    assert lines[0].split(",") == list(COLUMNS)
    assert lines[-2:] == [
        "3,0.000000000003,10,,open,0,,,,,,,,,,,,,,,",
        "4,0.000000000004,10,0,rejected,0,,,,,,,,,,,,,,,",
    ]


def test_a_transfer_is_overlapped_from_its_first_layer_to_the_end_of_the_prefill() -> None:
    """Prefill from 100 to 500 in four layers: the first is there to move at 200, the commit comes at 600."""
    started = Stepper(0, 1, 2).started()
    piece = e.PrefillSlice(0, 0, 0, 10, 0, 1, 1)
    lives, text = followed(
        started,
        [
            e.Arrived(0, 0, 10, 1),
            e.Assigned(0, 0, 0, 0, 1, 1, 0, 0),
            e.StepStarted(100, 0, (piece,), (), (), 0, 0, 1, 0, 999),
            e.TransferStarted(100, 0, 1, 0, 0, 0, 3, 1000, 1),
            e.StepFinished(500, 0, 100, 1, 0, 10, 400, 0, 0, 0, 0),
            e.Committed(700, 1, 0, 0, 4, 1, 1, 600),
        ],
    )
    assert lives.overlapped_byte_ps == 1000 * 300
    assert lives.moving_byte_ps == 1000 * 400
    assert list(lives.remainder_ps) == [100]
    assert list(lives.transfer_ps) == [500]
    assert text.splitlines()[1].startswith("0,0.000000000000,10,,open,1,m-0,m-1,")


@pytest.mark.parametrize(
    ("pools", "kv_blocks"), [(("prefill", "decode"), None), (("prefill", "decode"), 600), (("mixed", "mixed"), 600)]
)
def test_leaping_and_stepping_give_the_same_requests(pools: tuple[Pool, Pool], kv_blocks: int | None) -> None:
    """With 600 blocks a machine, sequences are preempted and recomputed."""
    scenario = load(SCENARIOS / "hello.toml", ["workload.rate_rps=8.0", "workload.duration_s=15.0"])
    groups = zip(scenario.machines, pools, strict=True)
    scenario = evolve(scenario, machines=tuple(evolve(g, pool=pool, kv_blocks=kv_blocks) for g, pool in groups))
    texts = []
    for max_steps in (0, 1):
        stepping = evolve(scenario, scheduler=evolve(scenario.scheduler, max_steps=max_steps))
        workload, cluster = load_workload(stepping), Cluster.of(stepping)
        started, text = cluster.started(workload), io.StringIO()
        lives, usage = Lives(started, text), Usage(started)
        build(cluster, workload, (lives, usage)).go()
        lives.close()
        assert lives.arrived == len(workload) == sum(lives.ended)
        assert (usage.preemptions > 0) == (kv_blocks is not None)
        texts.append(text.getvalue())
    assert texts[0] == texts[1]
    assert len(texts[0].splitlines()) == 1 + lives.arrived
