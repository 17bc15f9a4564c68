"""What is known of a model and of a machine before any of its steps is timed: sizes, bandwidths, prices, with sources.

Profiles are TOML files, shipped in `emu/profiles` or written by the user, read strictly: an unknown key, a missing one
or a wrong type is refused by name. Step times have their own files and reader (`step_profiles.py`, `costs.py`); nothing
here times anything. No number is written in this file that a profile could hold.
"""

import os
import tomllib
import typing
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import attrs
from attrs import frozen

from emu.refusal import Refusal

MEMORY_SHARE = (9, 10)
"""Share of a GPU's memory that the engine may use: vLLM's default `gpu_memory_utilization`, 0.9."""

RESERVE_BYTES_PER_GPU = 4 * 2**30
"""Activations, CUDA graphs and allocator slack kept out of the KV pool, per GPU.

The table of measurements brackets it: Llama2-70B on two H100 ran 32 sequences of 640 tokens as one batch but not 64,
so what is neither weights nor cache lies between 2.9 and 6.0 GiB a GPU.
"""

OTHER_TABLES = ("host", "power", "roofline", "signals")
"""Tables of a hardware profile that have readers of their own: `emu.fake.host`, `emu.fake.power`,
`emu.calibrate.datasheet` and `emu.fake.signals`."""

Profile = TypeVar("Profile")


@frozen
class ModelProfile:
    """A transformer as the cost of serving it sees it, 16-bit weights and cache.

    `layers`, `hidden` (width), `heads` (query heads), `kv_heads` and `head_dim` are counts; `weights_bytes` is the
    whole model; `kv_bytes_per_token` is key and value of one token over all layers and heads, before tensor
    parallelism divides it. `source` says where each figure is from.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    weights_bytes: int
    kv_bytes_per_token: int
    source: str


@frozen
class HardwareProfile:
    """One machine. `memory_bytes` is over all GPUs, `hbm_bytes_per_s` per GPU, `nic_bytes_per_s` per network card.

    `cost_per_hour` is in dollars and `power_w` the provisioned power, both of the whole machine. `signal_s` is the part
    of a layer-wise KV transfer that stays visible however large the prompt, `layer_sync_s` what synchronising with the
    transfer adds to prefill at each layer; both in seconds.
    """

    name: str
    gpus: int
    memory_bytes: int
    hbm_bytes_per_s: int
    cost_per_hour: float
    power_w: float
    nics: int
    nic_bytes_per_s: int
    signal_s: float
    layer_sync_s: float
    source: str


def shipped_names(folder: str) -> tuple[str, ...]:
    """Names of the profiles shipped under `emu/profiles/FOLDER` ("models", "hardware" or "steps"), sorted."""
    names = os.listdir(shipped_folder(folder))
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def shipped_folder(folder: str) -> Path:
    """`emu/profiles/FOLDER`, also when the package is installed from a wheel."""
    return Path(__file__).parents[1] / "profiles" / folder


SHIPPED_MODELS = shipped_names("models")
"""Every name `load_model` knows."""

SHIPPED_HARDWARE = shipped_names("hardware")
"""Every name `load_hardware` knows."""


def load_model(name_or_path: str, folder: Path | None = None) -> ModelProfile:
    """The model profile of a shipped name, or of a TOML file of the same keys.

    A string with a "/" or ending in ".toml" is a path, relative to `folder` (default: the working directory). Raises
    `Refusal` for an unknown name (with the nearest), a file that cannot be read, and a key that is unknown, missing, of
    the wrong type or not positive.
    """
    return _load(ModelProfile, "models", SHIPPED_MODELS, name_or_path, folder)


def load_hardware(name_or_path: str, folder: Path | None = None) -> HardwareProfile:
    """The hardware profile of a shipped name or of a TOML file; as `load_model`.

    Its `OTHER_TABLES` are other readers'.
    """
    return _load(HardwareProfile, "hardware", SHIPPED_HARDWARE, name_or_path, folder)


def has_table(hardware: str, name: str) -> bool:
    """Whether a hardware profile (a shipped name or a path) has one of `OTHER_TABLES`. Raises `Refusal`."""
    return name in read_profile("hardware", SHIPPED_HARDWARE, hardware)[0]


def read_profile(
    folder_name: str, shipped: tuple[str, ...], name_or_path: str, folder: Path | None = None
) -> tuple[dict[str, Any], str]:
    """The table of a profile, which is not to be changed, and its file's name for refusals; names, paths and `Refusal`
    as in `load_model`."""
    if "/" in name_or_path or name_or_path.endswith(".toml"):
        path = (folder or Path()) / name_or_path
        try:
            text = path.read_bytes()
        except OSError as error:
            raise Refusal(str(path), f"expected a readable profile ({error.strerror})") from error
        return read_toml(text, str(path)), str(path)
    if name_or_path not in shipped:
        what = f"unknown profile{nearest(name_or_path, shipped)}; expected one of {', '.join(shipped)}, or a path"
        raise Refusal(name_or_path, what)
    return _shipped_table(folder_name, name_or_path), f"{name_or_path}.toml"


def kv_blocks(model: ModelProfile, hardware: HardwareProfile, tensor_parallel: int, block_tokens: int = 16) -> int:
    """How many KV blocks of `block_tokens` tokens fit beside the weights on `tensor_parallel` GPUs of this machine.

    `MEMORY_SHARE` of those GPUs' memory, less the weights, less `RESERVE_BYTES_PER_GPU` each, over a block's bytes.
    Zero or negative when the model does not fit: the caller refuses, with its own file and key. Raises ValueError
    when `tensor_parallel` is not within 1 and the machine's GPUs, or `block_tokens` is less than 1.
    """
    if not 1 <= tensor_parallel <= hardware.gpus or block_tokens < 1:
        raise ValueError(f"{tensor_parallel=} of {hardware.gpus} GPUs, {block_tokens=}")
    numerator, denominator = MEMORY_SHARE
    usable_bytes = hardware.memory_bytes * tensor_parallel * numerator // (hardware.gpus * denominator)
    free_bytes = usable_bytes - model.weights_bytes - RESERVE_BYTES_PER_GPU * tensor_parallel
    return free_bytes // (model.kv_bytes_per_token * block_tokens)


def from_table(kind: type[Profile], table: dict[str, Any], where: str) -> Profile:
    """Build the attrs class `kind` from a TOML table whose keys are exactly its fields.

    Fields may be str, bool, int, float and tuples of int or str. Numbers must be positive unless the field's metadata
    has `any_sign`. Raises `Refusal` naming `where` and the key.
    """
    fields = {field.name: field for field in attrs.fields(typing.cast(Any, kind))}
    for key in table:
        if key not in fields:
            raise Refusal(f"{where}: {key}", f"unknown key{nearest(key, fields)}; the keys are {', '.join(fields)}")
    values: dict[str, Any] = {}
    for key, field in fields.items():
        if key not in table:
            raise Refusal(f"{where}: {key}", "this key is missing")
        values[key] = _checked(table[key], field.type, f"{where}: {key}", any_sign="any_sign" in field.metadata)
    return kind(**values)


def read_toml(text: bytes, where: str) -> dict[str, Any]:
    """Parse TOML, raising `Refusal` with the parser's own line and column."""
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refusal(where, f"expected a TOML file ({error})") from error


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """ " (did you mean X?)" for the closest of `known`, or nothing when none is close."""
    from difflib import get_close_matches  # only a mistake pays for the import

    close = get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _load(
    kind: type[Profile], folder_name: str, shipped: tuple[str, ...], name_or_path: str, folder: Path | None
) -> Profile:
    if name_or_path in shipped:
        return typing.cast(Profile, _load_shipped(typing.cast(Any, kind), folder_name, name_or_path))
    return _parse(kind, *read_profile(folder_name, shipped, name_or_path, folder))


@cache  # the package's own files do not change, and reading them was half of the cost of a small run
def _shipped_table(folder_name: str, name: str) -> dict[str, Any]:
    file = shipped_folder(folder_name) / f"{name}.toml"
    return read_toml(file.read_bytes(), file.name)


@cache
def _load_shipped(kind: type[Any], folder_name: str, name: str) -> object:
    return _parse(kind, *read_profile(folder_name, (name,), name))


def _parse(kind: type[Profile], table: dict[str, Any], where: str) -> Profile:
    if kind is HardwareProfile:
        table = {key: value for key, value in table.items() if key not in OTHER_TABLES}
    return from_table(kind, table, where)


def _checked(value: Any, kind: Any, where: str, *, any_sign: bool) -> Any:
    """`value` if it is a `kind`, tuples from TOML arrays and floats from integers included; else `Refusal`."""
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list) or not value:
            raise Refusal(where, f"expected an array that is not empty, not {value!r}")
        item = typing.get_args(kind)[0]
        return tuple(_checked(each, item, f"{where}[{index}]", any_sign=any_sign) for index, each in enumerate(value))
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:  # a bool is an int to isinstance
        raise Refusal(where, f"expected {_NAMES[kind]}, not {value!r}")
    if kind is str and not value:
        raise Refusal(where, "expected some text")
    # "not > 0" refuses NaN as well; infinity is no quantity of anything
    if kind in (int, float) and not any_sign and (not value > 0 or value == float("inf")):
        raise Refusal(where, f"expected a number above zero, not {value!r}")
    return value


_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
