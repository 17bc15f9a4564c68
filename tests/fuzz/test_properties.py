"""Each property that compares runs is broken by a change of production that no law of one run need see."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from emu.control.messages import Message
from emu.control.placement import Demand, Placement, Shortest
from emu.control.pools import Load, Pools
from emu.fake.wire import WirePort
from emu.fuzz.clusters import Clusters
from emu.fuzz.judge import judge
from emu.fuzz.properties import BY_NAME
from emu.scenario.schema import MachineGroup, Router, Row, Scenario, WorkloadSource

ROWS = tuple(
    Row(at_s=at / 10, prompt_tokens=300 + 40 * at, output_tokens=1 + 3 * (at % 4)) for at in (0, 0, 1, 3, 4, 9)
)
SCENARIO = Scenario(
    name="small",
    model="llama2-70b",
    machines=(
        MachineGroup(pool="prefill", hardware="dgx-h100", count=2, tensor_parallel=8, kv_blocks=4000),
        MachineGroup(pool="decode", hardware="dgx-h100", count=2, tensor_parallel=8, kv_blocks=4000),
    ),
    router=Router(policy="token-jsq"),
    workload=WorkloadSource(requests=ROWS, max_tokens=200),
)


# machines whose hosts were measured: their steps are drawn one by one
HOSTS = (
    MachineGroup(pool="prefill", hardware="h200-pair", tensor_parallel=1, kv_blocks=4000),
    MachineGroup(pool="decode", hardware="h200-pair", count=2, tensor_parallel=1, kv_blocks=4000),
)


def found(name: str, scenario: Scenario = SCENARIO, picks: int = 8) -> bool:
    clusters = Clusters()
    run = judge(scenario, clusters)
    return any(BY_NAME[name].check(scenario, run, pick, clusters) for pick in range(picks))


def _constant_on_the_wire(send: Any, port: WirePort, machine: int, message: Message) -> None:
    clock = port.wire.clock
    clock.call_at(clock.now_ps + 10**9, port.salt, lambda: send(port, machine, message))


def _by_the_clock(place: Any, policy: Shortest, pools: Pools, demand: Demand) -> Any:
    """The policy remembers when machines last reported. Times are eighty times as long, as the model has layers."""
    if any(load.reported_ps > 80 * 10**12 for load in pools.loads):
        return place(policy, pools, demand)._replace(prefill=0)
    return place(policy, pools, demand)


def _in_turn(calls: list[int]) -> Callable[..., Any]:
    """What the policy answers depends on how often anyone has asked, in any run."""

    def place(original: Any, policy: Shortest, pools: Pools, demand: Demand) -> Any:
        calls.append(len(calls))
        return original(policy, pools, demand)._replace(prefill=len(calls) % 7 % 2)

    return place


def _longest(_: Any, policy: Shortest, pools: Pools, demand: Demand) -> Placement:
    """Joins the longest queue."""
    del policy, demand
    loads = sorted(pools.loads[:2], key=lambda load: -load.pending_tokens)
    return Placement(loads[0].machine, 2, 1)


def _uncounted(assign: Any, load: Load, prompt_tokens: int, sequences: int, blocks: int) -> Any:
    """The router forgets which prompts it has sent where, until a report says so."""
    number = assign(load, prompt_tokens, sequences, blocks)
    load.pending_tokens -= prompt_tokens
    return number


BITES: tuple[tuple[str, type, str, Callable[..., Any]], ...] = (
    ("scaled", WirePort, "send", _constant_on_the_wire),
    ("shifted", Shortest, "place", _by_the_clock),
    ("repeatable", Shortest, "place", _in_turn([])),
    ("no-regret", Shortest, "place", _longest),
    ("promises-kept", Load, "assign", _uncounted),
)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_clean_code_keeps_every_property(name: str) -> None:
    assert not found(name)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_steps_that_are_drawn_keep_every_property(name: str) -> None:
    assert not found(name, evolve(SCENARIO, model="llama3-8b", machines=HOSTS), picks=2)


@pytest.mark.parametrize(("name", "owner", "method", "change"), BITES, ids=[bite[0] for bite in BITES])
def test_a_property_bites(
    name: str, owner: type, method: str, change: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(owner, method)
    monkeypatch.setattr(owner, method, lambda *args, **keys: change(original, *args, **keys))
    assert found(name, SCENARIO, picks=16)
