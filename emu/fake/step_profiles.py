"""The measured step times of one (model, hardware, tensor parallel) as data, and their strict reader.

These files are written by `emu calibrate` and read here; what the figures mean when a step is timed is
`costs.py`. Nothing here fits, smooths or interpolates.
"""

from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from emu.fake.profiles import from_table, read_toml, shipped_folder, shipped_names
from emu.refusal import Refusal


@frozen
class PrefillCurves:
    """Two measured curves, picoseconds by tokens in the batch, both non-decreasing.

    `single_*`: one prompt. `even_*`: several prompts of `even_prompt_tokens` tokens each; its first knot is one such
    prompt. `cached_pair_ps`: what one computed token pays to attend to one token of earlier context (chunked prefill).
    """

    single_tokens: tuple[int, ...]
    single_ps: tuple[int, ...]
    even_prompt_tokens: int
    even_tokens: tuple[int, ...]
    even_ps: tuple[int, ...]
    cached_pair_ps: int
    source: str


@frozen
class DecodeCurve:
    """step(B, C) = base_ps(B) + context_ps_per_token(B) * C, C the total context in tokens of the B sequences.

    `base_ps` and `context_ps_per_token` belong to the batch sizes `sequences`. Neither base_ps nor what a token of
    context for each sequence costs, B * context_ps_per_token(B), falls in B. `identified` is False when the
    measurements do not tell the context term from the base at the smallest or the largest batch; `context_low_ps` and
    `context_high_ps` hold the values they allow at each batch size. `context_range_tokens` is the least and the largest
    total context measured.
    """

    sequences: tuple[int, ...]
    base_ps: tuple[int, ...]
    context_ps_per_token: tuple[int, ...]
    context_low_ps: tuple[int, ...]
    context_high_ps: tuple[int, ...]
    identified: bool
    context_range_tokens: tuple[int, ...]
    source: str


@frozen
class MixedCurve:
    """What a step of prompts beside decodes takes longer than the rule of `costs.py` says, in picoseconds: for each of
    `prompt_tokens`, at each of `sequences`, row by row. Only for workers that were measured to differ from the rule."""

    prompt_tokens: tuple[int, ...]
    sequences: tuple[int, ...]
    extra_ps: tuple[int, ...] = field(metadata={"any_sign": True})
    source: str


@frozen
class SimCurves:
    """splitwise-sim's two curves: picoseconds by x = prompt size x batch size, medians as that simulator takes them."""

    tokens: tuple[int, ...]
    prompt_ps: tuple[int, ...]
    token_ps: tuple[int, ...]
    source: str


@frozen
class StepProfile:
    """Step times of one (model, hardware, tensor parallel), with what is known of their error.

    `mixed` is there only where it was asked to be fitted, `splitwise_sim` only in profiles made from splitwise-sim's
    own table. `evidence` holds the file's table of that name as it is: errors on cells left out, scatter of repeats,
    cells excluded, what is not identified.
    """

    model: str
    hardware: str
    tensor_parallel: int
    source: str
    prefill: PrefillCurves
    decode: DecodeCurve
    splitwise_sim: SimCurves | None
    evidence: dict[str, Any]
    mixed: MixedCurve | None = None


@cache  # the package's own files do not change
def load_steps(model: str, hardware: str, tensor_parallel: int) -> StepProfile:
    """The shipped step times of this combination. Raises `Refusal`, naming the combinations there are, without one."""
    name = f"{model}.{hardware}.tp{tensor_parallel}"
    shipped = shipped_names("steps")
    if name not in shipped:
        where = f"{model} on {hardware} at tensor_parallel {tensor_parallel}"
        raise Refusal(where, f"no step times; there are {_there_are(shipped, model)}")
    return parse_steps(shipped_folder("steps").joinpath(f"{name}.toml").read_bytes(), f"{name}.toml")


def _there_are(shipped: Iterable[str], model: str) -> str:
    """The machines that there are step times for with this model, or else the models."""
    names = [tuple(name.rsplit(".", 2)) for name in shipped]
    machines: dict[str, list[str]] = {}
    for of, hardware, gpus in names:
        if of == model:
            machines.setdefault(hardware, []).append(gpus.removeprefix("tp"))
    if not machines:
        return f"some for {', '.join(sorted({of for of, _, _ in names}))}"
    return "; ".join(
        f"{hardware} at tensor_parallel {', '.join(sorted(gpus, key=int))}" for hardware, gpus in machines.items()
    )


def read_steps_file(path: Path) -> StepProfile:
    """The step times of a file of one's own. Raises `Refusal` as `parse_steps`, and when it cannot be read."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise Refusal(str(path), f"expected a readable profile ({error.strerror})") from error
    return parse_steps(text, str(path))


def parse_steps(text: bytes, where: str) -> StepProfile:
    """Read one steps file. Raises `Refusal` for a key that is unknown, missing or mistyped, and for unusable curves."""
    table = read_toml(text, where)
    parts: dict[str, Any] = {}
    kinds = {"prefill": PrefillCurves, "decode": DecodeCurve, "mixed": MixedCurve, "splitwise_sim": SimCurves}
    for key, kind in kinds.items():
        if key in ("mixed", "splitwise_sim") and key not in table:
            parts[key] = None
            continue
        if not isinstance(table.get(key), dict):
            raise Refusal(f"{where}: {key}", "this table is missing")
        parts[key] = from_table(kind, table.pop(key), f"{where}: {key}")
    evidence = table.pop("evidence", {})
    head = from_table(_Head, table, where)
    profile = StepProfile(**attrs.asdict(head), **parts, evidence=evidence)
    _check_curves(profile, where)
    return profile


@frozen(eq=False, repr=False)
class _Head:
    model: str
    hardware: str
    tensor_parallel: int
    source: str


def _check_curves(profile: StepProfile, where: str) -> None:
    """Knots strictly increase; the curves that costs rely on never fall."""
    prefill, decode, sim = profile.prefill, profile.decode, profile.splitwise_sim
    per_sequence_ps = tuple(b * c for b, c in zip(decode.sequences, decode.context_ps_per_token, strict=False))
    checked = [
        ("prefill.single", prefill.single_tokens, prefill.single_ps, False),
        ("prefill.even", prefill.even_tokens, prefill.even_ps, False),
        ("decode", decode.sequences, decode.base_ps, False),
        ("decode.context_ps_per_token", decode.sequences, per_sequence_ps, False),
    ]
    if sim is not None:
        checked.append(("splitwise_sim.prompt", sim.tokens, sim.prompt_ps, True))
        checked.append(("splitwise_sim.token", sim.tokens, sim.token_ps, True))
    for key, knots, curve, may_fall in checked:
        if len(knots) != len(curve) or len(knots) < 2:
            raise Refusal(f"{where}: {key}", "expected two knots or more, with one time each")
        if any(later <= earlier for earlier, later in pairwise(knots)):
            raise Refusal(f"{where}: {key}", "expected knots in increasing order")
        if not may_fall and any(later < earlier for earlier, later in pairwise(curve)):
            raise Refusal(f"{where}: {key}", "expected times that never fall")
    used, low, high = decode.context_ps_per_token, decode.context_low_ps, decode.context_high_ps
    if not len(used) == len(low) == len(high) or any(
        not least <= here <= most for least, here, most in zip(low, used, high, strict=True)
    ):
        raise Refusal(f"{where}: decode.context_low_ps", "expected bounds about each of context_ps_per_token")
    if profile.mixed is not None:
        _check_mixed(profile.mixed, f"{where}: mixed")
    span = decode.context_range_tokens
    if len(span) != 2 or span[0] > span[1]:
        raise Refusal(f"{where}: decode.context_range_tokens", "expected [low, high]")


def _check_mixed(mixed: MixedCurve, where: str) -> None:
    for key, knots in (("prompt_tokens", mixed.prompt_tokens), ("sequences", mixed.sequences)):
        if len(knots) < 2 or any(later <= earlier for earlier, later in pairwise(knots)):
            raise Refusal(f"{where}: {key}", "expected two knots or more in increasing order")
    cells = len(mixed.prompt_tokens) * len(mixed.sequences)
    if len(mixed.extra_ps) != cells:
        raise Refusal(f"{where}: extra_ps", f"expected {cells} times, {len(mixed.sequences)} for each of prompt_tokens")
