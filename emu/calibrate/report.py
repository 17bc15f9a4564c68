"""What is known of profiles, as text: the lines that `emu calibrate fit` prints, and the tables of docs/validation.md.

Read from the profiles' own [evidence]; nothing is computed here.
"""

from typing import Any

from emu.fake.profiles import shipped_folder, shipped_names
from emu.fake.step_profiles import StepProfile, parse_steps

PARTS = {
    "prefill_single": "prefill, one prompt",
    "prefill_even": "prefill, prompts of one length",
    "prefill_batches": "prefill, other batches (never fitted)",
    "decode": "decode",
    "decode_batches": "decode, by batch",
    "decode_contexts": "decode, by context",
    "decode_outputs": "decode, by output (never fitted)",
    "mixed": "mixed (never fitted)",
    "unseen_prefill": "prefill, cells between (another table)",
    "unseen_decode": "decode, cells between (another table)",
    "unseen_mixed": "mixed, cells between (another table)",
    "left_out_prefill": "prefill, other profiles predicted as if never measured",
    "left_out_decode": "decode, other profiles predicted as if never measured",
}
"""The parts of [evidence] that hold errors, and what each is called."""

_COLUMNS = ("cells", "mape_pct", "p95_pct", "worst_pct")


def fit_lines(profile: StepProfile) -> list[str]:
    """Errors on cells left out, the range, and what the table does not identify."""
    name = f"{profile.model} on {profile.hardware}, tensor parallel {profile.tensor_parallel}"
    lines = [
        name,
        f"  {profile.source}",
        *_range(profile),
        "  error on cells left out, %: mean, 95th percentile, worst",
    ]
    for part, words in _parts(profile).items():
        for kind in ("interpolated", "extrapolated"):
            figures = _figures(profile.evidence.get(part, {}), kind)
            if figures is not None:
                cells, *sizes = figures
                shown = " ".join(f"{size:>7}" for size in sizes)
                lines.append(f"    {words:<40} {kind:<13} {cells:>3} cells {shown}")
    spread = profile.evidence.get("scatter", {})
    for phase in ("prefill", "decode"):
        if f"{phase}_median_pct" in spread:
            middle, worst = spread[f"{phase}_median_pct"], spread[f"{phase}_worst_pct"]
            lines.append(f"    {'scatter of repeats, ' + phase:<40} {'':<13} {'':>9} {middle:>7} {'':>7} {worst:>7}")
    untold = profile.evidence.get("not_identified", {})
    for what, interval, rows in zip(
        untold.get("what", ()), untold.get("interval", ()), untold.get("would_be_told_by", ()), strict=True
    ):
        lines += [f"  not identified: {what}", f"    it may be: {interval}", f"    would be told by: {rows}"]
    if not untold.get("what"):
        lines.append("  nothing is left unidentified")
    return lines


def validation_markdown() -> str:
    """Errors of the shipped profiles as two Markdown tables: of measured ones on cells left out or never fitted,
    interpolation and extrapolation apart, beside the scatter of repeats, which is the floor; and of measured ones
    predicted as if they had not been."""
    profiles = shipped_profiles()
    lines = [
        "| measured profile | what | interpolated: cells, MAPE, p95, worst (%) | extrapolated | scatter, median (%) |",
        "|---|---|---|---|---|",
    ]
    for profile in profiles:
        if is_measured(profile):
            lines += _measured_rows(profile)
    lines += [
        "",
        "| machine | predicted from the others | error of each, mean | prefill: MAPE, p95, worst (%) | decode |",
        "|---|---|---|---|---|",
    ]
    judged = {profile.hardware: profile for profile in profiles if "left_out_prefill" in profile.evidence}
    for hardware, profile in judged.items():
        found = profile.evidence
        prefill, decode = (_figures(found[f"left_out_{phase}"], "interpolated") for phase in ("prefill", "decode"))
        each = found["about"]["by_profile"]
        lines.append(
            f"| {hardware} | {len(each)} profiles | {'; '.join(each)} | {_cell(prefill, 1)} | {_cell(decode, 1)} |"
        )
    return "\n".join(lines) + "\n"


def is_measured(profile: StepProfile) -> bool:
    """Whether it was measured itself: not derived, predicted or another machine's."""
    return not any(mark in profile.source for mark in ("PREDICTED", "DERIVED", "whose GPUs these are"))


def _measured_rows(profile: StepProfile) -> list[str]:
    name = f"{profile.model}, {profile.hardware}, TP {profile.tensor_parallel}"
    rows = []
    for part, words in _parts(profile).items():
        found = profile.evidence.get(part, {})
        inside, outside = _figures(found, "interpolated"), _figures(found, "extrapolated")
        if inside or outside:
            phase = "prefill" if "prefill" in part else "decode"
            floor = profile.evidence.get("scatter", {}).get(f"{phase}_median_pct", "")
            rows.append(f"| {name} | {words} | {_cell(inside)} | {_cell(outside)} | {floor} |")
    return rows


def _parts(profile: StepProfile) -> dict[str, str]:
    return PARTS if profile.mixed is None else PARTS | {"mixed": "mixed"}


def shipped_profiles() -> tuple[StepProfile, ...]:
    """Every shipped steps file, by name."""
    folder = shipped_folder("steps")
    return tuple(
        parse_steps(folder.joinpath(f"{name}.toml").read_bytes(), f"{name}.toml") for name in shipped_names("steps")
    )


def _range(profile: StepProfile) -> list[str]:
    prefill, decode = profile.prefill, profile.decode
    single, (least, most) = prefill.single_tokens, decode.context_range_tokens
    each, together = prefill.even_prompt_tokens, prefill.even_tokens[-1]
    return [
        f"  valid for prefills of one prompt of {single[0]} to {single[-1]} tokens, and of prompts of {each} up to "
        f"{together} together;",
        f"  for decodes of {decode.sequences[0]} to {decode.sequences[-1]} sequences that read {least} to {most} "
        "tokens together",
    ]


def _figures(found: dict[str, Any], kind: str) -> list[Any] | None:
    if f"{kind}_cells" not in found:
        return None
    return [found[f"{kind}_{column}"] for column in _COLUMNS]


def _cell(figures: list[Any] | None, first: int = 0) -> str:
    return "" if figures is None else ", ".join(str(figure) for figure in figures[first:])
