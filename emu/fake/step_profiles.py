"""The measured step times of one (model, hardware, tensor parallel) as data, and their strict reader.

These files are written by `python -m emu.calibrate` and read here; what the figures mean when a step is timed is
`costs.py`. Nothing here fits, smooths or interpolates.
"""

from functools import cache
from itertools import pairwise
from typing import Any

import attrs

from emu.fake.profiles import from_table, read_toml, shipped_folder, shipped_names
from emu.refusal import Refusal


@attrs.frozen(slots=True)
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


@attrs.frozen(slots=True)
class DecodeCurve:
    """step(B, C) = base_ps(B) + context_ps_per_token * C, C the total context in tokens of the B sequences.

    `base_ps` is non-decreasing in `sequences`. `identified` is False when the measurements cannot tell the context term
    from the base at batches above one; `interval_ps_per_token` (low, high) then holds the values they allow.
    `fitted_efficiency_pct` is what the slope at one sequence would make of the memory bandwidth, `efficiency_pct` what
    is used. `context_range_tokens` is the least and the largest total context measured.
    """

    sequences: tuple[int, ...]
    base_ps: tuple[int, ...]
    context_ps_per_token: int
    identified: bool
    interval_ps_per_token: tuple[int, ...]
    fitted_efficiency_pct: float
    efficiency_pct: float
    context_range_tokens: tuple[int, ...]
    source: str


@attrs.frozen(slots=True)
class SimCurves:
    """splitwise-sim's two curves: picoseconds by x = prompt size x batch size, medians as that simulator takes them."""

    tokens: tuple[int, ...]
    prompt_ps: tuple[int, ...]
    token_ps: tuple[int, ...]
    source: str


@attrs.frozen(slots=True)
class StepProfile:
    """Step times of one (model, hardware, tensor parallel), with what is known of their error.

    `evidence` holds the file's [evidence] table as it is: errors on cells left out, scatter of repeats, cells excluded.
    """

    model: str
    hardware: str
    tensor_parallel: int
    source: str
    prefill: PrefillCurves
    decode: DecodeCurve
    splitwise_sim: SimCurves
    evidence: dict[str, Any]


@cache  # the package's own files do not change
def load_steps(model: str, hardware: str, tensor_parallel: int) -> StepProfile:
    """The shipped step times of this combination. Raises `Refusal`, naming the combinations there are, without one."""
    name = f"{model}.{hardware}.tp{tensor_parallel}"
    shipped = shipped_names("steps")
    if name not in shipped:
        there_are = "; ".join(
            f"{m} on {h} at tensor_parallel {t[2:]}" for m, h, t in (s.rsplit(".", 2) for s in shipped)
        )
        raise Refusal(
            f"{model} on {hardware} at tensor_parallel {tensor_parallel}", f"no step times; there are {there_are}"
        )
    return parse_steps(shipped_folder("steps").joinpath(f"{name}.toml").read_bytes(), f"{name}.toml")


def parse_steps(text: bytes, where: str) -> StepProfile:
    """Read one steps file. Raises `Refusal` for a key that is unknown, missing or mistyped, and for unusable curves."""
    table = read_toml(text, where)
    parts: dict[str, Any] = {}
    kinds = {"prefill": PrefillCurves, "decode": DecodeCurve, "splitwise_sim": SimCurves}
    for key, kind in kinds.items():
        if not isinstance(table.get(key), dict):
            raise Refusal(f"{where}: {key}", "this table is missing")
        parts[key] = from_table(kind, table.pop(key), f"{where}: {key}")
    evidence = table.pop("evidence", {})
    head = from_table(_Head, table, where)
    profile = StepProfile(**attrs.asdict(head), **parts, evidence=evidence)
    _check_curves(profile, where)
    return profile


@attrs.frozen(slots=True)
class _Head:
    model: str
    hardware: str
    tensor_parallel: int
    source: str


def _check_curves(profile: StepProfile, where: str) -> None:
    """Knots strictly increase; the curves that costs rely on never fall."""
    prefill, decode, sim = profile.prefill, profile.decode, profile.splitwise_sim
    for key, knots, curve, may_fall in (
        ("prefill.single", prefill.single_tokens, prefill.single_ps, False),
        ("prefill.even", prefill.even_tokens, prefill.even_ps, False),
        ("decode", decode.sequences, decode.base_ps, False),
        ("splitwise_sim.prompt", sim.tokens, sim.prompt_ps, True),
        ("splitwise_sim.token", sim.tokens, sim.token_ps, True),
    ):
        if len(knots) != len(curve) or len(knots) < 2:
            raise Refusal(f"{where}: {key}", "expected two knots or more, with one time each")
        if any(later <= earlier for earlier, later in pairwise(knots)):
            raise Refusal(f"{where}: {key}", "expected knots in increasing order")
        if not may_fall and any(later < earlier for earlier, later in pairwise(curve)):
            raise Refusal(f"{where}: {key}", "expected times that never fall")
    for key, pair in (
        ("interval_ps_per_token", decode.interval_ps_per_token),
        ("context_range_tokens", decode.context_range_tokens),
    ):
        if len(pair) != 2 or pair[0] > pair[1]:
            raise Refusal(f"{where}: decode.{key}", "expected [low, high]")
