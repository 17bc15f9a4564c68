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
