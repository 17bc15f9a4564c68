"""`emu calibrate`: measure steps, fit a profile to them, check one against them, predict one that nobody measured.

Only options and lines of text here; what each does stands in `emu.calibrate`. Prints through click, raises `Refusal`,
and writes nothing before everything that could be refused has been looked at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


def _counts(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """Whole numbers above zero, with commas between them."""
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and 0 < int(word) <= 10**7 for word in words):
        expected = f"expected whole numbers above zero with commas between them, got {text!r}"
        raise click.BadParameter(expected, context, option)
    return tuple(sorted({int(word) for word in words}))


@click.group(invoke_without_command=True)
@click.pass_context
def calibrate(context: click.Context) -> None:
    """Make step-time profiles from measurements, and judge them."""
    if context.invoked_subcommand is None:
        raise click.UsageError("expected a command, such as: emu calibrate fit TABLE.csv -o profile.toml")


@calibrate.command()
@click.option("--model", required=True, help="A shipped model's name, or a config.json.")
@click.option("--hardware", required=True, help="What to call the machine in the table, such as dgx-h200.")
@click.option("--tensor-parallel", type=click.IntRange(1), default=1, help="Measure one shard of so many.")
@click.option("--device", default="cuda", help="Where to run, as PyTorch calls it: cuda, cuda:1, cpu.")
@click.option("--out", "-o", type=click.Path(path_type=Path), required=True, help="The table to write.")
@click.option("--batches", callback=_counts, metavar="N,N,...", help="Sequences of a decode step.")
@click.option("--contexts", callback=_counts, metavar="N,N,...", help="Cached tokens of each of them.")
@click.option("--prompts", callback=_counts, metavar="N,N,...", help="Prompts of a prefill.")
@click.option("--prompt-tokens", callback=_counts, metavar="N,N,...", help="Tokens of each of them.")
@click.option("--mixed-prompts", callback=_counts, metavar="N,N,...", help="Tokens of the prompt of a mixed step.")
@click.option("--mixed-batches", callback=_counts, metavar="N,N,...", help="Sequences of a mixed step.")
@click.option("--mixed-contexts", callback=_counts, metavar="N,N,...", help="Cached tokens of each of them.")
@click.option("--most-prompt-tokens", type=click.IntRange(1), help="Leave out prefills of more tokens than this.")
@click.option("--repeats", type=click.IntRange(1), default=3, help="How often to go through the grid.")
@click.option("--runs", type=click.IntRange(1), default=5, help="Least runs of a cell in one pass.")
@click.option("--seconds", type=click.FloatRange(0.0), default=0.1, help="Least seconds of a cell in one pass.")
@click.option("--power-seconds", type=click.FloatRange(0.0), default=0.0, help="In the last pass, for power.")
@click.option("--cache-tokens", type=click.IntRange(0), default=0, help="Room in the cache; 0: what memory leaves.")
@click.option("--eager", is_flag=True, help="Do without torch.compile.")
@click.option("--copies-to", metavar="DEVICE", help="Measure KV copies of --prompt-tokens to this device instead.")
@click.option("--all-reduce-to", metavar="DEVICE", help="Measure all-reduces with this device instead.")
def measure(
    model: str,
    hardware: str,
    tensor_parallel: int,
    device: str,
    out: Path,
    repeats: int,
    runs: int,
    seconds: float,
    power_seconds: float,
    cache_tokens: int,
    eager: bool,
    copies_to: str | None,
    all_reduce_to: str | None,
    **grid: Any,
) -> None:
    """Time a model's steps on a real device (needs the extra emu[torch])."""
    from emu.calibrate.architecture import load_architecture
    from emu.refusal import Refusal

    architecture = load_architecture(model)
    architecture.shard(tensor_parallel)
    if not out.parent.is_dir():
        raise Refusal(str(out), "expected a file in a folder that exists")
    try:
        from emu.calibrate.measure import copies, sweep
    except ImportError as error:
        raise Refusal("emu calibrate measure", f"expected PyTorch: pip install 'emu[torch]' ({error})") from None

    def say(line: str) -> None:
        click.echo(line, err=True)

    rows: list[Any]
    if all_reduce_to:
        rows = list(copies.measure_all_reduce(device, all_reduce_to))
    elif copies_to:
        chosen = {"prompt_tokens": grid["prompt_tokens"]} if grid["prompt_tokens"] else {}
        rows = list(
            copies.measure_copies(
                copies.CopyPlan(model=architecture, device=device, other=copies_to, compiled=not eager, **chosen), say
            )
        )
    else:
        plan = sweep.Plan(
            model=architecture,
            hardware=hardware,
            tensor_parallel=tensor_parallel,
            device=device,
            grid=sweep.Grid(**{key: value for key, value in grid.items() if value is not None}),
            repeats=repeats,
            least_runs=runs,
            least_s=seconds,
            power_s=power_seconds,
            cache_tokens=cache_tokens,
            compiled=not eager,
        )
        rows = list(sweep.measure(plan, say, lambda so_far: sweep.write_rows(out, so_far)))
    sweep.write_rows(out, rows)
    click.echo(f"{len(rows)} rows in {out}")


@calibrate.command()
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--out", "-o", type=click.Path(path_type=Path), required=True, help="FILE.toml for one, or a folder.")
@click.option(
    "--model", help="The model, or a profile of one: which of the table's, or what one that names none is of."
)
@click.option("--hardware", help="The machine, likewise.")
@click.option("--tensor-parallel", type=click.IntRange(1), help="GPUs, likewise.")
@click.option("--unseen", type=click.Path(path_type=Path), help="A table to judge the profile by, never fitted.")
@click.option("--as-hardware", metavar="NAME", help="Write it for another machine with the same GPUs.")
@click.option("--mixed", is_flag=True, help="Fit what mixed steps take beyond the rule, too: a worker of its own does.")
def fit(
    table: Path,
    out: Path,
    model: str | None,
    hardware: str | None,
    tensor_parallel: int | None,
    unseen: Path | None,
    as_hardware: str | None,
    mixed: bool,
) -> None:
    """Fit step-time profiles to TABLE.csv and say what they are worth.

    TABLE.csv has the columns phase,batch,context,ms: the time of a prefill of `batch` prompts of `context` tokens each,
    or of a decode of `batch` sequences with `context` cached tokens each. Or it is splitwise-sim's perf_model.csv.
    """
    from emu.calibrate import making
    from emu.calibrate.report import fit_lines
    from emu.refusal import Refusal

    one = out.suffix == ".toml"
    if one and not out.parent.is_dir():
        raise Refusal(str(out), "expected a file in a folder that exists")
    if not one and out.exists() and not out.is_dir():
        raise Refusal(str(out), "expected FILE.toml, or a folder")
    profiles = making.profiles_of(table, making.Choice.of(model, hardware, tensor_parallel), unseen, mixed=mixed)
    if as_hardware:
        profiles = tuple(making.as_hardware(profile, as_hardware) for profile in profiles)
    if one and len(profiles) > 1:
        there_are = "; ".join(making.file_name(profile).removesuffix(".toml") for profile in profiles)
        raise Refusal(str(table), f"expected --model, --hardware and --tensor-parallel to choose one of {there_are}")
    if not one:
        out.mkdir(parents=True, exist_ok=True)
    for profile in profiles:
        path = out if one else out / making.file_name(profile)
        path.write_text(making.as_toml(profile), encoding="utf-8")
        click.echo("\n".join([*fit_lines(profile), f"  written to {path}"]))


@calibrate.command()
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--model", help="A shipped profile's model.")
@click.option("--hardware", help="Its machine.")
@click.option("--tensor-parallel", type=click.IntRange(1), help="GPUs of it.")
@click.option("--profile", type=click.Path(path_type=Path), help="A profile of your own, in place of a shipped one.")
@click.option("--json", "as_json", is_flag=True, help="Print fractions as JSON, and nothing else.")
def check(
    table: Path,
    model: str | None,
    hardware: str | None,
    tensor_parallel: int | None,
    profile: Path | None,
    as_json: bool,
) -> None:
    """Print how far a profile is from the measurements in TABLE.csv (either form, see fit)."""
    from emu.calibrate import check as checking
    from emu.fake.step_profiles import load_steps, read_steps_file
    from emu.refusal import Refusal

    if profile is not None:
        steps = read_steps_file(profile)
    elif model and hardware and tensor_parallel:
        steps = load_steps(model, hardware, tensor_parallel)
    else:
        raise Refusal("emu calibrate check", "expected --model, --hardware and --tensor-parallel, or --profile")
    checked = checking.check(steps, table)
    errors = checking.errors_by_phase(checked)
    if as_json:
        import json

        figures = {
            phase: None if found is None else {"mape": found.mape, "p95": found.p95, "worst": found.worst}
            for phase, found in errors.items()
            if phase != "mixed"
        }
        click.echo(json.dumps(figures))
        return
    for phase, found in errors.items():
        if found is not None:
            far = checking.worst(checked, phase)
            click.echo(
                f"{phase:<8} {found.cells:>4} cells: mean error {found.mape:.1%}, 95th percentile {found.p95:.1%}, "
                f"worst {far.error:+.1%} ({far.cell})"
            )


@calibrate.command()
@click.option("--model-config", required=True, help="A shipped model's name, or a config.json.")
@click.option("--hardware", required=True, help="A shipped machine's name, or a file with a [roofline].")
@click.option("--tensor-parallel", type=click.IntRange(1, 1024), default=1, help="GPUs.")
@click.option("--out", "-o", type=click.Path(path_type=Path), required=True, help="FILE.toml, or a folder.")
@click.option("--model-profile", type=click.Path(path_type=Path), help="Write the model's own profile there as well.")
def predict(model_config: str, hardware: str, tensor_parallel: int, out: Path, model_profile: Path | None) -> None:
    """Make a profile that nobody measured, by a roofline with the efficiencies of measured ones."""
    import attrs
    import tomli_w

    from emu.calibrate import architecture, making, predict, report
    from emu.calibrate.roofline import roofline
    from emu.refusal import Refusal

    shape = architecture.load_architecture(model_config)
    model = architecture.model_profile(shape)
    shape.shard(tensor_parallel)
    line = roofline(model, hardware, tensor_parallel)
    if tensor_parallel > line.hardware.gpus:
        raise Refusal("--tensor-parallel", f"expected at most the {line.hardware.gpus} GPUs of {line.hardware.name}")
    for path in (out, model_profile):
        if path is not None and not path.parent.is_dir():
            raise Refusal(str(path), "expected a file in a folder that exists")
    profile = predict.predict(line, predict.measured_references(report.shipped_profiles()))
    path = out / making.file_name(profile) if out.is_dir() else out
    path.write_text(making.as_toml(profile), encoding="utf-8")
    if model_profile is not None:
        model_profile.write_text(tomli_w.dumps(attrs.asdict(model)), encoding="utf-8")
    click.echo("\n".join([*report.fit_lines(profile), f"  written to {path}"]))


@calibrate.command()
@click.argument("folder", type=click.Path(path_type=Path))
def link(folder: Path) -> None:
    """Print what a hardware profile says of its link and host, from what emu run --world real --profile-out wrote."""
    from emu.calibrate import link_fit

    click.echo(link_fit.as_toml(link_fit.link_tables(folder)), nl=False)


@calibrate.command()
def report() -> None:
    """Print the errors of every shipped profile as a Markdown table."""
    from emu.calibrate.report import validation_markdown

    click.echo(validation_markdown(), nl=False)
