"""The command `emu`: with `emu.commands`, all that prints; only this file exits.

Everything heavy is imported inside functions, so that `emu --help` stays quick. What a command does is done elsewhere;
here its end becomes a status and a few lines.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emu.execute import Outcome

HELD, LAW_BROKEN, REFUSED, BUG, INTERRUPTED = 0, 1, 2, 3, 130

_STATUSES = """\b
Status:
  0    it ran, and every law held
  1    it ran, and a law was broken: which ones, and the command that repeats the run, are on stderr
  2    the input was refused: one line on stderr says why, and nothing was written
  3    a bug in emu: the traceback and the command that repeats the run are on stderr
  130  interrupted: a run that had not ended has written nothing
"""


_ELSEWHERE = {
    "calibrate": "calibrate",
    "fuzz": "fuzz",
    "plan": "plan",
    "provisioning": "provisioning",
    "replay": "screens",
    "show": "look",
    "sweep": "sweep",
    "watch": "screens",
    "why": "look",
}
"""The module of `emu.commands` that each command beside `run` stands in."""


class _Commands(click.Group):
    """What is imported of the commands is what is asked for: `emu run` needs none of the others."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted((*super().list_commands(context), *_ELSEWHERE))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _ELSEWHERE:
            return super().get_command(context, name)
        found: click.Command = getattr(import_module(f"emu.commands.{_ELSEWHERE[name]}"), name)
        return found


@click.group(
    cls=_Commands,
    epilog="emu COMMAND --help says more about a command.",
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)
@click.version_option(package_name="emu", message="%(prog)s %(version)s", prog_name="emu")
@click.pass_context
def cli(context: click.Context) -> None:
    """A flight simulator for the control plane of disaggregated LLM serving."""
    if context.invoked_subcommand is None:
        raise click.UsageError("expected a command, such as: emu run SCENARIO.toml (emu --help names them all)")


@cli.command(epilog=_STATUSES)
@click.argument("scenario", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one key of the scenario, as in router.policy=jsq or machines[0].count=4. May be repeated.",
)
@click.option("--seed", type=int, help="The seed of the workload's draws, in place of the scenario's.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep the run in a new folder: scenario.toml, summary.json, requests.csv and record.jsonl.",
)
@click.option(
    "--world",
    type=click.Choice(["emulated", "real", "real-cpu"]),
    default="emulated",
    show_default=True,
    help="What the control plane drives: models in virtual time, or decoders on GPUs (or CPUs) in wall time.",
)
@click.option(
    "--profile-out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="In a real world: first measure its own steps and copies, into the tables of a new folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary, and nothing else, as JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors (and the summary, if --json asks for it).")
def run(
    scenario: Path,
    overrides: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    world: str,
    profile_out: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run SCENARIO.toml, in virtual time unless the world is a real one, and report what happened."""
    repeat = _Repeat(scenario, seed, overrides, world)
    try:
        outcome = _execute(repeat, out, profile_out, watched=not (quiet or as_json) and sys.stderr.isatty())
        if as_json:
            from emu.output import summary_text

            _print(summary_text(outcome.summary))
        elif not quiet:
            _print_report(outcome.summary)
    except Exception as failure:
        from emu.refusal import Refusal

        if not isinstance(failure, Refusal):
            failure.add_note(f"This is a bug in emu. The command that repeats it: {repeat}")
        raise
    if outcome.broken:
        _say_broken(outcome, repeat)
        return LAW_BROKEN
    return HELD


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The entry point of the command: always ends the process, with one of the statuses that the help lists.

    What is imported stays, and hardly a cycle is among it: looking for some, while it comes and twice when the process
    ends, took 97 M of the 1,076 M instructions of the smallest run.
    """
    gc.set_threshold(100_000, 50, 100)
    status = status_of(arguments)
    gc.freeze()
    sys.exit(status)


def status_of(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments ask and return the status."""
    from emu.refusal import Refusal

    try:
        status = cli.main(arguments, prog_name="emu", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as refused:
        return _refuse(refused.format_message().strip())
    except Refusal as refused:
        return _refuse(str(refused))
    except (KeyboardInterrupt, click.Abort):
        click.echo("emu: interrupted", err=True)
        return INTERRUPTED
    except Exception:
        import traceback

        traceback.print_exc()
        return BUG
    return int(status or HELD)


def _refuse(reason: str) -> int:
    click.echo("emu: " + " ".join(reason.split("\n")), err=True)
    return REFUSED


class _Repeat:
    """The command that repeats a run; it names the seed as soon as that is known."""

    def __init__(self, scenario: Path, seed: int | None, overrides: Sequence[str], world: str) -> None:
        self.scenario = scenario
        self.seed = seed
        self.overrides = overrides
        self.world = world

    def __str__(self) -> str:
        import shlex

        seed = [] if self.seed is None else ["--seed", str(self.seed)]
        changes = [word for override in self.overrides for word in ("--set", override)]
        world = [] if self.world == "emulated" else ["--world", self.world]
        return shlex.join(["emu", "run", str(self.scenario), *seed, *changes, *world])


def _execute(repeat: _Repeat, out: Path | None, profile_out: Path | None, *, watched: bool) -> Outcome:
    from emu.execute import execute
    from emu.scenario.load import load
    from emu.worlds import world

    loaded = load(repeat.scenario, repeat.overrides, repeat.seed)
    repeat.seed = loaded.seed
    in_world = world(repeat.world, profile_out)
    if not watched:
        return execute(loaded, out, world=in_world)
    from emu.screen.progress import Progress

    with Progress() as watch:
        return execute(loaded, out, watch, world=in_world)


def _say_broken(outcome: Outcome, repeat: _Repeat) -> None:
    from emu.screen.broken import broken_laws

    lines = [*broken_laws(outcome.broken), *outcome.breaches, f"The command that repeats the run: {repeat}"]
    click.echo("\n".join(lines), err=True)


def _print_report(summary: Mapping[str, Any]) -> None:
    from emu.screen.page import text

    _print(text(summary, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ))


def _print(text: str) -> None:
    """To stdout, whatever it can encode; a reader that has gone away, as `head` does, is no mistake of the run."""
    encoding = sys.stdout.encoding
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
