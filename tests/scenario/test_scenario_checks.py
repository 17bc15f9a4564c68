"""Every rule that spans keys or looks outside the file, broken once; and what defaults and parity come to."""

from pathlib import Path
from typing import Any

import pytest
import tomli_w
from attrs import asdict, evolve
from scenario_documents import Document, load_document, refusal_line, with_value, write

from emu.fake.profiles import load_hardware, load_model
from emu.refusal import Refusal
from emu.scenario import machine_names
from emu.scenario.load import load
from emu.scenario.schema import CostsChoice, Slo

SMALL: Document = {
    "name": "small",
    "model": "llama2-70b",
    "machines": [{"pool": "prefill", "hardware": "dgx-h100"}, {"pool": "decode", "hardware": "dgx-a100", "count": 2}],
    "workload": {"synthetic": "azure-conv", "rate_rps": 1.0, "duration_s": 5.0},
}
MIXED: Document = {**SMALL, "machines": [{"pool": "mixed", "hardware": "dgx-h100"}]}
CRASH = {"kind": "crash", "at_s": 1.0, "machine": "decode-1"}
CUT = {"kind": "link_down", "at_s": 1.0, "machines": ["prefill-0", "decode-1"]}
ON = {"kind": "crash", "machine": "decode-1", "on": "Landed", "nth": 3}


@pytest.mark.parametrize(
    ("changes", "where", "expected"),
    [
        ({"machines": []}, "machines", "can prefill"),
        ({"machines": SMALL["machines"][:1]}, "machines", "can decode"),
        ({"machines": SMALL["machines"][1:]}, "machines", "can prefill"),
        ({"machines": [{**MIXED["machines"][0], "count": 9_999}] * 2}, "machines", "at most 10000 machines"),
        ({"machines": [{**MIXED["machines"][0], "count": 0}]}, "machines[0].count", "from 1 to 10000"),
        ({"machines": [{**MIXED["machines"][0], "tensor_parallel": 16}]}, "machines[0].tensor_parallel", "the 8 GPUs"),
        ({"machines": [{**MIXED["machines"][0], "tensor_parallel": 3}]}, "machines[0].tensor_parallel", "(2, 4, 8)"),
        ({"machines": [{**MIXED["machines"][0], "tensor_parallel": 1}]}, "machines[0]", "the model fits into"),
        ({"machines": [{**MIXED["machines"][0], "hardware": "dgx"}]}, "machines[0].hardware", "dgx-a100"),
        ({"machines": [{**MIXED["machines"][0], "kv_blocks": 0}]}, "machines[0].kv_blocks", "from 1 to"),
        ({"machines": [{"hardware": "dgx-h100"}]}, "machines[0].pool", "no default"),
        ({"model": "llama2"}, "model", "llama2-70b"),
        ({"model": "no/such.toml"}, "model", "no/such.toml"),
        ({"name": " "}, "name", "not empty"),
        ({"seed": -1}, "seed", "from 0"),
        ({"router": {"policy": "token-jqs"}}, "router.policy", "the nearest is token-jsq"),
        ({"scheduler": {"policy": "shortest"}}, "scheduler.policy", "package.module:Name"),
        ({"router": {"report_every_s": 1e-4}}, "router.report_every_s", "0 or a number from 0.001"),
        ({"scheduler": {"preempted": "keep"}}, "scheduler.preempted", "scheduler.reserve"),
        ({"scheduler": {"watermark": 1.0}}, "scheduler.watermark", "below 1"),
        ({"transfer": {"direction": "get", "mode": "layer-wise"}}, "transfer.mode", "under a prefill"),
        ({"transfer": {"heartbeat_s": 30.0}}, "transfer.heartbeat_s", "less than transfer.lease_s"),
        ({"network": {"bandwidth_factor": 0.0}}, "network.bandwidth_factor", "from 1e-06"),
        ({"workload": {}}, "workload", "got none"),
        ({"workload": {**SMALL["workload"], "trace": "s.toml"}}, "workload", "got trace and synthetic"),
        ({"workload": {"trace": "s.toml", "arrivals": "poisson"}}, "workload.arrivals", "beside workload.trace"),
        ({"workload": {**SMALL["workload"], "speedup": 1.0}}, "workload.speedup", "beside workload.synthetic"),
        ({"workload": {"trace": "none.csv"}}, "workload.trace", "expected a file"),
        ({"workload": {"trace": "."}}, "workload.trace", "expected a file"),
        ({"workload": {"synthetic": "azure-conv", "rate_rps": 1.0}}, "workload.duration_s", "got nothing"),
        ({"workload": {"synthetic": "azure-conv", "duration_s": 1.0}}, "workload.rate_rps", "got nothing"),
        ({"workload": {**SMALL["workload"], "burstiness": 0.5}}, "workload.burstiness", '"gamma"'),
        ({"workload": {**SMALL["workload"], "duration_s": 9e6, "rate_rps": 1e3}}, "workload.rate_rps", "at most"),
        ({"workload": {**SMALL["workload"], "max_tokens": "all"}}, "workload.max_tokens", '"exact"'),
        ({"slo": {"preset": "splitwise", "ttft_p99_s": 1.0}}, "slo.ttft_p99_s", "beside slo.preset"),
        ({"parity": "vidur"}, "parity", '"splitwise-sim"'),
        ({"faults": [{**CRASH, "machine": "decode-2"}]}, "faults[0].machine", "the nearest is decode-"),
        ({"faults": [{**CUT, "machines": ["prefil-0", "decode-1"]}]}, "faults[0].machines[0]", "prefill-0"),
        ({"faults": [{**CUT, "machines": ["decode-1", "decode-1"]}]}, "faults[0].machines", "two machines"),
        ({"faults": [{**CUT, "machines": ["decode-1"]}]}, "faults[0].machines", "two machines"),
        ({"faults": [{**CUT, "machines": ["router", "decode-1"]}]}, "faults[0].plane", "no KV cache"),
        ({"faults": [{**CUT, "machine": "decode-1"}]}, "faults[0]", "got both"),
        ({"faults": [{"kind": "crash", "at_s": 1.0}]}, "faults[0].machine", "got nothing"),
        ({"actions": [{"kind": "rate", "at_s": 1.0}]}, "actions[0].factor", "got nothing"),
        ({"actions": [{"kind": "rate", "at_s": 1.0, "factor": 0.0}]}, "actions[0].factor", "from 0.001"),
        ({"actions": [{"kind": "rate", "at_s": 1.0, "factor": 2.0, "fault": 0}]}, "actions[0].fault", "nothing beside"),
        ({"actions": [{"kind": "heal", "at_s": 1.0}]}, "actions[0].fault", "counted from 0"),
        ({"actions": [{"kind": "heal", "at_s": 1.0, "fault": 0}]}, "actions[0].fault", "no [[faults]]"),
        ({"actions": [{"kind": "heal", "at_s": 2.0, "fault": 1}], "faults": [CRASH]}, "actions[0].fault", "of the 1"),
        ({"actions": [{"kind": "heal", "at_s": 1.0, "fault": 0}], "faults": [CRASH]}, "actions[0].fault", "before"),
        (
            {"actions": [{"kind": "heal", "at_s": 2.0, "fault": 0}], "faults": [{**CRASH, "kind": "drain"}]},
            "actions[0].fault",
            "that lasts",
        ),
        ({"faults": [{"kind": "link_down", "at_s": 1.0}]}, "faults[0]", "got neither"),
        ({"faults": [{**CUT, "kind": "pause"}]}, "faults[0].machines", "strikes one machine"),
        ({"faults": [{**CRASH, "kind": "slow"}]}, "faults[0].factor", "times as long"),
        ({"faults": [{**CRASH, "factor": 2.0}]}, "faults[0].factor", "nothing beside"),
        ({"faults": [{**CRASH, "one_way": True}]}, "faults[0].one_way", "nothing beside"),
        ({"faults": [{**CRASH, "one_way": 1}]}, "faults[0].one_way", "true or false"),
        ({"faults": [{"kind": "crash", "machine": "decode-1"}]}, "faults[0].at_s", "a time, or on"),
        ({"faults": [{**CRASH, "on": "Landed"}]}, "faults[0].on", "beside at_s"),
        ({"faults": [{**CRASH, "nth": 2}]}, "faults[0].nth", "unless on names"),
        ({"faults": [{**ON, "on": "PrefillBegun"}]}, "faults[0].on", "an entry (the nearest is Prefill"),
        ({"faults": [{**ON, "on": "Committed", "at": "half"}]}, "faults[0].at", "TransferStarted"),
        ({"faults": [{**CRASH, "at": "half"}]}, "faults[0].at", "unless on names"),
        ({"faults": [{**ON, "on_machine": "decode-7"}]}, "faults[0].on_machine", "the nearest is decode-"),
        ({"faults": [{**CRASH, "kind": "clock"}]}, "faults[0]", "got neither"),
        ({"faults": [{**CRASH, "kind": "clock", "offset_s": 2.0}]}, "faults[0].offset_s", "does not jump"),
        ({"faults": [{**CRASH, "kind": "clock", "drift": 0.01}]}, "faults[0].drift", "transfer.clock_error = 0"),
        (
            {"faults": [{**CRASH, "kind": "clock", "at_s": 0, "offset_s": 2.0, "heal_after_s": 1.0}]},
            "faults[0].heal_after_s",
            "an offset stays",
        ),
        ({"faults": [{"kind": "router_failover", "at_s": 1.0}]}, "faults[0].overlap_s", "goes on"),
        ({"faults": [{"kind": "router_crash", "at_s": 1.0}]}, "faults[0].kind", "client_timeout_s"),
        ({"faults": [{"kind": "lose"}]}, "faults[0].message", "a control message"),
        ({"faults": [{"kind": "lose", "message": "Grants"}]}, "faults[0].message", "the nearest is Grant"),
        ({"faults": [{"kind": "delay", "message": "Grant"}]}, "faults[0].by_s", "how many seconds"),
        ({"faults": [{"kind": "lose", "message": "Grant", "on": "Landed"}]}, "faults[0].on", "counts those"),
        ({"delays": [{"nth": 1, "kind": "Gran", "by_s": 0.1}]}, "delays[0].kind", "the nearest is Grant"),
        ({"delays": [{"nth": 0, "kind": "Grant", "by_s": 0.1}]}, "delays[0].nth", "from 1"),
    ],
)
def test_a_broken_rule_is_refused_by_file_and_key(
    tmp_path: Path, changes: dict[str, Any], where: str, expected: str
) -> None:
    line = refusal_line(tmp_path, {**SMALL, **changes})
    assert line is not None
    assert line.startswith(f"{tmp_path / 's.toml'}: {where}: ")
    assert expected in line


def test_a_model_too_large_for_its_machines_is_refused(tmp_path: Path) -> None:
    groups = [{"pool": "mixed", "hardware": "dgx-h100", "tensor_parallel": 4}]
    line = refusal_line(tmp_path, {**SMALL, "model": "bloom-176b", "machines": groups})
    assert line is not None
    assert "machines[0]: expected machines that the model fits into (bloom-176b needs 329 GB" in line


@pytest.mark.parametrize(
    ("model", "hardware", "expected"),
    [
        ({"hidden": 1, "layers": 1}, {}, "model: "),
        ({}, {"memory_bytes": 10**19}, "machines[0]: expected at most 134217728 KV blocks"),
        ({"weights_bytes": 10**12}, {}, "machines[0]: expected machines that the model fits into"),
        ({"weights_bytes": 0}, {}, "weights_bytes: expected a number above zero"),
    ],
)
def test_absurd_profiles_of_the_users_own_are_refused(
    tmp_path: Path, model: dict[str, Any], hardware: dict[str, Any], expected: str
) -> None:
    own_model = {**asdict(load_model("llama2-70b")), **model}
    own_hardware = {**asdict(load_hardware("dgx-h100")), **hardware}
    (tmp_path / "model.toml").write_text(tomli_w.dumps(own_model))
    (tmp_path / "hardware.toml").write_text(tomli_w.dumps(own_hardware))
    groups = [{"pool": "mixed", "hardware": "hardware.toml"}]
    plain: Document = {**SMALL, "model": "model.toml", "machines": groups, "parity": "splitwise-sim"}
    assert expected in (refusal_line(tmp_path, plain) or "")


def test_a_key_of_another_table_is_named_in_full(tmp_path: Path) -> None:
    assert "(the nearest is workload.rate_rps)" in (refusal_line(tmp_path, {**SMALL, "rate_rps": 3}) or "")


def test_broken_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('name = "x"\nmodel = \n')
    with pytest.raises(Refusal, match=r"s\.toml:2: expected TOML; "):
        load(path)


@pytest.mark.parametrize("name", ["none.toml", ".", "nul\0.toml", "x" * 300])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refusal, match="expected a scenario file; "):
        load(tmp_path / name)


def test_machines_are_numbered_by_pool_over_all_groups(tmp_path: Path) -> None:
    groups = [*SMALL["machines"], {"pool": "prefill", "hardware": "dgx-a100", "count": 2}]
    names = machine_names(load_document(tmp_path, {**SMALL, "machines": groups}))
    assert names == ("prefill-0", "decode-0", "decode-1", "prefill-1", "prefill-2")


def test_name_model_machines_and_workload_make_a_scenario(tmp_path: Path) -> None:
    scenario = load_document(tmp_path, SMALL)
    assert [group.tensor_parallel for group in scenario.machines] == [8, 8]
    assert scenario.slo == Slo(preset="splitwise")
    assert (scenario.router.policy, load_document(tmp_path, MIXED).router.policy) == ("splitwise", "token-jsq")


def test_absolute_limits_stand_in_the_place_of_the_preset(tmp_path: Path) -> None:
    slo = load_document(tmp_path, {**SMALL, "slo": {"tbt_p50_s": 0.1, "ttft_p99_s": 1}}).slo
    assert slo.preset is None
    assert slo.limits() == (("ttft", 99, 1.0), ("tbt", 50, 0.1))


def test_parity_sets_every_key_that_the_file_does_not(tmp_path: Path) -> None:
    scenario = load_document(tmp_path, {**SMALL, "parity": "splitwise-sim"})
    assert scenario.costs == CostsChoice(model="splitwise-sim", kv_bytes_per_token=2_621_440)
    assert scenario.network.bandwidth_bytes_per_s == 214_748_364_800
    assert (scenario.transfer.mode, scenario.transfer.signal_s, scenario.transfer.layer_sync_s) == ("serialized", 0, 0)
    assert (scenario.router.report_every_s, scenario.router.go_home) == (0, "idle")
    assert scenario.scheduler == evolve(scenario.scheduler, reserve="max_tokens", preempted="keep", watermark=0)
    assert scenario.workload.max_tokens == "exact"
    assert scenario.machines[0].kv_blocks == (640 * 2**30 - 135 * 10**9) // (16 * 2_621_440)

    own = {"parity": "splitwise-sim", "transfer": {"mode": "auto"}, "costs": {"kv_bytes_per_token": 327_680}}
    explicit = load_document(tmp_path, {**SMALL, **own})
    assert explicit.transfer.mode == "auto"
    assert explicit.costs == CostsChoice(model="splitwise-sim", kv_bytes_per_token=327_680)


def test_paths_in_a_file_start_at_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trace.csv").touch()
    path = write(tmp_path, with_value(SMALL, ("workload",), {"trace": "trace.csv"}))
    monkeypatch.chdir("/")
    assert load(path).workload.trace == (tmp_path / "trace.csv").resolve()
