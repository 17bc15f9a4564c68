"""What mixed steps take beyond the rule: found where it was put in, nothing where it is not asked for."""

import csv
from pathlib import Path

import pytest
from attrs import evolve

from emu.calibrate.making import as_toml, profiles_of
from emu.cli import status_of
from emu.fake.costs import CalibratedCosts
from emu.fake.step_profiles import parse_steps
from emu.refusal import Refusal

PAIR = Path(__file__).parents[2] / "measurements" / "h200_pair" / "steps.csv"
PS_PER_MS = 10**9


def table(path: Path, extra_ms: float, leave_out: int = 0) -> Path:
    """The pair's own steps, with mixed ones that take so much longer than the rule says."""
    (profile,) = profiles_of(PAIR)
    costs = CalibratedCosts(profile)
    rows = list(csv.DictReader(PAIR.read_text().splitlines()))
    for row in rows:
        if row["phase"] == "mixed":
            prompt, batch, context = (int(row[key]) for key in ("mixed_prompt_tokens", "batch", "context"))
            rule_ps = costs.mixed_ps(prompt, 1, 0, batch, batch * (context + 1))
            row["ms"] = str(max(0.1, rule_ps / PS_PER_MS + extra_ms * batch / prompt))
    mixed = [row for row in rows if row["phase"] == "mixed"]
    kept = [row for row in rows if row["phase"] != "mixed"] + mixed[leave_out:]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(kept)
    return path


def test_what_was_put_in_is_found_at_the_cells_and_between(tmp_path: Path) -> None:
    (profile,) = profiles_of(table(tmp_path / "mine.csv", 64.0), mixed=True)
    rule, found = CalibratedCosts(evolve(profile, mixed=None)), CalibratedCosts(profile)
    assert profile.mixed is not None

    def extra_ms(prompt: int, batch: int) -> float:
        step = (prompt, 1, 0, batch, batch * 600)
        return (found.mixed_ps(*step) - rule.mixed_ps(*step)) / PS_PER_MS

    assert extra_ms(64, 8) == pytest.approx(8.0, abs=0.01)
    assert extra_ms(512, 24) == pytest.approx(3.0, abs=0.01)
    assert extra_ms(64, 16) == pytest.approx(16.0, abs=0.01)
    assert extra_ms(384, 8) == pytest.approx(1.5, abs=0.01)  # between 2 at 256 and 1 at 512
    assert extra_ms(16, 8) == extra_ms(64, 8)
    assert extra_ms(9000, 999) == extra_ms(2048, 64)
    assert found.mixed_ps(0, 0, 0, 8, 80) == rule.decode_ps(8, 80)
    assert found.mixed_ps(64, 1, 0, 0, 0) == rule.prefill_ps(64, 1)
    assert profile.evidence["mixed"]["interpolated_cells"] == 32
    assert parse_steps(as_toml(profile).encode(), "mine.toml") == profile


def test_a_step_takes_no_less_than_either_part(tmp_path: Path) -> None:
    (profile,) = profiles_of(table(tmp_path / "mine.csv", -64.0), mixed=True)
    costs = CalibratedCosts(profile)
    assert costs.mixed_ps(64, 1, 0, 64, 6400) == max(costs.prefill_ps(64, 1), costs.decode_ps(64, 6400))


def test_only_a_whole_grid_is_fitted_and_only_if_asked(tmp_path: Path) -> None:
    assert profiles_of(PAIR)[0].mixed is None
    with pytest.raises(Refusal, match="whole grid"):
        profiles_of(table(tmp_path / "mine.csv", 1.0, leave_out=31), mixed=True)
    out = tmp_path / "mine.toml"
    assert status_of(["calibrate", "fit", str(PAIR), "--mixed", "-o", str(out)]) == 0
    (profile,) = profiles_of(PAIR, mixed=True)
    assert out.read_text() == as_toml(profile)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("sequences = [\n    1,\n    8,", "sequences = [\n    8,\n    1,", "mixed: sequences: expected two knots"),
        ("prompt_tokens = [\n    64,\n", "prompt_tokens = [\n", "mixed: extra_ps: expected 20 times"),
    ],
)
def test_a_curve_that_is_none_is_refused(old: str, new: str, words: str) -> None:
    text = as_toml(profiles_of(PAIR, mixed=True)[0])
    head, mixed = text.split("[mixed]")
    assert old in mixed
    with pytest.raises(Refusal, match=words):
        parse_steps((head + "[mixed]" + mixed.replace(old, new, 1)).encode(), "here")
