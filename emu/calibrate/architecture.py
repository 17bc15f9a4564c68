"""What a transformer's published configuration says of its shapes, and the share of them that one GPU of several holds.

Reads a `config.json` of the usual keys, or a shipped one by name. Decoders with gated feed-forward layers, 16-bit
weights and an output matrix of its own; nothing here knows times, GPUs or PyTorch.
"""

import json
from pathlib import Path
from typing import Any

import attrs

from emu.fake.profiles import ModelProfile, nearest, shipped_folder
from emu.refusal import Refusal

WEIGHT_BYTES = 2
"""Of one parameter, and of one value of the cache: 16 bits."""

_KEYS = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "intermediate": "intermediate_size",
    "vocabulary": "vocab_size",
}


@attrs.frozen(slots=True)
class Architecture:
    """Counts: layers, width, query heads, key-value heads, width of a head, feed-forward width, vocabulary."""

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int

    @property
    def parameters(self) -> int:
        """Of the whole model: attention, three feed-forward matrices and two norms a layer, embedding, output, norm."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        return self.layers * layer + 2 * self.vocabulary * self.hidden + self.hidden

    @property
    def kv_bytes_per_token(self) -> int:
        """Key and value of one token over all layers and heads."""
        return 2 * self.layers * self.kv_heads * self.head_dim * WEIGHT_BYTES

    def shard(self, tensor_parallel: int) -> "Architecture":
        """What one of `tensor_parallel` GPUs computes: a share of the heads, of the feed-forward width and of the
        vocabulary; each GPU has all layers and the whole width. Raises `Refusal` when something does not divide."""
        for name in ("heads", "kv_heads", "intermediate", "vocabulary"):
            count = getattr(self, name)
            if tensor_parallel < 1 or count % tensor_parallel:
                what = f"expected a divisor of the model's {count} ({_KEYS[name]}), got {tensor_parallel}"
                raise Refusal("--tensor-parallel", what)
        return attrs.evolve(
            self,
            heads=self.heads // tensor_parallel,
            kv_heads=self.kv_heads // tensor_parallel,
            intermediate=self.intermediate // tensor_parallel,
            vocabulary=self.vocabulary // tensor_parallel,
        )


def model_profile(architecture: Architecture) -> ModelProfile:
    """What the cost of serving it hangs on."""
    return ModelProfile(
        name=architecture.name,
        layers=architecture.layers,
        hidden=architecture.hidden,
        heads=architecture.heads,
        kv_heads=architecture.kv_heads,
        head_dim=architecture.head_dim,
        weights_bytes=WEIGHT_BYTES * architecture.parameters,
        kv_bytes_per_token=architecture.kv_bytes_per_token,
        source="from a config.json: a decoder with gated feed-forward layers, 16-bit weights and cache",
    )


def shipped_architectures() -> tuple[str, ...]:
    """Names of the configurations under `emu/profiles/configs`, sorted."""
    files = shipped_folder("configs").iterdir()
    return tuple(sorted(file.name.removesuffix(".json") for file in files if file.name.endswith(".json")))


def load_architecture(name_or_path: str) -> Architecture:
    """The architecture of a shipped name or of a config.json; its name is the file's, or its folder's where the file
    is called config.json. Raises `Refusal` for a name or file that is not there and for a key missing or absurd."""
    if "/" in name_or_path or name_or_path.endswith(".json"):
        path = Path(name_or_path)
        try:
            text = path.read_bytes()
        except OSError as error:
            raise Refusal(name_or_path, f"expected a readable config.json ({error.strerror})") from error
        name = path.resolve().parent.name if path.name == "config.json" else path.stem
        return parse_architecture(text, name, name_or_path)
    shipped = shipped_architectures()
    if name_or_path not in shipped:
        close = nearest(name_or_path, shipped)
        raise Refusal(name_or_path, f"unknown model{close}; expected one of {', '.join(shipped)}, or a config.json")
    return parse_architecture(
        shipped_folder("configs").joinpath(f"{name_or_path}.json").read_bytes(), name_or_path, f"{name_or_path}.json"
    )


def parse_architecture(text: bytes, name: str, where: str) -> Architecture:
    """Read one configuration. Keys that say nothing of shapes are passed over; `num_key_value_heads` defaults to one a
    query head and `head_dim` to the width over the heads, as everywhere."""
    try:
        document: Any = json.loads(text)
    except (ValueError, UnicodeDecodeError) as error:
        raise Refusal(where, f"expected a JSON file ({error})") from error
    if not isinstance(document, dict):
        raise Refusal(where, "expected a JSON object")
    found: dict[str, Any] = {field: document.get(key) for field, key in _KEYS.items()}
    if found["kv_heads"] is None:
        found["kv_heads"] = found["heads"]
    if found["head_dim"] is None and _counts(found["hidden"], found["heads"]):
        found["head_dim"] = found["hidden"] // found["heads"]
    for field, value in found.items():
        if not _counts(value):
            got = "nothing" if value is None else repr(value)[:40]
            raise Refusal(f"{where}: {_KEYS[field]}", f"expected a whole number above zero, got {got}")
    if found["heads"] % found["kv_heads"]:
        raise Refusal(f"{where}: num_key_value_heads", f"expected a divisor of {found['heads']} query heads")
    return Architecture(name=name, **found)


def _counts(*values: Any) -> bool:
    return all(type(value) is int and 0 < value < 10**9 for value in values)
