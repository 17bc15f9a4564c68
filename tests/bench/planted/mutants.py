"""The mutation score of the fuzzer: first-order mutants of emu/control and emu/node that it kills, made by cosmic-ray.

    python -m bench.planted.mutants --count 300 --examples 120 [--minutes M]

A mutant is drawn as a module (by its length), one of cosmic-ray's operators that applies there, and an occurrence. Each
is hunted in a process of its own, whose import of that one module reads otherwise; no file is changed. What differs in
nothing but annotations is no mutant. Survivors are for reading: results go to mutants.jsonl.
"""

from __future__ import annotations

import ast
import difflib
import importlib.abc
import importlib.machinery
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import click
from attrs import frozen

EMU = Path(__file__).parents[3] / "emu"
MOST_S = 300.0  # of wall time a mutant: one that never ends is killed, too


@frozen
class Mutant:
    """One change of one module. `module` is its path under emu."""

    module: str
    operator: str
    occurrence: int

    def source(self) -> str | None:
        """The module as it reads with the change; None where there is none."""
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        changed: str | None = mutate_code(
            (EMU / self.module).read_text(), get_operator(self.operator)(), self.occurrence
        )
        return changed

    def difference(self) -> str:
        """The lines that differ, on one line."""
        before, after = (EMU / self.module).read_text().splitlines(), (self.source() or "").splitlines()
        changed = [line for line in difflib.ndiff(before, after) if line[:2] in ("- ", "+ ")]
        return " ".join(" ".join(line.split()) for line in changed)


def drawn(seed: int) -> Iterator[Mutant]:
    """Mutants without end, each once."""
    from cosmic_ray.plugins import operator_names

    choose, seen = random.Random(seed), set[Mutant]()
    paths = [path for folder in ("control", "node") for path in sorted((EMU / folder).rglob("*.py"))]
    lengths = [len(path.read_text()) for path in paths]
    operators = sorted(operator_names())
    while True:
        (path,) = choose.choices(paths, lengths)
        mutant = Mutant(str(path.relative_to(EMU)), choose.choice(operators), choose.randrange(4))
        if mutant in seen:
            continue
        seen.add(mutant)
        try:
            source = mutant.source()
        except TypeError:  # an operator that wants arguments
            continue
        if source is not None and _meaning(source) != _meaning(path.read_text()):
            yield mutant


def _meaning(source: str) -> str:
    """The module's syntax, but for annotations."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
    return ast.dump(tree)


class Otherwise(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports one module from another source."""

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        del path, target
        return importlib.machinery.ModuleSpec(name, self) if name == self.name else None

    def get_source(self, fullname: str) -> str:
        del fullname
        return self.source


def kill(mutant: Mutant, examples: int, faults: int) -> str:
    """The law that finds it, or nothing. In this process, which is spoilt by it."""
    name = "emu." + mutant.module.removesuffix(".py").replace("/", ".")
    sys.meta_path.insert(0, Otherwise(name, mutant.source() or ""))
    try:
        from emu.fuzz.hunt import Hunt, Limits
        from emu.fuzz.strategies import anywhere, fault_plans

        plans = fault_plans(faults) if faults else None
        caught = Hunt(anywhere(plans)).first(Limits(examples=examples))
    except Exception as error:  # production that cannot even be built
        return type(error).__name__
    return "" if caught is None else caught.law


def hunted(mutant: Mutant, examples: int, faults: int) -> dict[str, Any]:
    """What came of one mutant, hunted in a process of its own."""
    words = [mutant.module, mutant.operator, str(mutant.occurrence), str(examples), str(faults)]
    began_s = time.monotonic()
    try:
        found = subprocess.run(
            [sys.executable, "-m", "bench.planted.mutants", "--one", *words],
            capture_output=True,
            text=True,
            timeout=MOST_S,
            check=False,
        )
        law = found.stdout.strip().removeprefix("law:") if found.returncode == 0 else "crashed"
    except subprocess.TimeoutExpired:
        law = "never ends"
    result: dict[str, Any] = {"module": mutant.module, "operator": mutant.operator, "occurrence": mutant.occurrence}
    result |= {"examples": examples, "faults": faults}
    return result | {"killed": law, "wall_s": round(time.monotonic() - began_s, 1), "difference": mutant.difference()}


@click.command()
@click.option("--count", type=click.IntRange(1), default=300)
@click.option("--examples", type=click.IntRange(1), default=300)
@click.option("--faults", type=click.IntRange(0), default=2)
@click.option("--seed", type=int, default=0)
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=None, help="Begin no mutant after so many.")
@click.option("--one", nargs=5, type=str, hidden=True)
@click.option("--kept", type=click.Path(path_type=Path), default=Path(__file__).parent / "mutants.jsonl")
def main(
    count: int,
    examples: int,
    faults: int,
    seed: int,
    minutes: float | None,
    one: tuple[str, ...] | None,
    kept: Path,
) -> None:
    """Draw mutants, hunt each, and add what came of it to the kept results."""
    if one:
        module, operator, occurrence, *numbers = one
        law = kill(Mutant(module, operator, int(occurrence)), *map(int, numbers))
        click.echo(f"law:{law}")
        return
    done = sum(1 for _ in kept.open()) if kept.exists() else 0
    until_s = None if minutes is None else time.monotonic() + 60 * minutes
    for number, mutant in enumerate(drawn(seed), 1):
        if number > count or (until_s is not None and time.monotonic() >= until_s):
            break
        if number <= done:
            continue
        result = hunted(mutant, examples, faults)
        with kept.open("a") as file:
            file.write(json.dumps(result) + "\n")
        click.echo(f"{number} of {count}: {result['killed'] or 'survived'}: {result['difference'][:150]}", err=True)


if __name__ == "__main__":
    main()
