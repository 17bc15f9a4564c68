"""The museum: what failed in deployed systems does not fail here, and the mistake that made it fail breaks a law."""

import inspect
import re
from pathlib import Path

import pytest
from attrs import frozen

from emu.execute import Outcome, execute
from emu.policies.find import named_thing
from emu.scenario.load import load

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
MUSEUM = SCENARIOS / "museum"
LONGEST = 30  # lines of a mistake
_MISTAKE = re.compile(r"# The mistake: --set (parts\.(\w+)=(wrong:(\w+)))   breaks ([a-z-]+)")
NOTHING_FAILS = ("hello", "burst", "long_prompts", "baseline_h100", "splitwise_hh")


@frozen
class Piece:
    """One piece of the museum: its scenario, the mistake as an override, and the law that tells."""

    path: Path
    override: str
    part: str
    named: str
    law: str

    @classmethod
    def of(cls, path: Path) -> "Piece":
        found = _MISTAKE.search(path.read_text(encoding="utf-8"))
        assert found is not None, f"{path} does not say which mistake it shows"
        return cls(path, found[1], found[2], found[3], found[5])

    def run(self, *overrides: str) -> Outcome:
        return execute(load(self.path, overrides))


PIECES = [Piece.of(path) for path in sorted(MUSEUM.glob("*.toml"))]
each = pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.path.stem)


def test_there_are_a_dozen_and_each_names_its_thread() -> None:
    assert len(PIECES) >= 12
    assert len({piece.named for piece in PIECES}) == len(PIECES)
    for piece in PIECES:
        first = piece.path.read_text(encoding="utf-8").splitlines()[0]
        assert re.match(r"# [\w-]+ (PR )?#\d+", first), f"{piece.path.stem} opens with {first!r}"


@each
def test_ours_is_clean(piece: Piece) -> None:
    outcome = piece.run()
    requests = outcome.summary["requests"]
    assert outcome.broken == ()
    assert requests["completed"] + requests["cancelled"] == requests["arrived"]
    assert requests["cancelled"] == sum(fault.kind == "cancel" for fault in load(piece.path).faults)


@each
def test_the_mistake_breaks_the_law(piece: Piece) -> None:
    assert piece.law in {law.name for law in piece.run(piece.override).broken}


@each
def test_the_mistake_is_small(piece: Piece) -> None:
    wrong = named_thing("parts", piece.named, MUSEUM)
    assert len(inspect.getsource(wrong).splitlines()) <= LONGEST


@pytest.mark.parametrize("scenario", NOTHING_FAILS)
@each
def test_the_mistake_does_not_show_where_nothing_fails(piece: Piece, scenario: str) -> None:
    overrides = (f"policies_from={MUSEUM}", piece.override, "workload.limit=25")
    outcome = execute(load(SCENARIOS / f"{scenario}.toml", overrides))
    assert outcome.broken == ()
    assert outcome.summary["requests"]["completed"] == outcome.summary["requests"]["arrived"]
