"""Which planted bugs the example-based tests let through: those are what a fuzzer is for.

    python -m bench.planted.pass_examples

Each bug is planted in a process of its own, in which tests of the control plane run that draw nothing. Results are kept
as lines of JSON beside those of the hunts, and a bug that has been looked at is not looked at again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from bench.planted.find_planted import NAMES, read
from bench.planted.planting import planted

TESTS = ("tests/control",)
OPTIONS = ("-q", "-x", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
MOST_S = 300.0


class NothingDrawn:
    """A plugin of pytest: what Hypothesis draws for is left out."""

    @staticmethod
    def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
        plain = [item for item in items if not _draws(item)]
        config.hook.pytest_deselected(items=[item for item in items if _draws(item)])
        items[:] = plain


def _draws(item: Any) -> bool:
    return getattr(item.obj, "is_hypothesis_test", False) or getattr(item, "cls", None) is not None


def run_tests(name: str) -> int:
    """pytest's status, with that bug planted in this process."""
    import pytest

    with planted(NAMES[name]):
        return int(pytest.main([*OPTIONS, *TESTS], plugins=[NothingDrawn()]))


@click.command()
@click.option("--bug", "only", multiple=True, type=click.Choice(sorted(NAMES)))
@click.option("--one", type=click.Choice(sorted(NAMES)), hidden=True)
@click.option("--kept", type=click.Path(path_type=Path), default=Path(__file__).parent / "examples.jsonl")
def main(only: tuple[str, ...], one: str | None, kept: Path) -> None:
    """Plant every bug in turn, and write down whether the example-based tests pass."""
    if one is not None:
        sys.exit(run_tests(one))
    done = {line["bug"] for line in read(kept)}
    for name in only or NAMES:
        if name in done:
            continue
        words = [sys.executable, "-m", "bench.planted.pass_examples", "--one", name]
        found = subprocess.run(words, capture_output=True, text=True, timeout=MOST_S, check=False)
        last = found.stdout.strip().splitlines()[-1] if found.stdout.strip() else found.stderr[-200:]
        with kept.open("a") as file:
            file.write(json.dumps({"bug": name, "passes": found.returncode == 0, "last": last}) + "\n")
        click.echo(f"{name}: {last}", err=True)


if __name__ == "__main__":
    main()
