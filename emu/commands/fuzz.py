"""`emu fuzz`: the command. It reads its options, has situations hunted, and tells what was found."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emu.fuzz.hunt import Caught, Tally
    from emu.scenario.schema import Scenario

NOTHING_FOUND, FOUND = 0, 1
EXAMPLES = 1000
FAULTS = 2

_STATUSES = """\b
Status:
  0    nothing was found
  1    something was found: its story, and the file and commands that repeat it, are on stdout
  2    the input was refused: one line on stderr says why, and nothing was written
  3    a bug in the fuzzer: its traceback is on stderr
  130  interrupted
"""


@click.command(epilog=_STATUSES)
@click.argument("scenario", type=click.Path(path_type=Path))
@click.option(
    "--policy", help='The routing policy to try, in place of the scenario\'s: "package.module:Name" or exec:.'
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one key of the scenario.")
@click.option("--examples", type=click.IntRange(1), help=f"Try so many situations; {EXAMPLES} if no time is given.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Try situations for so long.")
@click.option(
    "--faults",
    type=click.IntRange(0, 8),
    default=FAULTS,
    help=f"Let at most so many faults strike every second situation: {FAULTS} if not said, 0 for none.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="The seed of the draws: the same one draws the same.")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, help="Processes, each with draws of its own.")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write a JUnit file.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("found"),
    metavar="DIR",
    help="Where the shrunk scenario goes; found/ by default.",
)
def fuzz(
    scenario: Path,
    policy: str | None,
    overrides: tuple[str, ...],
    examples: int | None,
    minutes: float | None,
    faults: int,
    seed: int,
    jobs: int,
    junit: Path | None,
    out: Path,
) -> int:
    """Draw situations around SCENARIO.toml until one breaks a law or a property, and shrink that one.

    Machines, memory, arrivals, limits, faults and the order of events are drawn; model, hardware and policies are the
    scenario's. What was found before is tried first.
    """
    from emu.cluster import Cluster
    from emu.fuzz.hunt import Limits
    from emu.fuzz.jobs import Jobs, Order
    from emu.scenario.load import load

    if policy is not None:
        overrides = (*overrides, f"router.policy={policy}")
    base = load(scenario, overrides)
    Cluster.of(base)
    if examples is None and minutes is None:
        examples = EXAMPLES
    limits = Limits(examples, None if minutes is None else 60 * minutes)
    began_s = time.monotonic()
    progress = _Progress()
    work = Jobs(Order(base, limits, faults, seed, jobs, _database(base)), progress.tell)
    caught = work.go()
    progress.end()
    total, took_s = work.together(), time.monotonic() - began_s
    click.echo(_counted(total, took_s))
    again = ["emu", "fuzz", str(scenario), *(word for each in overrides for word in ("--set", each))]
    again += [
        *(["--faults", str(faults)] if faults != FAULTS else []),
        "--seed",
        str(seed),
        *(["--jobs", str(jobs)] if jobs > 1 else []),
    ]
    lines = [] if caught is None else _tell(caught, out, again)
    if junit is not None:
        from emu.fuzz.keep import junit as junit_text

        found = [] if caught is None else [(caught.finding, "\n".join(lines))]
        junit.write_text(junit_text(base.name, total.examples, took_s, found))
    if caught is None:
        return NOTHING_FOUND
    click.echo("\n".join(lines))
    return FOUND


def _database(base: Scenario) -> Path:
    """Where found examples of this scenario are kept, beside Hypothesis's own."""
    from hashlib import blake2b

    from emu.scenario.write import resolved_toml

    return Path(".hypothesis") / "emu" / blake2b(resolved_toml(base).encode(), digest_size=8).hexdigest()


def _tell(caught: Caught, out: Path, again: Sequence[str]) -> list[str]:
    """What was found, its story, and the commands; the file is written on the way."""
    from emu.fuzz.keep import keep
    from emu.fuzz.properties import BY_NAME
    from emu.fuzz.story import story

    finding = caught.finding
    by_itself = caught.finding.law not in BY_NAME
    path = keep(caught.scenario, finding, out)
    run = f"emu run {shlex.quote(str(path))}" if by_itself else f"emu fuzz {shlex.quote(str(path))} --examples 1"
    watch = f"emu watch {shlex.quote(str(path))}"
    after = f" after {caught.after_examples} examples" if caught.after_examples else " as it stands"
    lines = [f"{finding.law} is broken{after}: {finding.statement}", f"  {finding.what}", ""]
    lines += [f"  {line}" for line in story(caught.run, finding)]
    if finding.words:
        lines += ["", *(f"  {line}" for line in finding.words.splitlines())]
    lines += ["", f"The smallest such scenario: {path}", f"  run it:    {run}", f"  watch it:  {watch}"]
    return [*lines, f"  find it:   {shlex.join(again)}"]


def _counted(tally: Tally, took_s: float) -> str:
    cpu_s = max(tally.cpu_s, 1e-9)
    return (
        f"{tally.examples} examples ({tally.runs} runs of {tally.requests} requests) in {took_s:.1f} s: "
        f"{tally.struck} faults struck, {len(tally.pairs)} state-event pairs, {tally.laws} laws checked; "
        f"{tally.requests / cpu_s:.0f} requests, {tally.struck / cpu_s:.1f} faults and {len(tally.pairs) / cpu_s:.2f} "
        "pairs per CPU second"
    )


class _Progress:
    """One line that is written over on a terminal; elsewhere a line whenever examples have doubled."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._next = 100
        self._pairs = 0
        self._shown = False

    def tell(self, tally: Tally) -> None:
        new, self._pairs = len(tally.pairs) - self._pairs, len(tally.pairs)
        state = "shrinking" if tally.shrinking else f"{new} of them new"
        line = (
            f"{tally.examples} examples, {tally.struck} faults struck, {len(tally.pairs)} state-event pairs ({state}), "
            f"{tally.laws} laws checked"
        )
        if self._terminal:
            click.echo(f"\r\x1b[K{line}", nl=False, err=True)
            self._shown = True
        elif tally.examples >= self._next:
            self._next *= 2
            click.echo(line, err=True)

    def end(self) -> None:
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)
