"""What the profiles of model and machines decide: does the model fit, are there step times, what a default comes to.

A profile is looked up here and forgotten again; whoever runs the scenario looks it up for itself.
"""

from attrs import evolve

from emu.fake.costs import COST_KINDS, load_costs
from emu.fake.profiles import HardwareProfile, ModelProfile, kv_blocks, load_hardware, load_model
from emu.fake.step_profiles import read_steps_file
from emu.refusal import Refusal
from emu.scenario.origin import Key, Origin
from emu.scenario.ranges import MOST_BLOCKS, RangeError
from emu.scenario.schema import MachineGroup, Scenario


def settle(scenario: Scenario, origin: Origin) -> Scenario:
    """The scenario with every default that a profile decides; Refusal where a profile says that it cannot run."""
    try:
        model = load_model(scenario.model)
    except Refusal as refusal:
        raise _passed_on(refusal, ("model",), origin) from None
    kv_bytes = scenario.costs.kv_bytes_per_token
    if kv_bytes is None and scenario.parity == "splitwise-sim":
        kv_bytes = 2 * model.hidden * model.layers * 2  # 16-bit keys and values as if each query head kept its own
    if kv_bytes is not None:
        model = evolve(model, kv_bytes_per_token=kv_bytes)
    try:
        costs = evolve(scenario.costs, kv_bytes_per_token=kv_bytes)
    except RangeError as error:  # a profile of the user's own, with absurd sizes
        raise origin.refusal(("model",), f"{scenario.model}: under parity, {error}") from None
    groups = tuple(_settle_group(scenario, index, model, origin) for index in range(len(scenario.machines)))
    return evolve(scenario, machines=groups, costs=costs)


def _settle_group(scenario: Scenario, index: int, model: ModelProfile, origin: Origin) -> MachineGroup:
    key: Key = ("machines", index)
    group = scenario.machines[index]
    try:
        hardware = load_hardware(group.hardware)
    except Refusal as refusal:
        raise _passed_on(refusal, (*key, "hardware"), origin) from None
    tensor_parallel = group.tensor_parallel or hardware.gpus
    if tensor_parallel > hardware.gpus:
        expected = f"expected at most the {hardware.gpus} GPUs of {hardware.name}, got {tensor_parallel}"
        raise origin.refusal((*key, "tensor_parallel"), expected)
    blocks = group.kv_blocks
    if blocks is None and scenario.parity == "splitwise-sim":
        blocks = _splitwise_sim_blocks(model, hardware, scenario.scheduler.block_tokens)
    fitting = kv_blocks(model, hardware, tensor_parallel, scenario.scheduler.block_tokens) if blocks is None else blocks
    if fitting > MOST_BLOCKS:
        raise origin.refusal(key, f"expected at most {MOST_BLOCKS} KV blocks a machine, got {fitting}")
    if fitting < 1:
        memory_gb = hardware.memory_bytes * tensor_parallel // hardware.gpus / 1e9
        needs = f"{model.name} needs {model.weights_bytes / 1e9:.0f} GB for its weights alone"
        got = f"{tensor_parallel} of the {hardware.gpus} GPUs of {hardware.name} with {memory_gb:.0f} GB"
        raise origin.refusal(key, f"expected machines that the model fits into ({needs}), got {got}")
    _check_costs(scenario, (*key, "tensor_parallel"), model, hardware, tensor_parallel, origin)
    return evolve(group, tensor_parallel=tensor_parallel, kv_blocks=blocks)


def _check_costs(
    scenario: Scenario, key: Key, model: ModelProfile, hardware: HardwareProfile, tensor_parallel: int, origin: Origin
) -> None:
    if scenario.costs.model not in COST_KINDS:
        return  # step times of the user's own hold everywhere
    try:
        own = tuple(read_steps_file(path) for path in scenario.costs.profiles)
    except Refusal as unread:
        raise _passed_on(unread, ("costs", "profiles"), origin) from None

    def refused(gpus: int) -> Refusal | None:
        try:
            load_costs(model, hardware, gpus, scenario.costs.model, own)
        except Refusal as refusal:
            return refusal
        return None

    refusal = refused(tensor_parallel)
    if refusal is None:
        return
    known = ", ".join(str(gpus) for gpus in range(1, min(hardware.gpus, 64) + 1) if refused(gpus) is None)
    if not known:
        raise _passed_on(refusal, key, origin)
    expected = f"expected a number with step times for {model.name} on {hardware.name} ({known}), got {tensor_parallel}"
    raise origin.refusal(key, expected)


def _splitwise_sim_blocks(model: ModelProfile, hardware: HardwareProfile, block_tokens: int) -> int:
    """That simulator's capacity: all the memory of the machine but the weights, whatever the tensor parallelism."""
    return (hardware.memory_bytes - model.weights_bytes) // (model.kv_bytes_per_token * block_tokens)


def _passed_on(refusal: Refusal, key: Key, origin: Origin) -> Refusal:
    """A profile's own refusal, behind the key of the scenario that led there."""
    return origin.refusal(key, str(refusal))
