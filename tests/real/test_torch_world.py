"""The real world on a CPU: a decoder that computes, caches that are copied, and every law of the record."""

import csv
import json
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

torch = pytest.importorskip("torch")

from emu import real_run, worlds  # noqa: E402 (only with PyTorch)
from emu.cli import status_of  # noqa: E402
from emu.cluster import Cluster  # noqa: E402
from emu.control import commands as c  # noqa: E402
from emu.execute import law_rules  # noqa: E402
from emu.fake.profiles import ModelProfile  # noqa: E402
from emu.laws.checker import Checker  # noqa: E402
from emu.real import measure  # noqa: E402
from emu.real.answers import Answers, mark  # noqa: E402
from emu.real.attention import paged_attention  # noqa: E402
from emu.real.clock import WallClock  # noqa: E402
from emu.real.decoder import Decoder, Prompts  # noqa: E402
from emu.real.device import Device  # noqa: E402
from emu.real.link import CudaLink, KvMismatch  # noqa: E402
from emu.real.pool import KvPool  # noqa: E402
from emu.real.prompt_steps import PromptSteps  # noqa: E402
from emu.real.shape import DecoderShape, mlp_width  # noqa: E402
from emu.record.entries import Landed, RequestEnded, StepFinished  # noqa: E402
from emu.record.log import Fold  # noqa: E402
from emu.refusal import Refusal  # noqa: E402
from emu.run import build  # noqa: E402
from emu.scenario.schema import MachineGroup, Pool, Scenario, Scheduler, Transfer, WorkloadSource  # noqa: E402
from emu.validate import configurations, pair  # noqa: E402
from emu.workload.table import Workload  # noqa: E402

TINY = ModelProfile("llama2-70b", 3, 64, 4, 2, 16, 4_600_000, 2 * 3 * 2 * 16 * 2, "small enough for a test")
SHAPE = DecoderShape(3, 64, 4, 2, 16, 64, 12, 16, 4, 4)


@frozen
class Judged:
    """A run on CPUs, and what the laws say of it."""

    run: real_run.RealRun
    broken: tuple[str, ...]

    def of(self, kind: type) -> list[tuple[int, ...]]:
        return [entry for entry in self.run.kept.entries if type(entry) is kind]  # type: ignore[misc]


class Digests:
    """A fold: the digest of each request's answer, into `found`."""

    def __init__(self, found: dict[int, int]) -> None:
        self._found = found

    @property
    def handlers(self) -> dict[type, Callable[[Any], None]]:
        return {RequestEnded: lambda entry: self._found.update({entry.request: entry.output_digest})}


def cluster_of(*pools: Pool, kv_blocks: int = 60, transfer: Transfer = Transfer(), max_tokens: int = 8) -> Cluster:  # noqa: B008 (frozen)
    groups = tuple(
        MachineGroup(pool=pool, hardware="dgx-h100", tensor_parallel=8, kv_blocks=kv_blocks) for pool in pools
    )
    source = WorkloadSource(synthetic="azure-conv", rate_rps=1.0, duration_s=1.0, max_tokens=max_tokens)
    scenario = Scenario(
        name="tiny",
        model="llama2-70b",
        machines=groups,
        workload=source,
        transfer=transfer,
        scheduler=Scheduler(decode_batch=6),
    )
    cluster = Cluster.of(scenario)
    machines = tuple(evolve(machine, group=evolve(machine.group, tensor_parallel=1)) for machine in cluster.machines)
    return evolve(cluster, model=TINY, machines=machines)


def workload_of(*rows: tuple[int, int, int]) -> Workload:
    """Arrivals in ms, prompt and output tokens."""
    at_ms, prompts, outputs = zip(*rows, strict=True)
    return Workload("made up", array("q", [at * 10**9 for at in at_ms]), array("i", prompts), array("i", outputs))


def built(cluster: Cluster, workload: Workload, folds: Sequence[Fold] = ()) -> real_run.RealRun:
    machines = real_run.Machines.of(cluster, real_run.longest(cluster.scenario, workload), cpu=True)
    return real_run.build(cluster, workload, folds, None, machines, machines.close)


def judged(cluster: Cluster, workload: Workload) -> Judged:
    checker = Checker(cluster.started(workload), law_rules(cluster))
    run = built(cluster, workload, checker.laws)
    run.go()
    checker.finish()
    return Judged(run, tuple(f"{law.name}: {law.kept[0].what}" for law in checker.statutes if law.count))


TEN = workload_of(*((7 * n, 10 + 23 * n % 70, 1 + n % 8) for n in range(10)))


@pytest.mark.parametrize("threshold_tokens", [0, 10**6], ids=["layer by layer", "serialized"])
def test_ten_requests_keep_every_law_and_have_the_emulated_answers(threshold_tokens: int) -> None:
    cluster = cluster_of("prefill", "decode", transfer=Transfer(threshold_tokens=threshold_tokens))
    found = judged(cluster, TEN)
    assert not found.broken
    ended = {entry[2]: entry for entry in found.of(RequestEnded)}
    assert sorted(ended) == list(range(10))
    assert all(entry[4] == 0 and entry[6] == TEN.output_tokens[entry[2]] for entry in ended.values())
    assert len(found.of(Landed)) >= sum(1 for tokens in TEN.output_tokens if tokens > 1)
    emulated: dict[int, int] = {}

    build(cluster, TEN, (Digests(emulated),)).go()
    assert {request: entry[7] for request, entry in ended.items()} == emulated
    assert all(entry[3] == 1 and entry[6] > 0 for entry in found.of(StepFinished))


def test_a_world_measures_its_own_steps_and_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = {"PROMPTS": (16, 48), "BATCHED_PROMPTS": (16,), "BATCHES": (2, 16), "SEQUENCES": (1, 99), "CONTEXTS": (32,)}
    grid |= {"MIXED_PROMPTS": (16, 200), "MIXED_SEQUENCES": (2,), "MIXED_CONTEXTS": (32,)}
    for name, cells in {**grid, "RUNS": 3}.items():
        monkeypatch.setattr(measure, name, cells)
    cluster = cluster_of("prefill", "decode", kv_blocks=24)
    machines = real_run.Machines.of(cluster, 100, cpu=True)
    worlds.keep_profile(tmp_path / "profile", cluster, machines, [TEN])
    machines.close()
    names = ("steps", "copies", "transfers", "prefills", "turns")
    texts = ((tmp_path / "profile" / f"{name}.csv").read_text() for name in names)
    steps, copies, transfers, prefills, turns = (list(csv.DictReader(text.splitlines())) for text in texts)
    assert [(row["phase"], int(row["batch"]), int(row["context"])) for row in steps] == [
        ("prefill", 1, 16),
        ("prefill", 1, 48),
        ("prefill", 2, 16),
        ("prefill", 16, 16),
        ("decode", 1, 34),
        ("decode", 6, 34),  # as wide as a batch may be
        ("mixed", 2, 34),
    ]
    assert [row["mixed_prompt_tokens"] for row in steps][-2:] == ["0", "16"]
    # a machine that is borrowed transfers nothing
    assert 0 < len(transfers) <= sum(1 for tokens in TEN.output_tokens if tokens > 1)
    assert {row["mode"] for row in transfers} == {"serialized"}
    assert [int(row["prompt_tokens"]) for row in copies] == [16, 48]
    assert {row["hardware"] for row in [*steps, *copies]} == {"dgx-h100"}
    assert all(float(row["ms"]) > float(row.get("turn_ms", 0)) for row in [*steps, *copies])
    assert len({row["turn_ms"] for row in steps if row["phase"] == "prefill"}) == 1
    assert all(float(row["turn_ms"]) for row in steps[4:])
    assert all(float(row[key]) > 0 for row in copies for key in ("layer_wise_prefill_ms", "prefill_ms"))
    assert all(float(row["next_prefill_ms"]) > 0 for row in copies)
    assert turns
    assert 0 < len(prefills) <= 10
    assert {row["layer_wise"] for row in prefills} == {"0"}
    assert abs(sum(float(row["over_ms"]) for row in turns)) < 0.01 * len(turns)  # what a turn takes on the mean is out


def test_a_mixed_machine_out_of_blocks_recomputes_and_answers_the_same() -> None:
    rows = workload_of(*((0, 30 + n, 8) for n in range(6)))
    found = judged(cluster_of("mixed", kv_blocks=16), rows)
    assert not found.broken
    assert len(found.of(RequestEnded)) == 6
    calm = judged(cluster_of("mixed", kv_blocks=100), rows)
    assert {e[2]: e[7] for e in found.of(RequestEnded)} == {e[2]: e[7] for e in calm.of(RequestEnded)}


def tiny_profile(folder: Path) -> Path:
    """A model of a few numbers under a shipped name, so that there are step times for it."""
    shape = {"layers": 3, "hidden": 64, "heads": 4, "kv_heads": 2, "head_dim": 16}
    sizes = {**shape, "weights_bytes": TINY.weights_bytes, "kv_bytes_per_token": TINY.kv_bytes_per_token}
    model = {"name": "llama3-8b", **sizes, "source": "small enough for a test"}
    (folder / "tiny.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in model.items()))
    return folder / "tiny.toml"


def test_a_pair_is_measured_and_run_in_every_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = {"PROMPTS": (16,), "BATCHED_PROMPTS": (), "SEQUENCES": (1,), "CONTEXTS": (16,), "MIXED_PROMPTS": ()}
    for name, cells in {**grid, "RUNS": 3}.items():
        monkeypatch.setattr(measure, name, cells)
    monkeypatch.setattr(pair, "REHEARSALS", 1)
    workload = {"limit": 2, "rate_rps": 100, "max_tokens": 3, "longest_prompt_tokens": 20}
    changes = [f"model={tiny_profile(tmp_path)}", "scheduler.decode_batch=4"]
    changes += [f"workload.{key}={value}" for key, value in workload.items()]
    sets = [word for change in changes for word in ("--set", change)]
    assert pair.main([str(tmp_path / "out"), "--cpu", "--repeats", "1", *sets]) == 0
    found = configurations.shipped(tmp_path / "out" / "configurations.csv")
    assert list(found) == [configurations.BASE, *configurations.CONFIGURATIONS]
    assert [len(runs) for runs in found.values()] == [2, 1, 1, 1, 1, 1, 1, 1]
    assert all(run["ttft_mean"] > 0 for runs in found.values() for run in runs)
    assert (tmp_path / "out" / "profile" / "transfers.csv").is_file()


def test_ten_requests_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workload = {"limit": 10, "rate_rps": 100, "max_tokens": 5, "longest_prompt_tokens": 40}
    changes = [f"model={tiny_profile(tmp_path)}", "machines[0].kv_blocks=40", "machines[1].kv_blocks=40"]
    changes += [f"workload.{key}={value}" for key, value in workload.items()]
    sets = [word for change in changes for word in ("--set", change)]
    scenario = str(Path(__file__).parents[2] / "scenarios" / "h200_pair.toml")
    status = status_of(["run", scenario, *sets, "--world", "real-cpu", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert status == 0
    assert found["requests"]["completed"] == 10
    assert found["laws"]["broken"] == []
    assert found["transfers"]["count"] == 10


def test_machines_serve_one_run_after_another() -> None:
    cluster, digests = cluster_of("prefill", "decode"), []
    machines = real_run.Machines.of(cluster, 100, cpu=True)
    for _ in range(2):
        run = real_run.build(cluster, TEN, (), None, machines, lambda: None)
        run.go()
        digests.append(
            {entry.request: entry.output_digest for entry in run.kept.entries if type(entry) is RequestEnded}
        )
        assert run.kept.entries[0].at_ps < run.kept.entries[-1].at_ps < 60 * 10**12
    machines.close()
    assert len(digests[0]) == 10
    assert digests[0] == digests[1]


def test_a_copy_into_the_wrong_block_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    scatter: Callable[..., None] = KvPool.scatter

    def astray(pool: KvPool, first: int, last: int, blocks: Any, rows: Any) -> None:
        scatter(pool, first, last, (blocks + 1) % 60, rows)

    monkeypatch.setattr(KvPool, "scatter", astray)
    with pytest.RaisesGroup(KvMismatch):
        judged(cluster_of("prefill", "decode"), TEN)


def test_a_block_that_is_overwritten_changes_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    land = CudaLink._land

    def spoil(link: CudaLink, flow: object) -> None:
        land(link, flow)  # type: ignore[arg-type]
        put: c.Put = flow.put  # type: ignore[attr-defined]
        if put.request_id == 3:
            link.workers[put.target].pool.stamps[1, put.target_blocks[0]] += 1

    monkeypatch.setattr(CudaLink, "_land", spoil)
    found = judged(cluster_of("prefill", "decode"), TEN)
    monkeypatch.undo()
    sound = judged(cluster_of("prefill", "decode"), TEN)
    digests = [{e[2]: e[7] for e in each.of(RequestEnded)} for each in (found, sound)]
    assert [request for request in digests[0] if digests[0][request] != digests[1][request]] == [3]


def test_decoding_over_the_pool_is_what_a_prefill_of_the_whole_text_computes() -> None:
    decoder, pool = Decoder(SHAPE, torch.device("cpu"), 1), KvPool(SHAPE, torch.device("cpu"))
    text = [3 * place % 97 for place in range(40)]
    blocks = [7, 2, 9]

    def prefill(tokens: int) -> Any:
        places = torch.arange(tokens)
        owned = torch.tensor(blocks)
        written = torch.tensor(blocks[: -(-tokens // 16)])
        prompts = Prompts(
            torch.tensor(text[:tokens]),
            places,
            owned[places // 16],
            places % 16,
            (tokens,),
            written,
            written,
            places[-1:],
        )
        with torch.inference_mode():
            decoder.prefill(prompts, pool, lambda _: None)
        return pool.keys[:, blocks].flatten(1, 2)[:, :40].clone()

    expected = prefill(40)
    pool.rows.zero_()
    prefill(37)
    for place in (37, 38, 39):
        with torch.inference_mode():
            decoder.decode(torch.tensor([[text[place], place, 5, *blocks, 0]], dtype=torch.int32), pool)
    found = pool.keys[:, blocks].flatten(1, 2)[:, :40]
    assert float((found - expected).float().norm() / expected.float().norm()) < 0.02
    assert float((found - expected).float().norm()) < float(found[:, -1].float().norm())


def test_prompts_beside_decodes_compute_what_each_computes_alone() -> None:
    decoder = Decoder(SHAPE, torch.device("cpu"), 1)
    rows = torch.tensor([[5, 20, 1, 7, 2, 0, 0], [9, 3, 2, 4, 0, 0, 0]], dtype=torch.int32)
    places = torch.arange(30)
    owned = torch.tensor([1, 6])
    prompts = Prompts(places * 3 % 97, places, owned[places // 16], places % 16, (30,), owned, owned, places[-1:])
    found = []
    for apart in (True, False):
        pool = KvPool(SHAPE, torch.device("cpu"))
        pool.rows.normal_(generator=torch.Generator().manual_seed(2))
        layers: list[int] = []
        with torch.inference_mode():
            if apart:
                decoder.prefill(prompts, pool, lambda _: None)
                decoder.decode(rows, pool)
            else:
                assert decoder.mixed(prompts, rows, pool, layers.append).shape == (3,)
                assert layers == [0, 1, 2]
        found.append(pool.both.float())
    assert float((found[0] - found[1]).norm() / found[0].norm()) < 0.01
    assert pool.stamps[0, 6] == 6


def test_a_decode_stamps_the_block_that_it_begins_and_mends_no_other() -> None:
    decoder, pool = Decoder(SHAPE, torch.device("cpu"), 1), KvPool(SHAPE, torch.device("cpu"))
    pool.stamps[:, 4] = 17  # spoilt
    rows = torch.tensor([[5, 16, mark(6), 7, 2, 0, 0], [9, 3, mark(8), 4, 0, 0, 0]], dtype=torch.int32)
    with torch.inference_mode():
        decoder.decode(rows, pool)
    content = Answers((), (), 1).content(6)
    assert pool.seen(torch.tensor([2])).flatten().tolist() == 3 * [content + 1]
    assert pool.stamps[:, [4, 7]].tolist() == 3 * [[17, 0]]


@pytest.mark.parametrize("tokens", [1, 16, 50, 64])
def test_a_padded_prompt_is_computed_as_the_prompt_is(tokens: int) -> None:
    decoder, places = Decoder(SHAPE, torch.device("cpu"), 1), torch.arange(tokens)
    owned = torch.tensor([1, 6, 3, 2])
    written = owned[: -(-tokens // 16)]
    prompt = Prompts(
        places * 3 % 97, places, owned[places // 16], places % 16, (tokens,), written, written + 90, places[-1:]
    )
    pools = [KvPool(SHAPE, torch.device("cpu")) for _ in range(2)]
    device = Device("cpu", WallClock().bell)
    short = PromptSteps(device, decoder, pools[1])
    device.close()
    assert short.sizes == (64,)
    assert not short.takes(prompt)  # a CPU has no graphs
    with torch.inference_mode():
        expected = decoder.prefill(prompt, pools[0], lambda _: None)
        for _ in range(2):  # what a longer one has left there is no part of it
            short.padded(
                evolve(
                    prompt,
                    **{name: torch.full((64,), 11) for name in ("tokens", "places")},
                    lengths=(64,),
                    token_offsets=torch.arange(64) % 16,
                    token_blocks=torch.full((64,), 12),
                )
            )
            found = decoder.prefill(short.padded(prompt), pools[1], lambda _: None)
    assert found.tolist() == expected.tolist()
    mine = [pool.rows[:, written].float() for pool in pools]
    assert float((mine[0] - mine[1]).norm() / mine[0].norm()) < 0.01
    others = [block for block in range(12) if block not in written]
    assert float(pools[1].rows[:, others].float().norm()) == 0.0


def test_paged_attention_is_attention_over_the_tokens_that_are_there() -> None:
    draw = torch.Generator().manual_seed(5)
    queries = torch.randn(2, 4, 16, generator=draw)
    keys, values = (torch.randn(12, 16, 2, 16, generator=draw) for _ in range(2))
    tables, lengths = torch.tensor([[3, 1, 8], [5, 0, 2]], dtype=torch.int32), torch.tensor([33, 7])
    found = paged_attention(queries, keys, values, tables, lengths)
    for sequence, length in enumerate(lengths.tolist()):
        own = [each[tables[sequence]].flatten(0, 1)[:length].transpose(0, 1)[None] for each in (keys, values)]
        expected = torch.nn.functional.scaled_dot_product_attention(
            queries[sequence][None, :, None], *own, enable_gqa=True
        )
        assert torch.allclose(found[sequence], expected[0, :, 0], atol=1e-5)


def test_what_no_decoder_here_can_be_is_refused() -> None:
    cluster = cluster_of("prefill", "decode")
    with pytest.raises(Refusal, match="GPU for each of 2 machines"):
        real_run.Machines.of(cluster, 100, cpu=False)
    with pytest.raises(Refusal, match="384 bytes of KV cache a token, got 385"):
        built(evolve(cluster, model=evolve(TINY, kv_bytes_per_token=385)), TEN)
    eight = tuple(evolve(m, group=evolve(m.group, tensor_parallel=8)) for m in cluster.machines)
    with pytest.raises(Refusal, match="tensor_parallel = 1, got 8"):
        built(evolve(cluster, machines=eight), TEN)
    with pytest.raises(Refusal, match="weights_bytes"):
        mlp_width(1000, 3, 64, 4, 2, 16)
